"""Every combination of the values on the command line, as a Hydra sweeper; the default of `-m`.

Hydra takes plugins only from `hydra_plugins` and imports them all at each start, so this holds nothing but the door;
what lies behind it is `mnist_lightning.sweeps.grid`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """Runs every combination of the values that were given, each once.

    Args:
        max_batch_size: jobs that the launcher gets at a time; None for all.
        params: further settings that are swept, as on a command line: `{"seed": "range(3)"}`.
    """

    def __init__(self, max_batch_size: Any = None, params: Mapping[str, Any] | None = None) -> None:
        self.max_batch_size, self.params = max_batch_size, dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands over, and make the launcher that was chosen."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run all jobs."""
        from mnist_lightning.sweeps.grid import sweep

        given = [f"{key}={value}" for key, value in self.params.items()]
        sweep(self.config, [*given, *arguments], self.max_batch_size, self.hydra_context.config_loader, self.launcher)
