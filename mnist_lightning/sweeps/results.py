"""results(settings): what runs have reached, from any set of run folders; the task of `scripts/results.py`."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any, Literal, TypedDict

from mnist_lightning.cli.check import did_you_mean
from mnist_lightning.errors import UserError
from mnist_lightning.run import folder as run_folders
from mnist_lightning.sweeps import collect, groups, tables
from mnist_lightning.sweeps.collect import Run
from mnist_lightning.types import Text

log = logging.getLogger(__name__)


class ResultsSettings(TypedDict):
    """The settings of `conf/results.yaml`, whose comments say what they mean."""

    runs: Text
    where: Text | None
    by: list[Text] | None
    metric: Literal["val_accuracy", "val_loss", "test_accuracy", "test_loss", "fit_seconds", "parameters"]
    sort: Text | None
    compare: Text | None
    format: Literal["table", "csv", "markdown", "json"]
    out: Text | None
    plot: Text | None


LOWER_IS_BETTER = ("val_loss", "test_loss", "fit_seconds", "parameters")


def results(settings: ResultsSettings) -> str:
    """Filter, group, sort, compare and export; print the outcome, or write it to `out`.

    Args:
        settings: `conf/results.yaml` composed and checked.

    Returns:
        What was printed or written.

    Raises:
        UserError: there are no such runs, or what is asked of them cannot be had.
    """
    runs = _runs(settings["runs"])
    if settings["where"]:
        runs = collect.where(settings["where"], runs)
    scored = [run for run in runs if run.number(settings["metric"]) is not None]
    if not scored:
        raise UserError(f"None of the {len(runs)} runs under runs={settings['runs']} has a {settings['metric']}.")
    if len(scored) < len(runs):
        print(f"{len(runs) - len(scored)} of {len(runs)} runs have no {settings['metric']}.", file=sys.stderr)
    keys = settings["by"] if settings["by"] is not None else groups.differing(scored)
    _check_known(keys, scored)
    grouped = _sort(groups.group(scored, keys), settings["sort"], settings["metric"])
    text = _compared(settings, scored) if settings["compare"] else _exported(settings["format"], scored, grouped, keys)
    if settings["out"]:
        run_folders.write_atomically(Path(settings["out"]), text.encode())
    else:
        print(text, end="")
    if settings["plot"]:
        from mnist_lightning.sweeps import plots

        plots.knobs(scored, keys or ["seed"], settings["metric"], Path(settings["plot"]))
    return text


def _runs(place: str) -> list[Run]:
    """The runs that `runs=` names: a folder, a glob, or a file that format=json has written."""
    if Path(place).is_file():
        return collect.load(Path(place))
    runs, broken = collect.read(collect.find(place))
    for sentence in broken:
        print(f"Left out: {sentence}", file=sys.stderr)
    if not runs:
        raise UserError(f"There are no runs under runs={place}: give a folder of runs, or a glob in quotes.")
    return runs


def _check_known(keys: list[str], runs: list[Run]) -> None:
    known = sorted({name for run in runs for name in run.settings})
    for key in keys:
        if key not in known:
            raise UserError(f"by={key} does not do: none of the runs has such a setting{did_you_mean(key, known)}")


def _sort(grouped: list[groups.Group], by: str | None, metric: str) -> list[groups.Group]:
    """The best first, or in the order of a setting."""
    if by is not None:
        _check_known([by], [run for group in grouped for run in group.runs])
        return sorted(grouped, key=lambda group: [(str(type(value)), value) for value in group.distinct(by)])
    sign = 1 if metric in LOWER_IS_BETTER else -1
    return sorted(grouped, key=lambda group: sign * group.spread(metric).mean)  # type: ignore[union-attr]


def _exported(form: str, runs: list[Run], grouped: list[groups.Group], keys: list[str]) -> str:
    if form == "json":
        return json.dumps(collect.export(runs), indent=1) + "\n"
    if form == "csv":
        numbers = ("val_accuracy", "val_loss", "test_accuracy", "test_loss", "fit_seconds", "parameters")
        records = [
            [run.folder, *(tables.value(run.settings.get(key)) for key in keys), run.settings.get("seed"),
             run.settings.get("data.fold"), run.metrics["status"], *map(run.number, numbers), run.commit]
            for group in grouped for run in group.runs
        ]  # fmt: skip
        return tables.comma_separated(["folder", *keys, "seed", "fold", "status", *numbers, "commit"], records)
    rows = tables.group_rows(grouped, keys)
    return (tables.markdown(rows) if form == "markdown" else tables.terminal(rows)) + "\n"


def _compared(settings: dict[str, Any], runs: list[Run]) -> str:
    """Two groups and a paired test, in words."""
    sides = [side.strip() for side in settings["compare"].split(" vs ")]
    if len(sides) != 2:
        raise UserError(
            f"compare={settings['compare']} does not do: write two conditions, as in 'compare=model=cnn vs model=mlp'."
        )
    metric = settings["metric"]
    found = groups.compare(collect.where(sides[0], runs), collect.where(sides[1], runs), metric)
    scale, unit = (100, " points") if "accuracy" in metric else (1, "")
    spread = found.difference
    line = (
        f"{metric}, ({sides[0]}) minus ({sides[1]}): {scale * spread.mean:+.4g}{unit} "
        f"(std {scale * (spread.std or 0):.4g}, {scale * spread.low:+.4g} to {scale * spread.high:+.4g}), "
        f"{found.pairs} common seeds"
    )
    if found.t is None:
        return f"{line}\nNo test: every pair differs by the same.\n"
    return f"{line}\npaired t-test p = {found.t:.3g}, Wilcoxon signed-rank test p = {found.wilcoxon:.3g}\n"
