"""A logger of the project's own."""

import json
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger


class LinesLogger(Logger):
    """Writes each metric as one line of JSON, `lines.jsonl` in the run folder.

    Args:
        save_dir: the run folder, which the program gives.
        file: name of the file in it.
    """

    def __init__(self, save_dir: str, file: str = "lines.jsonl") -> None:
        super().__init__()
        self.path = Path(save_dir) / file

    @property
    def name(self) -> str:
        """Of the logger."""
        return "lines"

    @property
    def version(self) -> str:
        """There is one per run."""
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The first line."""
        self._write({"hyperparameters": params})

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """One line."""
        self._write({"step": step, **metrics})

    def _write(self, content: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(content, default=str) + "\n")
