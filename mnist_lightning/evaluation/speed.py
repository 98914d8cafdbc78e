"""Throughput, latency and size of a network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mnist_lightning.inference.predictor import Predictor

BATCHES = (1, 64, 1000)
_LEAST_REPEATS = 10


def measure_speed(predictor: Predictor, images: torch.Tensor, seconds: float) -> list[dict[str, Any]]:
    """Time the predictor from uint8 images on the CPU to logits on the CPU.

    Args:
        predictor: on the device to measure.
        images: uint8 [N, 28, 28], N >= 1; repeated where a batch is larger.
        seconds: how long each batch size is repeated, at least `_LEAST_REPEATS` times.

    Returns:
        For each of `BATCHES`: `batch`, `images_per_second` (by the median), `latency_median_ms`, `latency_p99_ms`
        (milliseconds per batch) and `repeats`.
    """
    found = []
    for batch in BATCHES:
        given = images[torch.arange(batch) % len(images)]
        for _ in range(3):  # the first calls choose kernels and allocate memory
            predictor.logits(given, batch)
        times: list[float] = []
        began = time.perf_counter()
        while len(times) < _LEAST_REPEATS or time.perf_counter() - began < seconds:
            start = time.perf_counter()
            predictor.logits(given, batch)  # ends with a copy to the CPU, so that a GPU has finished
            times.append(time.perf_counter() - start)
        median = float(np.median(times))
        found.append(
            {
                "batch": batch,
                "images_per_second": batch / median,
                "latency_median_ms": 1000 * median,
                "latency_p99_ms": 1000 * float(np.quantile(times, 0.99)),
                "repeats": len(times),
            }
        )
    return found


def measure_size(network: nn.Module, path: Path, image_size: int) -> dict[str, int]:
    """Trainable `parameters`, `file_bytes` of the checkpoint, and `macs`: multiply-adds for one image.

    The multiply-adds are those of convolutions and matrix products, half the operations that torch counts.
    """
    device = next(network.parameters()).device
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 1, image_size, image_size, device=device))
    return {
        "parameters": sum(weight.numel() for weight in network.parameters() if weight.requires_grad),
        "file_bytes": path.stat().st_size,
        "macs": counter.get_total_flops() // 2,
    }
