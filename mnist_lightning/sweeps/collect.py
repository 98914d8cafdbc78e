"""Run folders -> runs: found and read.

Reads `training_metrics.json` and nothing else, so that a thousand folders take a second. Imports nothing heavy.
"""

from __future__ import annotations

import glob
import itertools
import json
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mnist_lightning.cli import check as settings
from mnist_lightning.cli.overrides import is_in, key_of
from mnist_lightning.errors import UserError
from mnist_lightning.run import folder as run_folders
from mnist_lightning.run import record as records
from mnist_lightning.run.record_check import read_records

# How often or where a recipe was run, not what it is: two runs that differ in nothing else belong together.
REPLICATES = ("seed", "data.fold")
WHEREABOUTS = (
    "outputs",
    "data.folder",
    "data.mirrors",
    "ckpt_path",
    "trainer.enable_progress_bar",
    "runtime.threads",
    "runtime.wait_asleep",
)
CONFIG_FLAGS = ("--config-name", "-cn", "--config-dir", "-cd")
SPLIT = ("val_size", "split_seed", "num_folds", "fold", "limit")
"""Settings of `data.` that decide, with the set, which images validate."""


@dataclass(frozen=True)
class Run:
    """One run: its folder, and what its `training_metrics.json` holds."""

    folder: str
    metrics: dict[str, Any]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Everything that distinguishes runs: settings (`optimizer.lr`), choices (`model`), and a few facts."""
        metrics = self.metrics
        known = dict(metrics.get("choices") or {})
        known |= dict(settings.dotted(metrics.get("hyperparameters") or {}))
        # Not among the hyperparameters: callbacks should not change what is learned. Some do.
        known |= {key: value or "left out" for key, value in self.overrides.items() if key.startswith("callbacks.")}
        known["experiment"] = metrics.get("experiment")
        known["status"] = metrics.get("status")
        if loaded := (metrics.get("dataset") or {}).get("name"):
            # Not what was asked for: data=auto is MNIST here and scikit-learn's digits there.
            known["dataset"] = known["data"] = known["data.name"] = loaded
        known["commit"] = self.commit
        known["command"] = " ".join(self.recipe)
        return known

    @property
    def commit(self) -> str | None:
        """The first seven digits of the commit that made it, with `+` if files were changed since."""
        environment = self.metrics.get("environment") or {}
        commit = environment.get("git_commit")
        return commit and commit[:7] + ("+" if environment.get("git_dirty") else "")

    @property
    def overrides(self) -> dict[str, str]:
        """The overrides on its command line, key -> value as typed; "" for one that leaves its key out, as `~a.b`."""
        return {key: word.partition("=")[2] for key, word in self._words.items()}

    @property
    def _words(self) -> dict[str, str]:
        """Key -> its override as typed."""
        return {key_of(word): word for word in self.metrics.get("overrides") or []}

    @property
    def replicate(self) -> tuple[str, ...]:
        """What distinguishes it from other runs of its recipe: seed and fold, as texts."""
        return tuple(json.dumps(self.settings.get(key) or 0) for key in REPLICATES)

    @property
    def recipe(self) -> list[str]:
        """Its overrides without the seed, the fold, where it ran, and its place in a sweep or search."""
        left_out = (*REPLICATES, *WHEREABOUTS)
        given = {key: word for key, word in self._words.items() if not is_in(key, "search")}
        kept = {key: word for key, word in given.items() if key not in left_out}
        # That a sweep joined its networks is part of the recipe of the ensemble, not of each network.
        return [word for key, word in kept.items() if not is_in(key, "sweep") or "members" in self.metrics]

    @property
    def program(self) -> list[str]:
        """How it was called: `python scripts/train.py`, and the flags that say where its config is."""
        words = shlex.split(self.metrics.get("command") or "python scripts/train.py")
        end = next((place for place, word in enumerate(words, 1) if re.search(r"(^|/)train(\.py)?$", word)), 1)
        flags = [words[place : place + 2] for place in range(end, len(words)) if words[place] in CONFIG_FLAGS]
        return [*words[:end], *itertools.chain(*flags)]

    def number(self, name: str) -> float | None:
        """`val_accuracy`, `val_loss`, `best_epoch`, `test_accuracy`, `test_loss`, `fit_seconds`, `parameters`;
        `corrected_accuracy`: on MNIST's test images with corrected labels (see `data.corrections`).

        Accuracies are fractions from 0 to 1; None where the run did not get that far.
        """
        metrics = self.metrics
        best, test, timing = (metrics.get(part) or {} for part in ("best", "test", "timing"))
        found = {
            "val_accuracy": best.get("val_accuracy"),
            "val_loss": best.get("val_loss"),
            "best_epoch": best.get("epoch"),
            "test_accuracy": test.get("accuracy"),
            "test_loss": test.get("loss"),
            "corrected_accuracy": (test.get("corrected_labels") or {}).get("accuracy"),
            "fit_seconds": timing.get("fit_seconds"),
            "parameters": metrics.get("parameters"),
        }
        return found[name]


def find(place: str | Path) -> list[Path]:
    """The run folders in a folder at any depth, or in each folder that a glob matches, in order of their names."""
    # None of pathlib's globs takes both absolute and relative paths.
    roots = [Path(place)] if Path(place).is_dir() else [Path(match) for match in glob.glob(str(place), recursive=True)]  # noqa: PTH207
    return sorted({folder for root in roots if root.is_dir() for folder in _below(root)}, key=_natural)


def _below(folder: Path) -> Iterator[Path]:
    try:
        if (folder / records.METRICS_FILE).is_file():
            yield folder  # and nothing within it: checkpoints and the loggers' files are not runs
            return
        with os.scandir(folder) as entries:
            # No links: outputs/latest would name a run twice.
            inside = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:  # a folder that may not be read, or has just been removed
        return
    for path in inside:
        yield from _below(Path(path))


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that puts job 10 after job 9."""
    return [(int(part), 0, "") if part.isdigit() else (-1, 0, part) for part in re.split(r"(\d+)", str(path))]


