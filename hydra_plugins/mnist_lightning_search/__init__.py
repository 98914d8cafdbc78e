"""Optuna behind `-m search=...`, as a Hydra sweeper.

Hydra takes plugins only from `hydra_plugins` and imports them all at each start, so this holds nothing but the door;
what lies behind it is `mnist_lightning.sweeps.search`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SearchSweeper(Sweeper):
    """Asks a study for settings, has a launcher train with them, and tells the study what came out.

    Args:
        max_batch_size: of plain sweeps; `search.n_jobs` says how many trials are launched at a time.
        params: further overrides, as on a command line: `{"optimizer.lr": "0.01,0.02"}`.
    """

    def __init__(self, max_batch_size: int | None = None, params: Mapping[str, Any] | None = None) -> None:
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over, and make the launcher that was chosen."""
        self.config_loader, self.config = hydra_context.config_loader, config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Search, or go on with a search, until it has all its trials."""
        from mnist_lightning.sweeps.search import search

        given = [f"{key}={value}" for key, value in self.params.items()]
        return search(self.config, [*given, *arguments], self.config_loader, self.launcher)
