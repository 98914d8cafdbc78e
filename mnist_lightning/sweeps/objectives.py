"""What a search compares trials by, and how a trial ended: both read from its `training_metrics.json`.

Plain data, so that checking a search does not need Optuna.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mnist_lightning.errors import UserError
from mnist_lightning.run import record as records
from mnist_lightning.sweeps.collect import Run

Direction = Literal["minimize", "maximize"]

# Of the checkpoint that is kept. The test images are not among them: they choose nothing.
DIRECTIONS: dict[str, Direction] = {
    "val_accuracy": "maximize",
    "val_loss": "minimize",
    "parameters": "minimize",
    "fit_seconds": "minimize",
}


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


def outcome_of(folder: Path, objectives: Sequence[str]) -> Outcome | None:
    """How the trial in `folder` ended; None if it does not say, because it is running or was killed.

    Args:
        folder: that of the trial.
        objectives: what to read from a finished one.
    """
    try:
        metrics = json.loads((folder / records.METRICS_FILE).read_text(encoding="utf-8"))
        status = metrics["status"]
        if status == "finished":
            values = [float(Run(str(folder), metrics).number(name)) for name in objectives]  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # TypeError: a loss of NaN is written as null
        return _unreadable(folder)
    if status == "finished":
        if all(map(math.isfinite, values)):
            return Outcome("finished", values)
        return Outcome("failed", error=f"{' or '.join(objectives)} is not a number")
    if status in ("pruned", "interrupted"):
        return Outcome(status)
    if status == "failed":
        error = metrics.get("error")
        return Outcome("failed", error=str(error).strip().splitlines()[-1] if error else "")
    return None


def epochs_of(folder: Path) -> int:
    """How many epochs the trial in `folder` has finished; 0 if it does not say."""
    try:
        return len(json.loads((folder / records.METRICS_FILE).read_text(encoding="utf-8"))["history"]["epoch"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _unreadable(folder: Path) -> Outcome | None:
    path = folder / records.METRICS_FILE
    return Outcome("failed", error=f"{path} does not hold what is searched for") if path.is_file() else None


def check_search(search: Mapping[str, Any]) -> None:
    """Check the settings of `search.` against each other.

    Raises:
        UserError: the first two that exclude each other.
    """
    if not re.fullmatch(r"\w[\w.-]*", study := search["study"]):
        raise UserError(f"search.study={study} is not allowed: it should be of letters, digits, dots, - and _.")
    sampler, pruner, objectives = (search[name] for name in ("sampler", "pruner", "objectives"))
    if len(objectives) not in (1, 2) or len(set(objectives)) < len(objectives):
        raise UserError(f"search.objectives={objectives} is not allowed: give one, or two different ones.")
    if len(objectives) == 2 and sampler == "cmaes":
        raise UserError("search.sampler=cmaes takes one objective only: use nsga2, tpe, gp, random or grid.")
    if pruner != "none" and objectives not in (["val_accuracy"], ["val_loss"]):
        raise UserError(
            f"search.pruner={pruner} needs search.objectives=[val_accuracy] or [val_loss], which each epoch measures."
        )