def read(folders: list[Path]) -> tuple[list[Run], list[str]]:
    """The runs in these folders, and a sentence for each that cannot be read and is left out."""
    found, broken = [], []
    for folder in folders:
        try:
            found.append(Run(run_folders.shown(folder.absolute()), records.read_metrics(folder)))
        except (UserError, OSError) as error:  # noqa: PERF203
            broken.append(str(error))
    return found, broken


KEPT = (
    "status", "seed", "command", "overrides", "experiment", "choices", "hyperparameters", "dataset", "best", "test",
    "parameters", "timing", "environment", "error", "members",
)  # fmt: skip
_SHORTENED = {
    "test": ("accuracy", "loss", "corrected_labels"),
    "timing": ("fit_seconds", "total_seconds"),
    "environment": ("git_commit", "git_dirty", "device", "threads", "precision"),
}


_PLACES = ("outputs", "data.folder", "data.mirrors")  # say something about a machine, not about a run


def export(runs: list[Run]) -> dict[str, Any]:
    """The runs as plain data, small enough to be kept under version control; `load` reads it back.

    Where things were on the machine is left out of their settings.
    """

    def without_places(words: list[str]) -> list[str]:
        return [word for word in words if key_of(word) not in _PLACES]

    rows = []
    for run in runs:
        kept = {key: run.metrics[key] for key in KEPT if run.metrics.get(key) is not None}
        for key, parts in _SHORTENED.items():
            if key in kept:
                kept[key] = {part: kept[key][part] for part in parts if part in kept[key]}
        if "command" in kept:
            kept["command"] = shlex.join(without_places(shlex.split(kept["command"])))
        if "overrides" in kept:
            kept["overrides"] = without_places(kept["overrides"])
        if data := kept.get("hyperparameters", {}).get("data"):
            data_settings = {key: value for key, value in data.items() if f"data.{key}" not in _PLACES}
            kept["hyperparameters"] = {**kept["hyperparameters"], "data": data_settings}
        if chosen := kept.get("hyperparameters"):
            kept["hyperparameters"] = {key: _within_its_run(value) for key, value in chosen.items()}
        rows.append({"folder": run.folder, **kept})
    return {"schema_version": 1, "runs": rows}


def _within_its_run(value: Any) -> Any:
    """The name of a checkpoint without the folders above its run; any other value as it is."""
    if isinstance(value, dict):
        return {key: _within_its_run(each) for key, each in value.items()}
    is_place = isinstance(value, str) and value.endswith(".ckpt") and Path(value).is_absolute()
    return "/".join(Path(value).parts[-3:]) if is_place else value


def load(path: Path) -> list[Run]:
    """The runs that `export` wrote into a file.

    Raises:
        UserError: it is not such a file.
    """
    return [Run(str(each.pop("folder")), each) for each in read_records(path)]
