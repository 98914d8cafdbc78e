"""Loggers by name, and what they get when a run has ended: pictures, hyperparameters, final metrics."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnist_lightning.errors import UserError


def build(settings: Mapping[str, Mapping[str, Any]] | None, run: Path, outputs: Path) -> list[Any]:
    """Make the Lightning loggers of `conf/logger/`, all offline unless told otherwise.

    Raises:
        UserError: the package that one needs is not installed.
    """
    return [_build(name, dict(knobs), run, outputs) for name, knobs in (settings or {}).items()]


def _build(name: str, knobs: dict[str, Any], run: Path, outputs: Path) -> Any:
    try:
        if name == "tensorboard":
            import torch.utils.tensorboard  # noqa: F401  now, and not at the first step
            from lightning.pytorch.loggers import TensorBoardLogger

            return TensorBoardLogger(run, name="tensorboard", version="", default_hp_metric=False)
        if name == "csv":
            from lightning.pytorch.loggers import CSVLogger

            return CSVLogger(run, name="csv", version="", flush_logs_every_n_steps=knobs["flush_every_n_steps"])
        if name == "mlflow":
            import alembic  # noqa: F401  what MLflow needs for a database, and mlflow-skinny does not bring
            import sqlalchemy  # noqa: F401
            from lightning.pytorch.loggers import MLFlowLogger

            knobs["tracking_uri"] = knobs["tracking_uri"] or f"sqlite:///{outputs.resolve()}/mlflow.db"
            return MLFlowLogger(run_name=run.name, artifact_location=str(outputs.resolve() / "mlflow"), **knobs)
        if name == "wandb":
            from lightning.pytorch.loggers import WandbLogger

            return WandbLogger(name=run.name, save_dir=run, **knobs)
    except ModuleNotFoundError as error:
        raise UserError(
            f'logger={name} needs a package that is not installed: pip install -e ".[{name}]" ({error}).'
        ) from None
    raise UserError(f"There is no logger={name}; choose tensorboard, csv, mlflow, wandb or none.")


def _add_png(writer: Any, name: str, path: Path) -> None:
    """Hand a PNG file to TensorBoard as it is: `add_image` would compress its pixels once more."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = struct.unpack(">II", (png := path.read_bytes())[16:24])  # the first chunk begins with them
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
    writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=name, image=image)]))


_graphs: dict[str, Any] = {}
"""What `_graph` has made in this process, by the network's own description."""


def _graph(network: nn.Module) -> Any:
    """The network as TensorBoard's `GraphDef`; networks that are alike but for their weights share one."""
    from torch.utils.tensorboard._pytorch_graph import graph

    if (description := repr(network)) not in _graphs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's: about itself, not about the network
            example = torch.zeros(1, 1, 28, 28)
            # `graph` would trace it twice, to compare.
            _graphs[description] = graph(torch.jit.trace(network, example, check_trace=False), example)
    return _graphs[description]


def finish(
    loggers: list[Any],
    settings: Mapping[str, Mapping[str, Any]],
    hyperparameters: Mapping[str, Any],
    final: Mapping[str, float],
    pictures: Mapping[str, Path],
    network: nn.Module | None,
) -> None:
    """Hand over the end of a run.

    Args:
        loggers: what `build` returned.
        settings: what `build` was given.
        hyperparameters: the run's settings, nested plain data.
        final: the numbers that runs are compared by.
        pictures: name -> PNG file.
        network: the trained network, whose graph TensorBoard shows.
    """
    for logger in loggers:
        kind = type(logger).__name__
        if kind == "TensorBoardLogger":
            logger.log_hyperparams(dict(hyperparameters), dict(final))
            for name, path in pictures.items():
                _add_png(logger.experiment, name, path)
            if network is not None and settings["tensorboard"]["graph"]:
                logger.experiment._get_file_writer().add_graph(_graph(network))
        else:
            logger.log_hyperparams(dict(hyperparameters))
            logger.log_metrics(dict(final))
            if kind == "WandbLogger":
                for name, path in pictures.items():
                    logger.log_image(name, [str(path)])
            if kind == "MLFlowLogger":
                for path in pictures.values():
                    logger.experiment.log_artifact(logger.run_id, str(path))
        logger.finalize("success")
        if kind == "WandbLogger":
            logger.experiment.finish()  # or else the next job of a sweep would write into this run
