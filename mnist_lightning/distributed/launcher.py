"""Starts the ranks of one machine, waits for them, and lets none outlive a failure, an interruption or this process.

A rank gets the settings as they stand and composes nothing, so in a sweep each job has its own ranks and no rank knows
of the sweep. Lightning's own launcher would run the command line again in each.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mnist_lightning.distributed import ranks
from mnist_lightning.errors import Interrupted, UserError
from mnist_lightning.run import signals
from mnist_lightning.run.record import METRICS_FILE, Record, read_metrics

WORKER = "mnist_lightning.tasks.worker"
PATIENCE = 10.0
"""Seconds that the other ranks have to end by themselves once one has ended."""


class RankFailed(RuntimeError):
    """One of the ranks failed; the text holds its traceback."""


def launch(settings: dict[str, Any], run: Path, count: int, asked: dict[str, Any]) -> dict[str, Any]:
    """Train with `count` processes on this machine.

    Args:
        settings: composed and checked.
        run: the run folder, which the first rank fills.
        count: how many ranks.
        asked: what was asked of the run, for its record.

    Returns:
        What `training_metrics.json` holds in the end.

    Raises:
        UserError: one of the ranks raised it.
        Interrupted: Ctrl-C or SIGTERM, which were passed on to the first rank.
        RankFailed: a rank failed; none is still running.
    """
    with tempfile.TemporaryDirectory(prefix="mnist-lightning-") as folder:
        job = Path(folder) / "job.json"
        content = {"settings": settings, "run": str(run), "asked": asked, "logging": _logging()}
        job.write_text(json.dumps(content), encoding="utf-8")
        port = _free_port()
        processes = [_start(job, rank, count, port, settings["runtime"]["threads"]) for rank in range(count)]
        arrived: list[int] = []

        def hand_on(signum: int) -> None:  # the first rank ends the run; a second signal kills it
            processes[0].kill() if arrived else processes[0].send_signal(signum)
            arrived.append(signum)

        try:
            with signals.handled(hand_on):
                codes = _wait(processes)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                process.wait()
        if arrived:
            raise Interrupted(arrived[0])
        if any(codes):
            raise _failure(run, Path(folder), codes)
    return read_metrics(run)


def _start(job: Path, rank: int, count: int, port: int, threads: int | None) -> subprocess.Popen[bytes]:
    environment = dict(os.environ) | ranks.environment(rank, count, port)
    # Equal shares of the cores; any machine has a loopback interface, no matter what its name resolves to.
    environment.setdefault("OMP_NUM_THREADS", str(threads or max(1, (os.cpu_count() or 1) // count)))
    environment.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    package = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package, environment.get("PYTHONPATH")]))
    command = [sys.executable, "-m", WORKER, str(job)]
    # A session of its own: Ctrl-C reaches only this process, which passes it on once.
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _logging() -> dict[str, Any]:
    """Where this process logs to and how, for the first rank to do the same."""
    handlers = [
        {"file": getattr(handler, "baseFilename", None), "format": getattr(handler.formatter, "_fmt", None)}
        for handler in logging.getLogger().handlers
    ]
    return {"handlers": handlers, "level": logging.getLogger("mnist_lightning").getEffectiveLevel()}


def _wait(processes: list[subprocess.Popen[bytes]]) -> list[int | None]:
    """Wait until all have succeeded, or one has failed and the first, which writes the record, has had time to.

    Returns:
        The exit code of each, None for those still running.
    """
    deadline = None
    while True:
        codes = first, *others = [process.poll() for process in processes]
        late = deadline is not None and time.monotonic() > deadline
        if None not in codes or first or late:
            return codes
        if deadline is None and (first == 0 or any(others)):
            deadline = time.monotonic() + PATIENCE
        time.sleep(0.05)


def _failure(run: Path, folder: Path, codes: list[int | None]) -> BaseException:
    """The error to raise for failed ranks: that of the first to fail, since the others fail because it is gone."""
    told = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("rank*.json")]
    told.sort(key=lambda each: (each["kind"] != "UserError", each["time"]))
    if told and told[0]["kind"] == "UserError":
        return UserError(told[0]["text"])
    if told and told[0]["kind"] == "Interrupted":
        return Interrupted(told[0]["signum"])
    killed = next(((rank, -code) for rank, code in enumerate(codes) if code is not None and code < 0), None)
    if killed:
        failure = RankFailed(f"Rank {killed[0]} of {len(codes)} was ended by {signal.Signals(killed[1]).name}.")
    elif told:
        failure = RankFailed(f"Rank {told[0]['rank']} of {len(codes)} failed:\n\n{told[0]['text']}")
    else:
        failure = RankFailed(f"One of {len(codes)} ranks ended without an error message: exit codes {codes}.")
    if (run / METRICS_FILE).exists() and (record := Record.open(run)).status == "running":
        record.failed(str(failure))  # the first rank may have been killed before it could write it
    return failure
