"""results(settings): what runs have reached, from any set of run folders; the task of `scripts/results.py`."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, get_args

from mnist_lightning.cli.check import did_you_mean
from mnist_lightning.errors import UserError
from mnist_lightning.run.files import write_text
from mnist_lightning.sweeps import collect, conditions, groups, tables
from mnist_lightning.sweeps.collect import Run
from mnist_lightning.types import Text

if TYPE_CHECKING:
    from mnist_lightning.sweeps.out_of_fold import OutOfFold

log = logging.getLogger(__name__)

Number = Literal[
    "val_accuracy", "val_loss", "test_accuracy", "corrected_accuracy", "test_loss", "fit_seconds", "parameters"
]
"""What runs are compared by, and what each row of a CSV holds."""


class ResultsSettings(TypedDict):
    """The settings of `conf/results.yaml`, whose comments say what they mean."""

    runs: Text
    where: Text | None
    by: list[Text] | None
    metric: Number
    sort: Text | None
    compare: Text | None
    format: Literal["table", "csv", "markdown", "json"]
    out: Text | None
    out_of_fold: Text | None
    plot: Text | None


LOWER_IS_BETTER = ("val_loss", "test_loss", "fit_seconds", "parameters")


def results(settings: ResultsSettings) -> str:
    """Filter, group, sort, compare and export; print the outcome, or write it to `out`.

    Args:
        settings: `conf/results.yaml` composed and checked.

    Returns:
        What was printed or written.

    Raises:
        UserError: there are no such runs, or they do not hold what is asked for.
    """
    runs = _runs(settings["runs"])
    if settings["where"]:
        runs = conditions.where(settings["where"], runs)
    if "status" not in conditions.names(f"{settings['where'] or ''},{settings['compare'] or ''}".replace(" vs ", ",")):
        unfinished = [run for run in runs if run.metrics["status"] != "finished"]
        runs = [run for run in runs if run.metrics["status"] == "finished"]
        if unfinished:
            _note(f"{len(unfinished)} runs did not finish and are left out; where=status!=running counts them too.")
    scored = [run for run in runs if run.number(settings["metric"]) is not None]
    if not scored:
        raise UserError(f"None of the {len(runs)} runs under runs={settings['runs']} has a {settings['metric']}.")
    if len(scored) < len(runs):
        _note(f"{len(runs) - len(scored)} of {len(runs)} runs have no {settings['metric']}.")
    keys = settings["by"] if settings["by"] is not None else groups.differing(scored)
    _check_known(keys, scored)
    if "command" not in keys and len({run.settings.get("dataset") for run in scored}) > 1:
        keys = [*(key for key in keys if key not in ("data", "data.name")), "dataset"]  # no mean over different sets
        keys = list(dict.fromkeys(keys))
    grouped = _sort(groups.group(scored, keys), settings["sort"], settings["metric"])
    if repeats := sum(each.repeats for each in grouped):
        _note(f"{repeats} runs repeat the settings, seed and fold of a newer one and are left out.")
    tabled = not settings["compare"] and settings["format"] in ("table", "markdown")
    found = [_out_of_fold(group.runs) if tabled or settings["out_of_fold"] else None for group in grouped]
    if settings["compare"]:
        text = _compared(settings, scored)
    else:
        text = _exported(settings["format"], scored, grouped, keys, found)
    if settings["out"]:
        write_text(Path(settings["out"]), text)
    else:
        print(text, end="")
    if settings["out_of_fold"]:
        _write_out_of_fold(Path(settings["out_of_fold"]), grouped, found)
    if settings["plot"]:
        from mnist_lightning.sweeps import plots

        plots.knobs(scored, keys or ["seed"], settings["metric"], Path(settings["plot"]))
    return text


def _write_out_of_fold(path: Path, grouped: list[groups.Group], found: list[OutOfFold | None]) -> None:
    """Write the out-of-fold predictions of the one recipe that is left, and next to them the doubtful labels."""
    from mnist_lightning.sweeps import fold_report, out_of_fold

    whole = [(group, each) for group, each in zip(grouped, found, strict=True) if each is not None]
    if len(whole) != 1:
        raise UserError(
            f"out_of_fold={path} takes the predictions of one recipe whose folds are all there, and there are "
            f"{len(whole)}: narrow the runs with where=, or sweep over 'data.fold=range(5)' with data.num_folds=5."
        )
    group, predictions = whole[0]
    out_of_fold.write(path, predictions)
    for sentence in fold_report.name_suspects(group, predictions, path.with_name(f"{path.stem}_suspects.json")):
        _note(sentence)


def _note(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _runs(place: str) -> list[Run]:
    """The runs that `runs=` names: a folder, a glob, or a file that format=json has written."""
    if Path(place).is_file():
        return collect.load(Path(place))
    runs, broken = collect.read(collect.find(place))
    for sentence in broken:
        _note(f"Left out: {sentence}")
    if not runs:
        raise UserError(f"There are no runs under runs={place}: give a folder of runs, or a glob in quotes.")
    return runs


def _check_known(keys: list[str], runs: list[Run]) -> None:
    known = sorted({name for run in runs for name in run.settings})
    for key in keys:
        if key not in known:
            raise UserError(f"by={key}: none of the runs has such a setting{did_you_mean(key, known)}")


def _sort(grouped: list[groups.Group], by: str | None, metric: str) -> list[groups.Group]:
    """The best first, or in the order of a setting."""
    if by is not None:
        _check_known([by], [run for group in grouped for run in group.runs])
        return sorted(grouped, key=lambda group: [(str(type(value)), value) for value in group.distinct(by)])
    sign = 1 if metric in LOWER_IS_BETTER else -1
    return sorted(grouped, key=lambda group: sign * group.spread(metric).mean)  # type: ignore[union-attr]


def _exported(
    form: str, runs: list[Run], grouped: list[groups.Group], keys: list[str], found: list[OutOfFold | None]
) -> str:
    if form == "json":
        return json.dumps(collect.export(runs), indent=1) + "\n"
    if form == "csv":
        numbers = get_args(Number)
        records = [
            [run.folder, *(tables.value(run.settings.get(key)) for key in keys), run.settings.get("seed"),
             run.settings.get("data.fold"), run.metrics["status"], *map(run.number, numbers), run.commit]
            for group in grouped for run in group.runs
        ]  # fmt: skip
        return tables.comma_separated(["folder", *keys, "seed", "fold", "status", *numbers, "commit"], records)
    rows = tables.group_rows(grouped, keys)
    if any(found):
        from mnist_lightning.sweeps import fold_report

        head = ["out-of-fold errors", "out-of-fold accuracy"]
        cells = [[fold_report.errors(each), fold_report.accuracy(each)] if each else ["", ""] for each in found]
        rows = [[*row, *more] for row, more in zip(rows, [head, *cells], strict=True)]
    if form == "table":  # but not in Markdown, which may outlive the folders
        rows = [[*row, where] for row, where in zip(rows, ["folder", *map(_folder, grouped)], strict=True)]
    return (tables.markdown(rows) if form == "markdown" else tables.terminal(rows)) + "\n"


def _folder(group: groups.Group) -> str:
    """Where its runs are: the folder that they share, or that of the only one."""
    folders = [run.folder for run in group.runs]
    shared = os.path.commonpath(folders) if len({Path(each).is_absolute() for each in folders}) == 1 else ""
    return shared or ", ".join(folders)


def _compared(settings: ResultsSettings, runs: list[Run]) -> str:
    """Compare two groups with a paired test, in words."""
    sides = [side.strip() for side in str(settings["compare"]).split(" vs ")]
    if len(sides) != 2:
        raise UserError(
            f"compare={settings['compare']} cannot be read: write two conditions: 'compare=model=cnn vs model=mlp'."
        )
    metric = settings["metric"]
    first, second = (conditions.where(side, runs) for side in sides)
    found = groups.compare(first, second, metric)
    scale, unit = (100, " points") if "accuracy" in metric else (1, "")
    spread = found.difference
    line = (
        f"{metric}, ({sides[0]}) minus ({sides[1]}): {scale * spread.mean:+.4g}{unit} "
        f"(std {scale * (spread.std or 0):.4g}, {scale * spread.low:+.4g} to {scale * spread.high:+.4g}), "
        f"{found.pairs} common {'seeds and folds' if found.folds > 1 else 'seeds'}"
    )
    line += (
        "\nNo test: every pair differs by the same.\n"
        if found.t is None
        else (f"\npaired t-test p = {found.t:.3g}, Wilcoxon signed-rank test p = {found.wilcoxon:.3g}\n")
    )
    ours, theirs = (_out_of_fold(groups.distinct(side)) for side in (first, second))
    if ours is None or theirs is None:
        return line
    from mnist_lightning.sweeps import fold_report

    try:
        return line + fold_report.compared(ours, theirs, sides)
    except UserError as error:  # the test over the seeds stands
        _note(str(error))
        return line


def _out_of_fold(runs: list[Run]) -> OutOfFold | None:
    """The out-of-fold predictions of runs of one recipe; None where there are none, or none that fit together."""
    if not any(run.settings.get("data.num_folds") for run in runs):
        return None
    from mnist_lightning.sweeps import out_of_fold

    try:
        return out_of_fold.gather(runs)
    except UserError as error:
        _note(str(error))
        return None
