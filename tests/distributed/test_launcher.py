"""The launcher with ranks that import nothing: how they are started, watched and ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnist_lightning.distributed import launcher
from mnist_lightning.errors import UserError
from mnist_lightning.run import record as records

PROJECT = Path(__file__).parents[2]
SETTINGS = {"runtime": {"threads": None}, "seed": 3}
FAKE = """
import json, os, signal, sys, time
from pathlib import Path
from mnist_lightning.distributed import ranks
from mnist_lightning.tasks import worker
from mnist_lightning.run import files
from mnist_lightning.run import record as records
from mnist_lightning.errors import Interrupted, UserError

def say(*words):  # One write: with PYTHONUNBUFFERED the words of two ranks would mix in print().
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def wait_for(name):  # beside the job file
    path = Path(sys.argv[1]).with_name(name)
    while not path.exists() or not path.stat().st_size:
        time.sleep(0.01)

def train(settings, run, asked, chosen):
    assert chosen
    rank = ranks.place().rank
    if rank == 0:
        files.write_json(run / records.METRICS_FILE, {"status": "running"})
    else:
        assert run == ranks.NOWHERE
    say(rank, os.getpid(), os.environ["OMP_NUM_THREADS"])
    Path(sys.argv[1]).with_name(f"began{rank}").write_text("yes")
BODY

worker.train = train
worker.main()
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """`fake("if rank == 1: 1 / 0")`: let ranks do that in place of training; returns the run folder."""

    def fake(body):
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        (tmp_path / "fake_worker.py").write_text(FAKE.replace("BODY\n", lines))
        monkeypatch.setattr(launcher, "WORKER", "fake_worker")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        run = tmp_path / "run"
        run.mkdir()
        return run

    return fake


def status(run):
    return records.read_metrics(run)["status"]


def started(out):
    """Rank -> process id, from what ranks print."""
    return {int(rank): int(pid) for rank, pid, _ in map(str.split, out.splitlines())}


def gone(pid, patience=10):
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
            return True
        time.sleep(0.05)
    return False


def test_each_rank_gets_its_place_and_the_first_the_run_folder(fake, capfd, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    run = fake(
        "if rank == 0: files.write_json(run / records.METRICS_FILE, {'status': 'finished', 'settings': settings})"
    )
    assert launcher.launch(SETTINGS, run, 3, {}) == {"status": "finished", "settings": SETTINGS}
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert sorted((rank, threads) for rank, _, threads in lines) == [("0", "2"), ("1", "2"), ("2", "2")]


def test_a_rank_that_fails_ends_the_others_and_is_told(fake, capfd):
    run = fake(
        "if rank == 1: 1 / 0\nwhile rank == 2: time.sleep(1)\n"
        "wait_for('began2'), wait_for('rank1.json')\nraise RuntimeError('lost the others')"
    )
    began = time.monotonic()
    with pytest.raises(launcher.RankFailed, match=r"(?s)^Rank 1 of 3 failed:.*ZeroDivisionError"):
        launcher.launch(SETTINGS, run, 3, {})
    assert time.monotonic() - began < launcher.PATIENCE
    assert status(run) == "failed"
    pids = started(capfd.readouterr().out)
    assert len(pids) == 3
    assert all(map(gone, pids.values()))


def test_a_rank_that_is_killed_ends_the_others_even_where_they_hang(fake, monkeypatch, capfd):
    monkeypatch.setattr(launcher, "PATIENCE", 0.5)
    run = fake("if rank == 1: wait_for('began0'), os.kill(os.getpid(), signal.SIGKILL)\nwhile True: time.sleep(1)")
    with pytest.raises(launcher.RankFailed, match=r"^Rank 1 of 2 was ended by SIGKILL\.$"):
        launcher.launch(SETTINGS, run, 2, {})
    assert status(run) == "failed"
    assert all(map(gone, started(capfd.readouterr().out).values()))


def test_what_the_user_got_wrong_comes_back_as_such(fake):
    run = fake(
        "if rank == 1: raise UserError('No data here.')\nwait_for('rank1.json')\nraise RuntimeError('lost the other')"
    )
    with pytest.raises(UserError, match=r"^No data here\.$"):
        launcher.launch(SETTINGS, run, 2, {})


CALLER = """
import logging, sys
from pathlib import Path
from mnist_lightning.distributed import launcher
from mnist_lightning.errors import Interrupted
from mnist_lightning.run import files
from mnist_lightning.run import record as records
launcher.WORKER = "fake_worker"
try:
    launcher.launch({"runtime": {"threads": 1}}, Path(sys.argv[1]), 2, {})
except Interrupted as error:
    sys.exit(128 + error.signum)
"""


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_signal_to_the_launcher_ends_all_ranks(fake, tmp_path, signum, code):
    run = fake(
        "def end(signum, frame):\n"
        "    files.write_json(run / records.METRICS_FILE, {'status': 'interrupted'})\n"
        "    raise Interrupted(signum)\n"
        "if rank == 0:\n"
        "    signal.signal(signal.SIGINT, end), signal.signal(signal.SIGTERM, end)\n"
        "say('ready', 0, 0)\n"
        "while True: time.sleep(0.1)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(PROJECT)])}
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, str(run)], stdout=subprocess.PIPE, text=True, env=environment
    )
    lines = [caller.stdout.readline() for _ in range(4)]
    pids = started("".join(line for line in lines if not line.startswith("ready")))
    assert sorted(pids) == [0, 1]
    caller.send_signal(signum)
    assert caller.wait(15) == code
    assert all(map(gone, pids.values()))
    assert status(run) == ("running" if signum == signal.SIGKILL else "interrupted")


def test_the_first_rank_logs_where_the_launcher_does(fake, tmp_path, capfd):
    import logging

    run = fake("import logging\nlogging.getLogger('mnist_lightning.x').info('hello from %d', rank)")
    handler = logging.FileHandler(tmp_path / "train.log")
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    package = logging.getLogger("mnist_lightning")
    before = package.level
    logging.getLogger().addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        launcher.launch(SETTINGS, run, 2, {})
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
        package.setLevel(before)
    assert (tmp_path / "train.log").read_text() == "INFO hello from 0\n"
    assert "hello from 1" not in capfd.readouterr().out
