"""A study as a ledger of trials that several processes share, any of which may die at any moment.

Knows nothing of Hydra or of how a trial is trained. Invariants:

- Only finished and pruned trials count. A failed one is replaced by another.
- There are never more of them than asked for: each process claims a trial before it runs it, under a lock in the
  study's folder; those on other machines resolve it by the numbers that the storage gave to their trials.
- A trial whose process has died counts if its folder says that it ended. Otherwise its values are tried again.
- Values with which a trial has finished or is being trained are not tried again.
- Each method can be called again if the database was unavailable in the middle of it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import DuplicatedStudyError, OptunaError
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from mnist_lightning.errors import UserError
from mnist_lightning.sweeps import storage
from mnist_lightning.sweeps.objectives import Direction, Outcome
from mnist_lightning.sweeps.samplers import Reseeded
from mnist_lightning.sweeps.space import Space
from mnist_lightning.sweeps.workers import Watch, Worker

COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)
STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
MOST_ATTEMPTS = 5  # a trial whose process has died this often is not tried again


class Ledger:
    """A study, opened or created.

    Args:
        name: that of the study.
        folder: that of the study, which exists; lock files go there.
        address: the storage's URL.
        local: whether the storage is the file in `folder`, so that every process that sees one sees the other.
        total: trials wanted in all.
        directions: `maximize` or `minimize` for each objective.
        sampler: what proposes the trials.
        pruner: what stops the trials.
        terms: what must be the same in each process that works on the study, as plain data.
        read_outcome: reads how a trial ended from its folder; None if it does not say.

    Raises:
        UserError: the storage cannot be opened, or the study was begun with other terms.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        address: str,
        local: bool,
        total: int,
        directions: Sequence[Direction],
        sampler: Reseeded,
        pruner: BasePruner,
        terms: Mapping[str, Any],
        read_outcome: Callable[[int], Outcome | None],
    ) -> None:
        self.space: Space = sampler.space
        self.local, self.read_outcome, self._beats = local, read_outcome, 0
        self.grid = sampler.name == "grid"
        self._total, self._size = total, self.space.size
        self._claimed: set[int] = set()  # what `claim` has returned
        self._reported: set[int] = set()  # what `tell` was called for
        self.lock = FileLock(folder / "study.lock")
        with self.lock:
            self.storage = storage.connect(address)
            self.study = self._open(name, directions, terms)
        self.study.sampler, self.study.pruner = sampler, pruner
        self.worker = Worker(folder / "workers", None if local else self._beat)
        self.watch = Watch(folder / "workers", None if local else self._last_beat)
        with self.lock:
            self._settle_dead()

    def _open(self, name: str, directions: Sequence[Direction], terms: Mapping[str, Any]) -> optuna.Study:
        names = self.storage.get_all_studies()
        if name not in [each.study_name for each in names]:
            try:
                study = optuna.create_study(study_name=name, storage=self.storage, directions=list(directions))
                study.set_user_attr("terms", json.dumps(terms))
                return study
            except DuplicatedStudyError:
                pass  # another machine was faster
        study = optuna.load_study(study_name=name, storage=self.storage)
        begun = json.loads(study.user_attrs.get("terms", "null"))
        if begun is None:  # its process was killed in between
            study.set_user_attr("terms", json.dumps(terms))
        elif begun != json.loads(json.dumps(terms)):
            raise UserError(
                f"The study {name} was begun with {_difference(begun, terms)}: go on with the same, or begin another "
                "with search.study=."
            )
        return study

    # What the study holds.

    def trials(self) -> list[FrozenTrial]:
        """All trials except those that were given back because others had claimed the last ones."""
        return [each for each in self.study.get_trials(deepcopy=False) if "surplus" not in each.user_attrs]

    @property
    def total(self) -> int:
        """Trials that there will be: as many as asked for, or all different ones that do not fail."""
        if self._size is None:
            return self._total
        failed = 0 if self.grid else len({_point(each) for each in self.trials() if "error" in each.user_attrs})
        return min(self._total, self._size - failed)

    def counted(self) -> int:
        """Trials that finished or were pruned; in a grid, which tries no point twice, failed ones too."""
        return sum(self._counts(each) for each in self.trials())

    def _counts(self, trial: FrozenTrial) -> bool:
        return trial.state in COUNTED or (self.grid and "error" in trial.user_attrs and trial.state == TrialState.FAIL)

    def running(self) -> int:
        """Trials that somebody is training."""
        return sum(each.state == TrialState.RUNNING for each in self.trials())

    # What happens to a trial.

    def claim(self, count: int) -> list[FrozenTrial]:
        """Take up to `count` trials, as many as are free; this process then runs them and calls `tell` for each."""
        with self.lock:
            self._settle_dead()
            # Already claimed, by a call that the database cut short.
            claimed: list[FrozenTrial | None] = [
                each
                for each in self.trials()
                if each.state == TrialState.RUNNING
                and each.user_attrs.get("worker") == self.worker.name
                and each.number not in self._claimed
            ]
            free = self.total - self.counted() - self.running()
            claimed += [self._claim_one() for _ in range(min(count - len(claimed), free))]
            found = [each for each in claimed if each is not None]
            self._claimed |= {each.number for each in found}
        return found

    def _claim_one(self) -> FrozenTrial | None:
        asked = self.study.ask(self.space.distributions)
        while _point(asked) in self._taken(but=asked.number):
            if self._size is not None:
                self._propose_another(asked.number)
            asked.set_user_attr("surplus", True)
            self.study.tell(asked.number, state=TrialState.FAIL)
            asked = self.study.ask(self.space.distributions)
        asked.set_user_attr("worker", self.worker.name)
        mine = asked.number
        before = [each for each in self.trials() if each.number <= mine]
        rank = sum(self._counts(each) or not each.state.is_finished() for each in before)
        if rank > self.total:  # another machine has claimed at the same time, and its number is lower
            asked.set_user_attr("surplus", True)
            self.study.tell(mine, state=TrialState.FAIL)
            return None
        return self._get(mine)

    def _taken(self, but: int = -1) -> set[Point]:
        """The values that need no further trial: tried, being tried, waiting to be tried again, or failed."""
        return {
            _point(each)
            for each in self.trials()
            if each.number != but and (each.state != TrialState.FAIL or "error" in each.user_attrs)
        }

    def _propose_another(self, number: int) -> None:
        """If the sampler proposes what has been tried, make the next trial one of the others, at random."""
        taken = self._taken()
        free = [each for each in self.space.points() if _as_point(each) not in taken]
        if free:
            self.study.enqueue_trial(random.Random(number).choice(free), user_attrs={"in_place_of": number})

    def tell(self, number: int, outcome: Outcome) -> bool:
        """Record how a trial ended; False if it was given to another process in the meantime.

        An interrupted trial's values go back, to be tried again.
        """
        trial = self._get(number)
        again = number in self._reported
        self._reported.add(number)
        if trial.user_attrs.get("worker") != self.worker.name:
            return False
        if trial.state != TrialState.RUNNING:  # by an earlier call, which the database cut short
            return again and STATES.get(outcome.state) == trial.state
        try:
            with self.lock:
                self._settle(trial, outcome)
        except OptunaError:
            if not self._get(number).state.is_finished():
                raise
            return False
        return True

    def _settle(self, trial: FrozenTrial, outcome: Outcome) -> None:
        if outcome.state == "finished":
            self.study.tell(trial.number, list(outcome.values or ()))
        elif outcome.state == "pruned":
            self.study.tell(trial.number, state=TrialState.PRUNED)
        elif outcome.state == "failed":
            study_id = self.storage.get_study_id_from_name(self.study.study_name)
            trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
            self.storage.set_trial_user_attr(trial_id, "error", outcome.error)
            self.study.tell(trial.number, state=TrialState.FAIL)
        else:
            self._try_again(trial)

    def _try_again(self, trial: FrozenTrial) -> None:
        attempt = trial.user_attrs.get("attempt", 1)
        done = any(each.user_attrs.get("repeats") == trial.number for each in self.trials())
        if attempt >= MOST_ATTEMPTS:
            self._settle(trial, Outcome("failed", error=f"its process died {attempt} times"))
            return
        # First the new one, then the end of the old: if killed in between, the old one is found and settled again.
        values = trial.params or trial.system_attrs.get("fixed_params", {})
        if values and not done:
            self.study.enqueue_trial(values, user_attrs={"repeats": trial.number, "attempt": attempt + 1})
        self.study.tell(trial.number, state=TrialState.FAIL)

    def _settle_dead(self) -> None:
        for trial in self.trials():
            if trial.state == TrialState.RUNNING and not self._lives(trial):
                self._settle(trial, self.read_outcome(trial.number) or Outcome("interrupted"))

    def _lives(self, trial: FrozenTrial) -> bool:
        worker = trial.user_attrs.get("worker")
        if worker is None and self.local:  # claimed by nobody, and nobody is claiming it now: we hold the lock
            return False
        return self.watch.lives(worker or f"unknown-{trial.number}")

    def _get(self, number: int) -> FrozenTrial:
        return next(each for each in self.study.get_trials(deepcopy=False) if each.number == number)

    def predecessors(self, trial: FrozenTrial) -> list[int]:
        """The trials with the values of this one that died, the latest first."""
        found: list[int] = []
        while (number := trial.user_attrs.get("repeats")) is not None:
            found.append(number)
            trial = self._get(number)
        return found

    def inherit(self, trial: FrozenTrial, number: int, epochs: int) -> None:
        """Take over what trial `number` has reported for its first epochs, which this one does not train again."""
        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
        for epoch, value in self._get(number).intermediate_values.items():
            if epoch <= epochs:
                self.storage.set_trial_intermediate_value(trial_id, epoch, value)

    # Signs of life, for machines that do not share the folder.

    def _beat(self, name: str) -> None:
        self._beats += 1
        try:
            self.study.set_user_attr(f"beat of {name}", self._beats)
        except Exception:  # a thread has a session of its own
            storage.forget_session()
            raise

    def _last_beat(self, name: str) -> object:
        return self.study.user_attrs.get(f"beat of {name}")

    def close(self) -> None:
        """Leave the study: trials still claimed go back to be tried again."""
        with self.lock:
            for trial in self.trials():
                if trial.state == TrialState.RUNNING and trial.user_attrs.get("worker") == self.worker.name:
                    self._settle(trial, self.read_outcome(trial.number) or Outcome("interrupted"))
        self.worker.close()


Point = tuple[tuple[str, Any], ...]
"""A trial's values in a form that can be compared."""


def _as_point(params: Mapping[str, Any]) -> Point:
    return tuple(sorted((key, str(value)) for key, value in params.items()))


def _point(trial: FrozenTrial | optuna.Trial) -> Point:
    fixed = trial.system_attrs.get("fixed_params", {}) if isinstance(trial, FrozenTrial) else {}
    return _as_point({**fixed, **trial.params})


def _difference(begun: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Words for the first term in which a study differs from what is asked for now."""
    for name, before in begun.items():
        if before != now.get(name):
            if isinstance(before, dict):
                changed = sorted(key for key in {*before, *now[name]} if before.get(key) != now[name].get(key))
                return f"another {name} (it differs in {', '.join(changed)})"
            return f"another {name} ({' '.join(map(str, before)) or 'none'})"
    return "other terms"
