"""One rank that `launcher` started: `python -m mnist_lightning.tasks.worker <job file>`."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from mnist_lightning import compat
from mnist_lightning.distributed import ranks
from mnist_lightning.errors import Interrupted, UserError
from mnist_lightning.tasks.train import train


def main() -> None:
    """Train as the job file says; a failure is written to a file next to it, for the launcher to report."""
    _end_with_parent()
    job, rank = Path(sys.argv[1]), ranks.place().rank
    content = json.loads(job.read_text(encoding="utf-8"))
    # The first rank ends the run, and the launcher ends the others; until the first can do so, it just exits.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN if rank else signal.SIG_DFL)
    if rank == 0:
        _log_as(content["logging"])
    try:
        train(content["settings"], Path(content["run"]) if rank == 0 else ranks.NOWHERE, content["asked"], chosen=True)
    except BaseException as error:
        told: dict[str, Any] = {"rank": rank, "time": time.time(), "kind": type(error).__name__, "text": str(error)}
        if isinstance(error, Interrupted):
            told["signum"] = error.signum
        elif not isinstance(error, UserError):
            told["text"] = traceback.format_exc()
        job.with_name(f"rank{rank}.json").write_text(json.dumps(told), encoding="utf-8")
        compat.leave_at_once(1)  # skips the clean-up of libraries that wait for ranks which are gone


def _end_with_parent() -> None:
    """End at once when the launcher has been killed: nobody would wait for this process."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        compat.leave_at_once(1)

    threading.Thread(target=watch, daemon=True).start()


def _log_as(settings: dict[str, Any]) -> None:
    """Log to the terminal and the files that the launcher logs to."""
    for each in settings["handlers"]:
        handler = logging.FileHandler(each["file"], delay=True) if each["file"] else logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter(each["format"]))
        logging.getLogger().addHandler(handler)
    logging.getLogger("mnist_lightning").setLevel(settings["level"])


if __name__ == "__main__":
    main()
