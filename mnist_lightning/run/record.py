"""The record of a run, `training_metrics.json`: the only place that knows its schema and the only writer of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_lightning.errors import UserError
from mnist_lightning.run.files import write_json
from mnist_lightning.run.record_check import HISTORY, read_record

METRICS_FILE = "training_metrics.json"
SCHEMA_VERSION = 1
NOT_HYPERPARAMETERS = ("outputs", "logger", "callbacks", "sweep", "search")  # do not change what is learned

_ROUNDED = ("history", "best", "test", "timing", "drawings")  # measured values; settings are kept as they are


class Record:
    """What a run has reached so far. Each transition writes the whole file, so that it is correct at any moment.

    Args:
        folder: the run folder; None for a process that must not write (a rank that is not the first).
        content: what an earlier run has recorded, to continue from.
    """

    def __init__(self, folder: Path | None, content: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self.content: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "status": "running",
            "history": {name: [] for name in HISTORY},
            "best": None,
            "test": None,
            "hyperparameters": {},
            "timing": {"fit_seconds": 0.0, "seconds_per_epoch": []},
            "environment": {},
            **(content or {}),
        }

    @classmethod
    def open(cls, folder: Path) -> Record:
        """The record of a run folder, or a new one if there is none that can be read."""
        try:
            return cls(folder, read_metrics(folder))
        except UserError:
            return cls(folder)

    @property
    def status(self) -> str:
        """`running`, `finished`, `interrupted`, `failed` or `pruned`."""
        return self.content["status"]

    @property
    def epochs(self) -> int:
        """How many epochs are done."""
        return len(self.content["history"].get("epoch", ()))

    # ---- transitions

    def started(self, settings: Mapping[str, Any], **facts: Any) -> None:
        """The run is set up.

        Args:
            settings: the whole config.
            **facts: `dataset`, `batch`, `parameters`, `environment`, what was asked for, and so on.
        """
        chosen = {key: value for key, value in settings.items() if key not in NOT_HYPERPARAMETERS}
        self.content |= {"seed": settings.get("seed"), "hyperparameters": chosen, **facts, "status": "running"}

    def epoch_done(self, values: Mapping[str, float], seconds: float) -> None:
        """An epoch has ended; `values` are those of `HISTORY`. `save` writes it, after its checkpoint."""
        history = self.content["history"]
        for name in HISTORY:
            history.setdefault(name, [None] * self._length()).append(values.get(name))
        self.content["timing"]["seconds_per_epoch"].append(seconds)

    def save(self, best: Mapping[str, Any] | None, fit_seconds: float) -> None:
        """Write what the epochs so far have reached; `best` is the epoch of `best.ckpt`."""
        self.content["best"] = None if best is None else dict(best)
        self.content["timing"]["fit_seconds"] = fit_seconds
        self.write()

    def tested(self, scores: Mapping[str, Any]) -> None:
        """The best checkpoint was scored on the test images."""
        self.content["test"] = dict(scores)
        self.write()

    def note(self, **facts: Any) -> None:
        """Add facts, without writing."""
        self.content |= facts

    def timed(self, **seconds: Any) -> None:
        """Add to the timing, without writing."""
        self.content["timing"] |= seconds

    def finished(self) -> None:
        """All that was asked for is done."""
        self._end("finished")

    def pruned(self) -> None:
        """The search has seen enough of this trial; the rest is completed except for the test."""
        self._end("pruned")

    def interrupted(self, reason: str) -> None:
        """Ctrl-C, SIGTERM, or the process was killed."""
        self._end("interrupted", error=reason)

    def failed(self, reason: str, user_error: bool = False) -> None:
        """It cannot go on; `user_error` if the user can put it right."""
        self._end("failed", error=reason, user_error=user_error)

    def _end(self, status: str, **facts: Any) -> None:
        self.content |= {"status": status, **facts}
        self.write()

    # ---- for a checkpoint, which carries the history

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to continue this record."""
        timing = self.content["timing"]
        return {
            "history": {name: list(values) for name, values in self.content["history"].items()},
            "seconds_per_epoch": list(timing["seconds_per_epoch"]),
            "fit_seconds": timing["fit_seconds"],
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take over the state of the run that is resumed."""
        self.content["history"] = {name: list(values) for name, values in state["history"].items()}
        self.content["timing"]["seconds_per_epoch"] = list(state["seconds_per_epoch"])
        self.content["timing"]["fit_seconds"] = state.get("fit_seconds", 0.0)

    def write(self) -> None:
        """Write the file."""
        if self.folder is not None:
            write_json(self.folder / METRICS_FILE, self.plain())

    def plain(self) -> dict[str, Any]:
        """The content as it is written: measured values with six significant digits."""
        return {key: _rounded(value) if key in _ROUNDED else value for key, value in self.content.items()}

    def _length(self) -> int:
        return len(self.content["timing"]["seconds_per_epoch"])


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value


def read_metrics(run: Path) -> dict[str, Any]:
    """The `training_metrics.json` of a run folder.

    Raises:
        UserError: the folder has none, or it is damaged (see `record_check`).
    """
    path = run / METRICS_FILE
    if not path.exists():
        raise UserError(f"{run} is not a run folder: it holds no {METRICS_FILE}.")
    return read_record(path)
