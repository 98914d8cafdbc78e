"""How a trial ended. Plain data, so that checking a search does not need Optuna."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Args:
        state: `finished`, `pruned`, `failed` or `interrupted`.
        values: one for each objective, if finished.
        error: one sentence, if failed.
    """

    state: str
    values: Sequence[float] | None = None
    error: str = ""
