"""The loggers of a run, and what they get when it has ended."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mnist_lightning import compat
from mnist_lightning.errors import UserError
from mnist_lightning.types import Text

FIRST = ("model._target_", "optimizer._target_", "optimizer.lr", "optimizer.weight_decay", "data.batch_size",
         "trainer.max_epochs", "scheduler._target_", "seed")  # fmt: skip
"""The settings that a table of runs shows first."""
TAGS = {
    "test_accuracy": "test/accuracy", "val_accuracy": "val/best_accuracy", "val_loss": "val/best_loss",
    "fit_seconds": "train/fit_seconds",
}  # fmt: skip
"""TensorBoard's names for a run's results. Its table takes them from the scalars: each is sorted after the curves of
its group, so that a chart with a single dot does not come first."""


def mlflow(
    save_dir: Path,
    experiment_name: Text = "mnist",
    tracking_uri: Text | None = None,
    name: Text | None = None,
    outputs: Path = Path("outputs"),
) -> Any:
    """Lightning's MLFlowLogger; without a `tracking_uri` it keeps its runs in `mlflow.db` under `outputs`.

    Raises:
        UserError: a package that it needs is not installed.
    """
    try:
        import alembic  # noqa: F401  MLflow needs it for a database, and mlflow-skinny does not install it
        import sqlalchemy
        from lightning.pytorch.loggers import MLFlowLogger
    except ModuleNotFoundError as error:
        raise _missing("mlflow", error) from None
    # Creating an experiment or a database where there is none yet is not news, and would be logged twice.
    for each in ("lightning.pytorch.loggers.mlflow", "mlflow.store.db.utils", "alembic"):
        logging.getLogger(each).setLevel(logging.ERROR)
    root = outputs.resolve()
    uri = tracking_uri or str(sqlalchemy.URL.create("sqlite", database=str(root / "mlflow.db")))
    with _without_stray_folders(Path(uri.removeprefix("sqlite:///")).parent):
        logger = MLFlowLogger(
            experiment_name=experiment_name,
            run_name=name or save_dir.name,
            tracking_uri=uri,
            artifact_location=(root / "mlflow").as_uri(),
        )
        logger.experiment  # noqa: B018  opens the database
    return logger


@contextlib.contextmanager
def _without_stray_folders(place: Path) -> Iterator[None]:
    """Remove on exit a folder that MLflow makes under the URL form of a path, where `%20` is a space."""
    stray = [each for each in (place, *place.parents) if not each.exists()]
    yield
    for each in stray:
        with contextlib.suppress(OSError):  # not empty: it is the right one
            each.rmdir()


def wandb(save_dir: Path, project: Text = "mnist", offline: bool = True, name: Text | None = None) -> Any:
    """Lightning's WandbLogger.

    Raises:
        UserError: the package is not installed.
    """
    try:
        from lightning.pytorch.loggers import WandbLogger

        return WandbLogger(name=name or save_dir.name, save_dir=save_dir, project=project, offline=offline)
    except ModuleNotFoundError as error:
        raise _missing("wandb", error) from None


def _missing(name: str, error: ModuleNotFoundError) -> UserError:
    return UserError(
        f'logger={name} needs a package that is not installed: pip install "mnist-lightning[{name}]" ({error}).'
    )


def log_results(loggers: list[Any], record: Mapping[str, Any]) -> None:
    """Pass the hyperparameters and results of a run to its loggers, and close them with how it ended.

    Args:
        loggers: Lightning's.
        record: what `training_metrics.json` holds.
    """
    from mnist_lightning.cli.check import dotted

    plain = {key: value if isinstance(value, int | float | str) else str(value)
             for key, value in dotted(record["hyperparameters"])}  # fmt: skip
    best, test = record["best"] or {}, record["test"] or {}
    results = {
        "test_accuracy": test.get("accuracy"),
        "val_accuracy": best.get("val_accuracy"),
        "val_loss": best.get("val_loss"),
        "parameters": record.get("parameters"),
        "fit_seconds": record["timing"].get("fit_seconds"),
    }
    known = {key: float(value) for key, value in results.items() if value is not None}
    for logger in loggers:
        kind = type(logger).__name__
        if kind == "TensorBoardLogger":
            tagged = {tag: known[key] for key, tag in TAGS.items() if key in known}
            fixed = {"parameters": known["parameters"]} if "parameters" in known else {}
            compat.show_hparams(logger.experiment, plain | fixed, tagged, FIRST)
            logger.log_metrics(tagged, len(record["history"]["epoch"]))
        else:
            logger.log_hyperparams(plain)
            logger.log_metrics(known)
        _close(logger, record["status"])


def close_failed(loggers: list[Any]) -> None:
    """Close the loggers of a run that an exception has ended; an error in this is passed over for the exception.

    Args:
        loggers: Lightning's.
    """
    for logger in loggers:
        with contextlib.suppress(Exception):
            _close(logger, "failed")


_ENDS = {"failed": ("failed", 1), "interrupted": ("KILLED", 255)}
"""How a run that did not end as planned ended: as Lightning's MLFlowLogger passes it on, and as an exit code for W&B,
which itself ends a run with 255 on Ctrl-C."""


def _close(logger: Any, status: str) -> None:
    """Close a logger, and mark its run with how it ended: a status of the record."""
    word, code = _ENDS.get(status, ("success", 0))
    logger.finalize(word)
    if type(logger).__name__ == "WandbLogger":
        import wandb

        if wandb.run is not None:  # otherwise the next job of a sweep, in this process, would write into it
            wandb.run.finish(exit_code=code)
