"""train(...) from Python: the whole command."""

from __future__ import annotations

from typing import Any


def train(*overrides: str) -> dict[str, Any] | None:
    """Do what `python scripts/train.py <overrides>` does, and return the record of the run (None for a sweep).

    Args:
        *overrides: settings as on the command line, such as `"data=digits"`, `"trainer.max_epochs=1"`.

    Raises:
        UserError: something that was asked for is not possible.
        Interrupted: Ctrl-C or SIGTERM; the run can be resumed from its last checkpoint.
    """
    from mnist_lightning.cli.main import run

    return run("train", list(overrides))
