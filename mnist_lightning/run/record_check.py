"""The record of a run, `training_metrics.json`, as a file that may be damaged or somebody else's.

All code that reads a record gets it from here: with the types that it relies on, or an error of one sentence. Imports
nothing heavy.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mnist_lightning.errors import UserError
from mnist_lightning.run.untrusted import read_json, short, text_fault

STATUSES = ("running", "finished", "interrupted", "failed", "pruned")
HISTORY = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
LARGEST = 16 << 20  # bytes of a record; one of ten thousand epochs has 2 MB
LARGEST_COLLECTION = 256 << 20  # bytes of a file of many records, such as `results.py` writes with format=json

Check = Callable[[Any], "str | None"]


def read_record(path: Path) -> dict[str, Any]:
    """The record in a file.

    Raises:
        UserError: the file cannot be read, or is not a record (see `check_record`).
    """
    return check_record(read_json(path, LARGEST), str(path))


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records in a file of many: `{"runs": [{"folder": ..., **record}, ...]}`.

    Raises:
        UserError: the file cannot be read, or one of them is not a record.
    """
    data = read_json(path, LARGEST_COLLECTION)
    runs = data.get("runs") if isinstance(data, dict) else None
    if not isinstance(runs, list):
        raise UserError(f"{path} holds no runs: give a folder, a glob, or what format=json has written.")
    for number, run in enumerate(runs, start=1):
        check_record(run, f"Run {number} in {path}")
        if fault := text_fault(run.get("folder")):
            raise UserError(f"Run {number} in {path} is not the record of a run: folder {fault}.")
    return runs


def check_record(data: Any, where: str) -> dict[str, Any]:
    """Check a record.

    Args:
        data: any data.
        where: the file, for the message.

    Returns:
        `data`, unchanged.

    Raises:
        UserError: it is not a record: `status` is missing, or an entry has a different type than in our records. Only
            `status` has to be there: a run that failed early knows little about itself.
    """
    if not isinstance(data, dict):
        raise UserError(f"{where} is not the record of a run: it holds {short(data)} in place of a mapping.")
    if data.get("status") not in STATUSES:
        raise UserError(
            f"{where} is not the record of a run: status must be one of {', '.join(STATUSES)}, not "
            f"{short(data.get('status'))}."
        )
    for key, value in data.items():
        check = _CHECKS.get(key)
        if value is not None and check is not None and (fault := check(value)):
            raise UserError(f"{where} is not the record of a run: {key} {fault}.")
    return data


def _mapping(**entries: Check) -> Check:
    """A mapping; each of `entries` that is present must pass its check, or be null."""

    def check(value: Any) -> str | None:
        if not isinstance(value, dict):
            return f"must be a mapping, not {short(value)}"
        for key, inner in entries.items():
            if value.get(key) is not None and (fault := inner(value[key])):
                return f"has {key} that {fault}"
        return None

    return check


def _each(inner: Check) -> Check:
    """A mapping, each value of which must pass a check, or be null."""

    def check(value: Any) -> str | None:
        if not isinstance(value, dict):
            return f"must be a mapping, not {short(value)}"
        faults = (text_fault(key) or (each is not None and inner(each)) or None for key, each in value.items())
        return next((fault for fault in faults if fault), None)

    return check


def _list(inner: Check) -> Check:
    """A list, each entry of which must pass its check, or be null."""

    def check(value: Any) -> str | None:
        if not isinstance(value, list):
            return f"must be a list, not {short(value)}"
        return next((fault for each in value if each is not None and (fault := inner(each))), None)

    return check


def _either(*checks: Check) -> Check:
    """A value that passes one of the checks; otherwise what is wrong according to the last one."""

    def check(value: Any) -> str | None:
        fault = None
        for inner in checks:
            fault = inner(value)
            if fault is None:
                return None
        return fault

    return check


def _number(low: float = -math.inf, high: float = math.inf) -> Check:
    wanted = "a number" if math.isinf(low) else f"a number from {low:g} to {high:g}"

    def check(value: Any) -> str | None:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        return None if fits else f"must be {wanted}, not {short(value)}"

    return check


def _whole(value: Any) -> str | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return None if fits else f"must be a whole number, not {short(value)}"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else f"must be true or false, not {short(value)}"


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return f"must be a text, not {short(value)}"
    # An error message may have several lines.
    return text_fault(value.replace("\n", " ").replace("\t", " ").replace("\r", " "), 100_000)


def _command(value: Any) -> str | None:
    if fault := _text(value):
        return fault
    try:
        shlex.split(value)
    except ValueError as error:
        return f"is not a command ({error})"
    return None


def _inside(value: Any) -> str | None:
    """A path within the run folder."""
    if fault := _text(value):
        return fault
    parts = value.replace("\\", "/").split("/")
    away = ".." in parts or parts[0] == "" or ":" in parts[0]
    return f"must lie within the run folder, not at {short(value)}" if away else None


def _history(value: Any) -> str | None:
    if fault := _mapping(**dict.fromkeys(HISTORY, _list(_number())))(value):
        return fault
    lengths = {len(value[key]) for key in HISTORY if isinstance(value.get(key), list)}
    return "has lists of different lengths" if len(lengths) > 1 else None


_SHARE = _number(0, 1)
_CHECKS: dict[str, Check] = {
    "schema_version": _whole,
    "command": _command,
    "overrides": _list(_text),
    "experiment": _either(_list(_text), _text),
    "choices": _mapping(),
    "dataset": _mapping(name=_text, requested=_text, train=_whole, val=_whole, test=_whole),
    "seed": _either(_list(_whole), _whole),
    "history": _history,
    "best": _mapping(epoch=_whole, val_loss=_number(), val_accuracy=_SHARE, checkpoint=_inside),
    "test": _mapping(accuracy=_SHARE, loss=_number()),
    "hyperparameters": _mapping(),
    "parameters": _whole,
    "timing": _mapping(
        startup_seconds=_number(), fit_seconds=_number(), total_seconds=_number(), seconds_per_epoch=_list(_number())
    ),
    "environment": _mapping(
        git_commit=_text,
        git_dirty=_flag,
        device=_text,
        precision=_text,
        host=_text,
        platform=_text,
        python=_text,
        threads=_whole,
        cpu_capability=_text,
        versions=_each(_text),
        packages=_inside,
        changes_sha256=_text,
    ),
    "inputs": _mapping(data=_each(_text), checkpoint=_text, teacher=_text),
    "started_from": _text,
    "error": _text,
    "members": _list(_text),
    "search": _mapping(study=_text, trial=_whole),
}
