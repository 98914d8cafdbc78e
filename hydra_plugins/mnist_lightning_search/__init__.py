"""Optuna behind `-m search=...`, as a Hydra sweeper.

Hydra takes plugins only from `hydra_plugins` and imports them all at each start, so this holds nothing but the door;
what lies behind it is `mnist_lightning.sweeps.search`.
"""

from __future__ import annotations

from hydra_plugins import mnist_lightning_grid  # the module, since Hydra lists every sweeper that it finds by name here


class SearchSweeper(mnist_lightning_grid.GridSweeper):
    """Asks a study for settings, has a launcher train with them, and tells the study what came out.

    Of the settings of plain sweeps `params` counts; `search.n_jobs` says how many trials are launched at a time.
    """

    def sweep(self, arguments: list[str]) -> None:
        """Search, or go on with a search, until it has all its trials."""
        from mnist_lightning.sweeps.search import search

        given = [f"{key}={value}" for key, value in self.params.items()]
        search(self.config, [*given, *arguments], self.hydra_context.config_loader, self.launcher)
