"""Runs that differ in nothing but their seed or fold belong together: groups, their means, and two of them compared."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from mnist_lightning.errors import UserError
from mnist_lightning.sweeps.collect import REPLICATES, WHEREABOUTS, Run


@dataclass(frozen=True)
class Spread:
    """Several values of one number. `std` is the sample standard deviation, None for a single value."""

    count: int
    mean: float
    std: float | None
    low: float
    high: float


def spread(values: list[float]) -> Spread | None:
    """Mean and spread of the values; None if there are none."""
    if not values:
        return None
    std = stdev(values) if len(values) > 1 else None
    return Spread(len(values), mean(values), std, min(values), max(values))


@dataclass(frozen=True)
class Group:
    """Runs that share these settings, one for each seed and fold.

    Attributes:
        values: the settings.
        runs: its runs; of several with the same seed and fold, only the newest.
        repeats: how many older runs that leaves out.
    """

    values: dict[str, Any]
    runs: list[Run]
    repeats: int = 0

    def spread(self, name: str) -> Spread | None:
        """Mean and spread of a number (see `Run.number`) over the runs that have it."""
        return spread([value for run in self.runs if (value := run.number(name)) is not None])

    def distinct(self, key: str) -> list[Any]:
        """The different values of a setting among its runs, in order."""
        found = {json.dumps(value): value for value in (run.settings.get(key) for run in self.runs)}
        return sorted(found.values(), key=lambda value: (value is None, str(type(value)), value))

    @property
    def command(self) -> str:
        """The command line that runs the group again, with all its seeds and folds."""
        shared = [word for word in self.runs[0].recipe if all(word in run.recipe for run in self.runs)]
        repeated = []
        for key in REPLICATES:
            # An ensemble has the seeds of all its members.
            values = [each for value in self.distinct(key) for each in (value if isinstance(value, list) else [value])]
            if len(values) > 1 or any(key in run.overrides for run in self.runs):
                repeated.append(f"{key}={','.join(map(str, values))}")
        sweep = ["-m"] if any("," in word for word in repeated) else []
        return shlex.join([*self.runs[0].program, *sweep, *shared, *repeated])


def differing(runs: list[Run]) -> list[str]:
    """The settings that tell these runs apart, except for the seed, the fold and where they ran.

    First come the overrides that differ. After that, a setting is added only if it tells apart runs that no earlier
    one did: with `model`, the layers of the model need no columns of their own.
    """
    left_out = {*REPLICATES, *WHEREABOUTS, "status", "commit", "command"}
    # Of a run whose config was never composed, only the command line is known: it does not say what differs.
    runs = [run for run in runs if run.metrics.get("hyperparameters")] or runs
    known = {}
    for key in dict.fromkeys(key for run in runs for key in run.settings if key not in left_out):
        values = [json.dumps(run.settings.get(key)) for run in runs]
        if len(set(values)) > 1:
            known[key] = values
    varied = list(known)
    typed = list(dict.fromkeys(key for run in runs for key in run.overrides if key in varied))
    kept: list[str] = []
    parts = [""] * len(runs)
    for key in [*typed, *(key for key in varied if key not in typed)]:
        finer = [before + "|" + value for before, value in zip(parts, known[key], strict=True)]
        if key in typed or len(set(finer)) > len(set(parts)):
            kept.append(key)
            parts = finer
    return kept


def group(runs: list[Run], keys: list[str]) -> list[Group]:
    """The runs in groups of equal values of `keys`, in the order in which they come.

    A seed that was run twice counts once: runs are deterministic, so that a repetition says nothing about the spread.
    """
    found: dict[str, tuple[dict[str, Any], list[Run]]] = {}
    for run in runs:
        values = {key: run.settings.get(key) for key in keys}
        found.setdefault(json.dumps(values), (values, []))[1].append(run)
    grouped = []
    for values, members in found.values():
        newest: dict[tuple[str, ...], Run] = {}
        for run in members:
            other = newest.get(run.replicate)
            if other is None or _made(run) >= _made(other):
                newest[run.replicate] = run
        grouped.append(Group(values, list(newest.values()), len(members) - len(newest)))
    return grouped


def _made(run: Run) -> str:
    """When its folder was made, according to the folder's name; "" if that does not say."""
    match = re.search(r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d", run.folder)
    return match[0] if match else ""


@dataclass(frozen=True)
class Comparison:
    """Two groups over their common seeds (and folds), the first minus the second.

    `pairs` counts the pairs of one seed and fold, `folds` the different folds among them. `t` is the paired t-test's
    p-value and `wilcoxon` that of the signed-rank test, both two-sided, for "no difference"; None where they are not
    defined, since every pair differs by the same amount.
    """

    pairs: int
    folds: int
    difference: Spread
    t: float | None
    wilcoxon: float | None


def compare(first: list[Run], second: list[Run], metric: str) -> Comparison:
    """Compare two sets of runs of the same seeds.

    Raises:
        UserError: fewer than two common seeds, or several runs of one seed.
    """
    ours, theirs = (_by_seed(distinct(side), metric) for side in (first, second))
    common = sorted(ours.keys() & theirs.keys())
    if len(common) < 2:
        raise UserError(
            f"The two sides of compare= have {len(common)} seeds in common: a paired test needs two or more, "
            "as from a sweep over seed=0,1,2,3,4."
        )
    pairs = [(ours[seed], theirs[seed]) for seed in common]
    differences = [a - b for a, b in pairs]
    found = spread(differences)
    assert found is not None
    folds = len({fold for _, fold in common})
    if len({round(each, 12) for each in differences}) == 1:
        return Comparison(len(pairs), folds, found, None, None)
    from scipy import stats

    t = float(stats.ttest_rel(*zip(*pairs, strict=True)).pvalue)
    return Comparison(len(pairs), folds, found, t, float(stats.wilcoxon(differences).pvalue))


def distinct(runs: list[Run]) -> list[Run]:
    """The runs without those that repeat another one's settings, seed and fold."""
    return [run for each in group(runs, differing(runs)) for run in each.runs]


def _by_seed(runs: list[Run], metric: str) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for run in runs:
        value = run.number(metric)
        if value is None:
            continue
        if run.replicate in found:
            raise UserError(
                f"One side of compare= holds several runs of seed {run.replicate[0]}: say more there, or narrow all "
                "with where=."
            )
        found[run.replicate] = value
    return found
