"""Rows of words -> a table for the terminal, as Markdown or as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from mnist_lightning.sweeps.groups import Group, Spread

Rows = list[list[str]]
"""The words of a table, the head first."""


def terminal(rows: Rows) -> str:
    """Columns side by side, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = [all(_is_number(row[column]) for row in rows[1:]) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = zip(row, widths, right, strict=True)
        lines.append("  ".join(cell.rjust(width) if number else cell.ljust(width) for cell, width, number in cells))
    return "\n".join(line.rstrip() for line in lines)


def _is_number(text: str) -> bool:
    first = text.split(" ")[0].lstrip("-")
    return not first or first.replace(".", "", 1).replace(",", "").replace("e-", "").isdigit()


def markdown(rows: Rows) -> str:
    """A Markdown table; bars within a cell are escaped."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join(["---"] * len(rows[0])) + " |", *lines[1:]])


def comma_separated(head: Sequence[str], records: Sequence[Sequence[Any]]) -> str:
    """CSV with the numbers as they are: accuracies are fractions."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *records])
    return text.getvalue()


def value(setting: Any) -> str:
    """A setting as it is written on a command line."""
    if isinstance(setting, list):
        return "[" + ",".join(map(value, setting)) + "]"
    return {"None": "null", "True": "true", "False": "false"}.get(str(setting), str(setting))


def percent(fraction: float | None) -> str:
    """0.9962 -> `99.62 %`, None -> nothing."""
    return "" if fraction is None else f"{100 * fraction:.2f} %"


def seconds(number: float | None) -> str:
    """12.34 -> `12.3 s`, None -> nothing."""
    return "" if number is None else f"{number:.1f} s"


def plus_minus(found: Spread | None) -> str:
    """`99.62 ± 0.02 %`: mean and standard deviation."""
    if found is None:
        return ""
    return percent(found.mean) if found.std is None else f"{100 * found.mean:.2f} ± {100 * found.std:.2f} %"


def mean_and_range(found: Spread | None) -> str:
    """`99.62 % (99.60 to 99.64)`: mean, smallest and largest."""
    if found is None:
        return ""
    span = "" if found.count == 1 else f" ({100 * found.low:.2f} to {100 * found.high:.2f})"
    return percent(found.mean) + span


def seconds_range(found: Spread | None) -> str:
    """`3.0 to 4.2 s`, in whole seconds from 10 s on."""
    if found is None:
        return ""
    low, high = (f"{each:.0f}" if found.high >= 10 else f"{each:.1f}" for each in (found.low, found.high))
    return f"{low} s" if low == high else f"{low} to {high} s"


def group_rows(groups: Sequence[Group], keys: Sequence[str]) -> Rows:
    """One row per group: its settings, its seeds or folds, accuracies, training time, commit.

    The accuracy with corrected labels has a column if any run has it.
    """
    folds = any(len(group.distinct("data.fold")) > 1 for group in groups)
    corrected = ["with corrected labels"] if any(group.spread("corrected_accuracy") for group in groups) else []
    head = [*keys, "folds" if folds else "seeds", "validation accuracy, mean ± std", "test accuracy, mean (range)",
            *corrected, "training takes", *["commit"] * ("commit" not in keys)]  # fmt: skip
    rows: Rows = [head]
    for group in groups:
        named = [group.command if key == "command" else value(group.values[key]) for key in keys]
        commits = [str(commit) for commit in group.distinct("commit") if commit]
        rows.append([
            *named,
            str(len(group.runs)),
            plus_minus(group.spread("val_accuracy")),
            mean_and_range(group.spread("test_accuracy")),
            *[mean_and_range(group.spread("corrected_accuracy"))] * len(corrected),
            seconds_range(group.spread("fit_seconds")),
            *[", ".join(commits) if len(commits) < 4 else f"{len(commits)} commits"] * ("commit" not in keys),
        ])  # fmt: skip
    return rows
