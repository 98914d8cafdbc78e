"""`loss_graph.png`."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl

from mnist_lightning.callbacks.metrics_json import MetricsJSON
from mnist_lightning.callbacks.pictures import keep


class LossGraph(pl.Callback):
    """Draws the losses of all epochs when training ends, as MetricsJSON recorded them."""

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw what there is."""
        self._draw(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Draw what there is, for an interrupted run, too."""
        self._draw(trainer)

    def _draw(self, trainer: pl.Trainer) -> None:
        metrics = next((each for each in trainer.callbacks if isinstance(each, MetricsJSON)), None)  # type: ignore[attr-defined]
        if metrics is None or metrics.record is None or not trainer.is_global_zero:
            return
        from mnist_lightning.plots import loss_graph

        best = getattr(trainer.checkpoint_callback, "best", None)
        figure = loss_graph.of_record({**metrics.record.content, "best": best})
        path = Path(trainer.default_root_dir) / "loss_graph.png"
        keep(figure, path, trainer.loggers, trainer.current_epoch, "train")
