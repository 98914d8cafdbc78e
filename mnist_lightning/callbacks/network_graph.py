"""The graph of the network in TensorBoard."""

from __future__ import annotations

import warnings

import lightning.pytorch as pl


class NetworkGraph(pl.Callback):
    """Shows TensorBoard how the layers of the network are connected."""

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Trace the network once."""
        for logger in trainer.loggers:
            if type(logger).__name__ == "TensorBoardLogger" and trainer.is_global_zero:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the tracer's, about itself
                    network, example = pl_module.network, pl_module.example_input_array
                    logger.experiment.add_graph(network.cpu(), example)  # type: ignore[attr-defined]
