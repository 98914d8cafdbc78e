"""The graph of the network in TensorBoard."""

from __future__ import annotations

import copy
import warnings

import lightning.pytorch as pl
import torch


class NetworkGraph(pl.Callback):
    """Shows TensorBoard how the layers of the network are connected."""

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Trace the network once."""
        for logger in trainer.loggers:
            if type(logger).__name__ == "TensorBoardLogger" and trainer.is_global_zero:
                # A copy: tracing runs the network, which would change the averages of batch norm.
                network, example = copy.deepcopy(pl_module.network).cpu(), pl_module.example_input_array
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the tracer's warnings about itself
                    # Traced here, since `add_graph` would trace it twice, to compare.
                    traced = torch.jit.trace(network, example, check_trace=False)
                    logger.experiment.add_graph(traced, example)  # type: ignore[attr-defined]
