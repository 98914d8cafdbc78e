"""What one request, and all of them together, may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Limits:
    """The settings of `serve.` in conf/serve.yaml.

    Attributes:
        keep_drawings: folder that labelled drawings are added to; None keeps none.
        queue: images that may wait to be read; a request beyond it is answered with 503 at once.
        batch: images that are read at a time, at most.
        threads: that multiply; None for one fewer than there are cores.
        body: bytes of a request's body.
        pixels: of a picture.
        strokes: of a drawing.
        points: of a drawing, all strokes together.
        digits: in one picture or drawing.
        images: in one request of many.
        seconds: to receive a request's body.
        connections: open at a time; further ones are answered with 503.
        drain: seconds between SIGTERM and the closing of the socket, for proxies to notice.
    """

    keep_drawings: str | None = None
    queue: Annotated[int, "1 or more"] = 128
    batch: Annotated[int, "1 or more"] = 64
    threads: Annotated[int | None, "1 or more"] = None
    body: Annotated[int, "1024 or more"] = 8 * 2**20
    pixels: Annotated[int, "784 or more"] = 20_000_000
    strokes: Annotated[int, "1 or more"] = 500
    points: Annotated[int, "1 to 100,000"] = 20_000
    digits: Annotated[int, "1 or more"] = 32
    images: Annotated[int, "1 or more"] = 8_192
    seconds: Annotated[float, "above 0"] = 20.0
    connections: Annotated[int, "1 or more"] = 1_000
    drain: Annotated[float, "0 or more"] = 2.0
