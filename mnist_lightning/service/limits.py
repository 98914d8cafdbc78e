"""What one request, and all of them together, may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from mnist_lightning.types import NonNegative, Positive, PositiveInt


@dataclass(frozen=True)
class Limits:
    """The settings of `serve.` in conf/serve.yaml, which says what each is."""

    keep_drawings: str | None = None
    queue: PositiveInt = 128
    batch: PositiveInt = 64
    threads: PositiveInt | None = None
    body: Annotated[int, Ge(1024)] = 8 * 2**20
    pixels: Annotated[int, Ge(784)] = 20_000_000
    strokes: Annotated[int, Ge(1), Le(1_000)] = 500  # as many as a kept drawing may have
    points: Annotated[int, Ge(1), Le(100_000)] = 20_000
    digits: PositiveInt = 32
    images: PositiveInt = 8_192
    seconds: Positive = 20.0
    connections: PositiveInt = 1_000
    drain: NonNegative = 2.0
