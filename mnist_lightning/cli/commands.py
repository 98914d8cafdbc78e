"""The commands: `python scripts/<name>.py`, `mnist-lightning <name>`, `python -m mnist_lightning <name>`.

Each has a config, `conf/<name>.yaml`, and a function whose keyword arguments are the settings in it.
"""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        function: dotted path of its function, which takes the settings by name, or as one dict `settings`; and the run
            folder as `run`, if it has one.
        on_every_rank: whether all processes of torchrun run it; otherwise the first one alone does.
        report: dotted path of a function that summarises a sweep (`-m`): it takes the folder and the settings of the
            first job, and returns an exit code. With it, a job that fails leaves a record, and the others go on.
        positional: the setting that a word without = sets.
        compared: keys that lead from what the function returns to the number that a sweep compares.
    """

    function: str
    on_every_rank: bool = False
    report: str | None = None
    positional: str | None = None
    compared: tuple[str, ...] = ()

    def load(self) -> Callable[..., Any]:
        """Import it, as a function of the settings, the run folder, and what else the program knows about a job."""
        function = _get(self.function)
        takes = inspect.signature(function).parameters

        def call(settings: dict[str, Any], run: Path, **known: Any) -> Any:
            place = {name: value for name, value in {"run": run, **known}.items() if name in takes}
            return function(settings=settings, **place) if "settings" in takes else function(**settings, **place)

        return call

    def load_report(self) -> Callable[[Path, dict[str, Any]], int] | None:
        """Import the function that summarises a sweep, if there is one."""
        return _get(self.report) if self.report else None

    def value(self, result: Any) -> Any:
        """The number that a sweep compares, if there is one."""
        for key in self.compared:
            result = result.get(key) if isinstance(result, Mapping) else None
        return result if self.compared else None


def program(name: str, home: bool = False) -> list[str]:
    """How to call a command the way this process was called: `python scripts/train.py`, or `mnist-lightning train`.

    Args:
        name: that of the command.
        home: as it is called from the project's folder, wherever that is; otherwise from the current folder.

    Returns:
        The words; `python -m mnist_lightning train` where Python code of somebody else called the command.
    """
    called = Path(sys.argv[0])
    if called.name.startswith("mnist-lightning"):
        return ["mnist-lightning", name.replace("_", "-")]
    if called.parent.name == "scripts" and called.suffix == ".py" and called.stem in COMMANDS:
        return ["python", f"scripts/{name}.py" if home else str(called.with_name(f"{name}.py"))]
    return ["python", "-m", "mnist_lightning", name]


def as_called(text: str) -> str:
    """A text with each `python scripts/<name>.py` in it written as this process was called."""
    return re.sub(r"python scripts/(\w+)\.py", lambda script: shlex.join(program(script[1])), text)


def _get(path: str) -> Callable[..., Any]:
    home, _, name = path.rpartition(".")
    return getattr(importlib.import_module(home), name)


COMMANDS = {
    "train": Command(
        "mnist_lightning.tasks.train.train",
        True,
        "mnist_lightning.tasks.sweep.report",
        compared=("best", "val_accuracy"),
    ),
    "eval": Command("mnist_lightning.tasks.evaluate.evaluate", compared=("accuracy",)),
    "evaluate_suite": Command("mnist_lightning.tasks.suite.suite", compared=("accuracy",)),
    "predict": Command("mnist_lightning.inference.files.predict_files"),
    "draw": Command("mnist_lightning.apps.window.draw"),
    "replay": Command("mnist_lightning.apps.replay.replay", compared=("accuracy",)),
    "export": Command("mnist_lightning.export.command.export"),
    "serve": Command("mnist_lightning.service.server.serve"),
    "results": Command("mnist_lightning.sweeps.results.results"),
    "repeat": Command("mnist_lightning.tasks.repeat.repeat", positional="run"),
}
