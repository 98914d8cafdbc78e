"""The end of a sweep over `data.fold`: errors over all training images, recipes compared on them, doubtful labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnist_lightning.data import suspects
from mnist_lightning.errors import UserError, extras_named
from mnist_lightning.run import folder as run_folders
from mnist_lightning.sweeps import out_of_fold, tables
from mnist_lightning.sweeps.groups import Group
from mnist_lightning.sweeps.out_of_fold import OutOfFold

FILE = "out_of_fold.npz"


def report(grouped: Sequence[Group], keys: Sequence[str], sweep: Path) -> tuple[tables.Rows, list[str]]:
    """Combine the folds of each recipe, and write `out_of_fold.npz`, `suspects.json` and `suspects.png` into `sweep`.

    The files are about the recipe with the fewest errors; those of others are called `out_of_fold_1.npz` and so on.

    Args:
        grouped: the recipes.
        keys: the settings that tell them apart.
        sweep: the folder that gets the files.

    Returns:
        A table with a row per recipe that has all its folds, the fewest errors first, empty without such a recipe;
        and sentences about it.
    """
    found, said = [], []
    for group in grouped:
        try:
            if (all_folds := out_of_fold.gather(group.runs)) is not None:
                found.append((group, all_folds))
            elif len(group.distinct("data.fold")) > 1:
                named = " ".join(f"{key}={tables.value(value)}" for key, value in group.values.items())
                said.append(f"No seed of {named or 'the recipe'} has all its folds: its predictions are not combined.")
        except UserError as error:  # noqa: PERF203
            said.append(str(error))
    if not found:
        return [], said
    found.sort(key=lambda each: -each[1].accuracy)
    for place, (_, each) in enumerate(found):
        out_of_fold.write(sweep / (f"out_of_fold_{place}.npz" if place else FILE), each)
    rows = _rows([(group, each) for group, each in found], keys)
    said.append(
        f"Out of fold: each of {len(found[0][1].index):,} training images is read by the network that has not seen it. "
        f"The probabilities are in {run_folders.shown((sweep / FILE).absolute())}."
    )
    said += name_suspects(*found[0], sweep / suspects.FILE)
    return rows, said


def _rows(found: Sequence[tuple[Group, OutOfFold]], keys: Sequence[str]) -> tables.Rows:
    several = len(found) > 1
    rows = [
        [
            *keys,
            "seeds",
            "images",
            "out-of-fold errors",
            "accuracy ± standard error",
            *["p against the first"] * several,
        ]
    ]
    for place, (group, each) in enumerate(found):
        compared = [p_against(found[0][1], each) if place else ""] if several else []
        rows.append([
            *(tables.value(group.values[key]) for key in keys), str(len(each.seeds)), f"{len(each.index):,}",
            errors(each), accuracy(each), *compared,
        ])  # fmt: skip
    return rows


def errors(found: OutOfFold) -> str:
    """`231`, or for several seeds `231, 240`."""
    return ", ".join(map(str, found.errors))


def accuracy(found: OutOfFold) -> str:
    """`99.615 ± 0.025 %`: mean over the seeds, and its standard error from the images."""
    return f"{100 * found.accuracy:.3f} ± {100 * found.standard_error:.3f} %"


def p_against(first: OutOfFold, second: OutOfFold) -> str:
    """The p-value of McNemar's test, empty if it cannot be made."""
    try:
        return f"{out_of_fold.compare(first, second).p:.3g}"
    except UserError:
        return ""


def compared(first: OutOfFold, second: OutOfFold, sides: Sequence[str]) -> str:
    """Compare two recipes on the same images, in words."""
    found = out_of_fold.compare(first, second)
    one, other = found.errors
    test = "McNemar's exact test" if len(found.seeds) == 1 else "McNemar's test, clustered by image,"
    return (
        f"out of fold, {found.images:,} images, seeds {', '.join(map(str, found.seeds))}: {one} errors ({sides[0]}) "
        f"against {other} ({sides[1]}), {found.only_first} by the first alone and {found.only_second} by the second "
        f"alone: {100 * found.difference:+.3f} ± {100 * found.standard_error:.3f} points, {test} p = {found.p:.3g}\n"
    )


def name_suspects(group: Group, found: OutOfFold, path: Path) -> list[str]:
    """Name the images whose labels are likely wrong in a JSON file, and draw them in a PNG file next to it.

    Args:
        group: the recipe.
        found: its predictions.
        path: the JSON file for `data.suspects_file`.

    Returns:
        Sentences about them, or about why there are none.
    """
    from mnist_lightning.data import published
    from mnist_lightning.evaluation import label_errors

    run, picture = group.runs[0], path.with_suffix(".png")
    name, data = str(run.settings["dataset"]), run.metrics["hyperparameters"]["data"]
    try:
        with extras_named():
            doubtful = label_errors.find(name, found.index, found.label, found.log_probs)
    except (UserError, ImportError) as error:  # the sweep is done: its summary does not wait for a package
        return [f"Doubtful labels were not looked for: {error}"]
    suspects.write(path, doubtful)
    shown = run_folders.shown(path.absolute())
    said = [
        f"{len(doubtful.index)} of the {doubtful.images:,} labels are likely wrong (confident learning). To train "
        f"without these images: data.suspects=drop data.suspects_file={shown}"
    ]
    if data.get("source"):  # a record never decides what code runs
        return [*said, f"They are not drawn: {name} is a data set of your own."]
    try:
        images = published.load(name, Path(data["folder"]), tuple(data["mirrors"])).train.images
    except UserError as error:
        return [*said, f"They are not drawn: {error}"]
    label_errors.draw(picture, doubtful, images)
    return [*said, f"They are drawn in {run_folders.shown(picture.absolute())}."]
