"""Numbers for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

UNMATCHED = "unmatched"
"""The route of requests that no route matches, whatever their path."""

_METHODS = frozenset(("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"))
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one service, in a registry of its own."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = Counter(
            "http_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "http_request_duration_seconds", "From the first byte of a request to the last of its answer.",
            ("route",), registry=self.registry, buckets=_SECONDS,
        )  # fmt: skip
        self._batches = Histogram(
            "mnist_batch_images", "Images read in one batch.", registry=self.registry,
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
        )  # fmt: skip
        Gauge(
            "mnist_waiting_images", "Requests accepted and not answered yet; one of many images counts once.",
            registry=self.registry,
        ).set_function(waiting)  # fmt: skip
        self._known: dict[tuple[str, str, int], tuple[Any, Any]] = {}  # looking labels up costs more than counting

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        key = (method, route, status)
        if key not in self._known:
            name = method if method in _METHODS else "other"
            self._known[name, route, status] = known = (
                self._requests.labels(name, route, str(status)),
                self._seconds.labels(route),
            )
        else:
            known = self._known[key]
        known[0].inc()
        known[1].observe(seconds)

    def batch(self, images: int) -> None:
        """Count a batch."""
        self._batches.observe(images)

    def page(self) -> tuple[bytes, str]:
        """All metrics in Prometheus' text format, and its media type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
