"""What a `training_metrics.json` must hold to be counted among the runs; whatever wrote it."""

from __future__ import annotations

from typing import Any

LARGEST = 64 << 20  # bytes of a record; the longest run writes some hundred kilobytes

_NUMBER = (int, float, type(None))
_TEXT = (str, type(None))
_SHAPE: dict[str, Any] = {  # of what is read here; a dict says what is in a dict
    "status": str,
    "seed": (int, list, type(None)),
    "command": _TEXT,
    "overrides": [str],
    "experiment": _TEXT,
    "choices": dict,
    "hyperparameters": dict,
    "dataset": {"name": _TEXT, "train": _NUMBER, "val": _NUMBER, "test": _NUMBER},
    "best": {"epoch": _NUMBER, "val_loss": _NUMBER, "val_accuracy": _NUMBER},
    "test": {"accuracy": _NUMBER, "loss": _NUMBER},
    "parameters": _NUMBER,
    "timing": {"fit_seconds": _NUMBER, "total_seconds": _NUMBER},
    "environment": {"git_commit": _TEXT, "git_dirty": (bool, type(None))},
    "error": _TEXT,
    "members": [str],
}


def what_is_wrong(metrics: Any, shape: dict[str, Any] | None = None, place: str = "") -> str | None:
    """Words for the first entry of a record that is not of its kind; None where all of them are."""
    if not isinstance(metrics, dict):
        return f"{place or 'it'} is not a mapping of names to values"
    for key, kind in (_SHAPE if shape is None else shape).items():
        value, name = metrics.get(key), f"{place}.{key}" if place else key
        if value is None and key != "status":
            continue
        if isinstance(kind, dict):
            if fault := what_is_wrong(value, kind, name):
                return fault
        elif isinstance(kind, list):
            if not isinstance(value, list) or not all(isinstance(each, kind[0]) for each in value):
                return f"{name} is not a list of texts"
        elif not isinstance(value, kind) or (isinstance(value, bool) and bool not in _kinds(kind)):
            return f"{name} is {str(value)[:40]!r}"
    return None


def _kinds(kind: Any) -> tuple[Any, ...]:
    return kind if isinstance(kind, tuple) else (kind,)
