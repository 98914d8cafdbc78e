"""The report of a search: the table of its trials, its pictures, and the command that repeats the best one."""

from __future__ import annotations

import contextlib
import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path

import optuna
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState

from mnist_lightning.cli.commands import program
from mnist_lightning.plots import study as study_figures
from mnist_lightning.plots import style
from mnist_lightning.plots.objective import shown
from mnist_lightning.plots.slices import slices
from mnist_lightning.run import files
from mnist_lightning.run import folder as runs
from mnist_lightning.sweeps import tables
from mnist_lightning.sweeps.objectives import DIRECTIONS, Outcome
from mnist_lightning.sweeps.study import Ledger

STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
TREES = 32  # of fANOVA's forest; Optuna's 64 take twice the time for the same picture


class Report:
    """Writes the report of a search into the study's folder.

    Args:
        ledger: the study.
        folder: its folder.
        objectives: their names.
        fixed: the overrides that all trials share.
    """

    def __init__(self, ledger: Ledger, folder: Path, objectives: Sequence[str], fixed: Sequence[str]) -> None:
        self.ledger, self.folder, self.objectives = ledger, folder, objectives
        self.fixed = list(fixed)

    def line(self, trial: FrozenTrial, outcome: Outcome) -> str:
        """One trial in a line."""
        told = ", ".join(self.ledger.space.overrides(trial.params))
        if outcome.state == "finished":
            pairs = zip(self.objectives, outcome.values or (), strict=True)
            return f"trial {trial.number}: {', '.join(f'{a} {shown(a, b)}' for a, b in pairs)}  ({told})"
        return f"trial {trial.number}: {outcome.state}{': ' * bool(outcome.error)}{outcome.error}  ({told})"

    def table(self) -> None:
        """Write `trials.csv`: one line per trial, with its values, its settings, its epochs and what went wrong."""
        settings = list(self.ledger.space.distributions)
        head, records = ["trial", "state", *self.objectives, *settings, "epochs", "seconds", "error"], []
        for trial in self.ledger.trials():
            values = trial.values or [None] * len(self.objectives)
            if trial.state == TrialState.PRUNED:
                values = [next(reversed(trial.intermediate_values.values()), None)]
            error = trial.user_attrs.get("error", "")
            interrupted = trial.state == TrialState.FAIL and not error
            records.append([
                trial.number, "interrupted" if interrupted else STATES[trial.state], *values,
                *(trial.params.get(name) for name in settings), len(trial.intermediate_values) or None,
                round(trial.duration.total_seconds(), 1) if trial.duration else None, error,
            ])  # fmt: skip
        files.write_text(self.folder / "trials.csv", tables.comma_separated(head, records))

    def best(self) -> list[FrozenTrial]:
        """The best trial, or those of the front, the best in the first objective first; empty if none finished."""
        if not any(trial.state == TrialState.COMPLETE for trial in self.ledger.trials()):
            return []
        found = self.ledger.study.best_trials
        if len(self.objectives) == 1:
            return [self.ledger.study.best_trial]
        sign = -1 if DIRECTIONS[self.objectives[0]] == "maximize" else 1
        return sorted(found, key=lambda trial: (sign * trial.values[0], trial.number))

    def command(self, trial: FrozenTrial) -> str:
        """The command line for the trial's settings."""
        words = [*self.fixed, *self.ledger.space.overrides(trial.params)]
        return shlex.join([*program("train", home=True), *words])

    def write(self) -> None:
        """Write the pictures and `best.txt`."""
        done = [trial for trial in self.ledger.trials() if trial.values or trial.intermediate_values]
        done = [trial for trial in done if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        if len(self.objectives) == 1:
            self._save("history", self._history(done))
            self._save("importance", self._importance(0))
            self._save("slices", self._slices(done, 0))
        else:
            finished = [trial for trial in done if trial.state == TrialState.COMPLETE]
            numbers = [trial.number for trial in finished]
            front = [numbers.index(trial.number) for trial in self.best()]
            points = [trial.values for trial in finished]
            names = [str(number) for number in numbers]
            self._save("pareto", study_figures.pareto(points, front, names, self.objectives))
            for place, name in enumerate(self.objectives):
                self._save(f"importance_{name}", self._importance(place))
                self._save(f"slices_{name}", self._slices(finished, place))
        if best := self.best():
            lines = [f"# trial {trial.number}: {self._values(trial)}\n{self.command(trial)}\n" for trial in best]
            files.write_text(self.folder / "best.txt", "".join(lines))

    def _history(self, done: list[FrozenTrial]) -> Figure:
        name = self.objectives[0]
        values, pruned = self._reached(done, 0)
        return study_figures.history(
            [trial.number for trial in done], values, pruned, name, DIRECTIONS[name] == "maximize"
        )

    def _slices(self, done: list[FrozenTrial], place: int) -> Figure:
        settings, name = self.ledger.space.distributions, self.objectives[place]
        tried = {key: [trial.params.get(key) for trial in done] for key in settings}
        logarithmic = {key: bool(each.log) for key, each in settings.items() if hasattr(each, "log")}
        values, pruned = self._reached(done, place)
        return slices(tried, values, pruned, name, DIRECTIONS[name] == "maximize", logarithmic)

    @staticmethod
    def _reached(done: list[FrozenTrial], place: int) -> tuple[list[float], list[bool]]:
        """The objective's value of each trial, in its last epoch if it was pruned; and whether it was."""
        pruned = [trial.state == TrialState.PRUNED for trial in done]
        values = [
            next(reversed(trial.intermediate_values.values())) if cut else trial.values[place]
            for trial, cut in zip(done, pruned, strict=True)
        ]
        return values, pruned

    def _importance(self, place: int) -> Figure:
        study = self.ledger.study
        shares: dict[str, float] = {}
        results = {trial.values[place] for trial in study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])}
        if len(results) > 1:  # for equal results Optuna would call all settings equally important
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=0)
                with contextlib.suppress(ValueError, RuntimeError):  # too few finished trials
                    shares = optuna.importance.get_param_importances(
                        study, evaluator=evaluator, target=lambda trial: trial.values[place]
                    )
        return study_figures.importance(shares, self.objectives[place])

    def _save(self, name: str, figure: Figure) -> None:
        style.save(figure, self.folder / f"{name}.png")

    def _values(self, trial: FrozenTrial) -> str:
        pairs = zip(self.objectives, trial.values, strict=True)
        return ", ".join(f"{name} {shown(name, value)}" for name, value in pairs)

    def summary(self) -> str:
        """The end of the search in a few lines, for the terminal."""
        trials, best = self.ledger.trials(), self.best()
        count = {name: sum(STATES[trial.state] == name for trial in trials) for name in ("finished", "pruned")}
        failed = sum("error" in trial.user_attrs for trial in trials)
        lines = ["", ", ".join([*(f"{number} {name}" for name, number in count.items()), f"{failed} failed"])]
        lines += [f"best           trial {trial.number}, {self._values(trial)}" for trial in best[:5]]
        if best:
            lines += ["train it with  " + self.command(best[0])]
        lines += [f"folder         {runs.shown(self.folder.resolve())} (trials.csv, best.txt, pictures)"]
        return "\n".join(lines)
