"""What proposes the next trial and what stops a poor one, by name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from mnist_lightning.errors import UserError
from mnist_lightning.sweeps.space import Space

POPULATION = 12  # NSGA-II's, per generation; Optuna's 50 would be one generation of random trials in most searches here
REDUCTION = 3  # one in three trials in a rung of successive halving goes on, as in Li et al., Hyperband (2018)


class Reseeded(BaseSampler):
    """A sampler created again for each trial, seeded by the trial's number.

    A sampler that lasts for a whole search and is seeded at its start proposes the same values again after each
    restart. This one proposes what an uninterrupted search would have proposed.

    Args:
        name: `tpe`, `gp`, `random`, `grid`, `cmaes` or `nsga2`.
        space: what is searched over.
        seed: that of the search.
        startup_trials: random trials before `tpe` and `gp` learn from them.

    Raises:
        UserError: the sampler does not support this space.
    """

    def __init__(self, name: str, space: Space, seed: int, startup_trials: int) -> None:
        self.name, self.space, self.seed, self.startup_trials = name, space, seed, startup_trials
        numbers = [each for each in space.distributions.values() if not isinstance(each, CategoricalDistribution)]
        if name == "cmaes" and (len(numbers) < len(space.distributions) or len(numbers) < 2):
            raise UserError("search.sampler=cmaes needs two settings or more, all with low and high: take tpe or gp.")
        self.grid_size = 1
        if name == "grid":
            for values in space.grid().values():
                self.grid_size *= len(values)
        self.current = self._make(0)

    def _make(self, number: int) -> BaseSampler:
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if self.name == "tpe":
                return optuna.samplers.TPESampler(n_startup_trials=self.startup_trials, constant_liar=True, seed=seed)
            if self.name == "gp":
                return optuna.samplers.GPSampler(n_startup_trials=self.startup_trials, seed=seed)
            if self.name == "grid":
                return optuna.samplers.GridSampler(self.space.grid(), seed=self.seed)  # one shuffle for all
            if self.name == "cmaes":
                return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
            if self.name == "nsga2":
                return optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
            return optuna.samplers.RandomSampler(seed=seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Make the trial's own sampler."""
        self.current = self._make(trial.number)
        self.current.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Ask the trial's sampler."""
        return self.current.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask the trial's sampler."""
        return self.current.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Ask the trial's sampler."""
        return self.current.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Pass the result on; the grid does not need it, and would stop a `Study.optimize` that does not run here."""
        if self.name != "grid":
            self._make(trial.number).after_trial(study, trial, state, values)


def pruner(search: Mapping[str, Any], max_epochs: int) -> BasePruner:
    """The pruner that the `search` settings name; epochs count from 1.

    Sources: median, Golovin et al., Vizier (2017); asha, Li et al., Massively Parallel Hyperparameter Tuning (2018);
    hyperband, Li et al. (2018).
    """
    first = search["warmup_epochs"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if search["pruner"] == "median":
            return MedianPruner(n_startup_trials=search["startup_trials"], n_warmup_steps=first)
        if search["pruner"] == "asha":
            return SuccessiveHalvingPruner(min_resource=first, reduction_factor=REDUCTION)
        if search["pruner"] == "hyperband":
            return HyperbandPruner(min_resource=first, max_resource=max_epochs, reduction_factor=REDUCTION)
    return NopPruner()
