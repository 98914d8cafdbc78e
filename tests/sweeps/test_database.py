"""A search on a real database server: four processes, two of them killed, the server restarted in the middle.

The server is Debian's PostgreSQL, started here in a folder of its own; without it these tests are skipped.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import fixtures_search as fixtures
import pytest

from mnist_lightning.sweeps import objectives

PLACES = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/local/bin"), Path("/usr/bin")]
BIN = next((place for place in PLACES if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)
pytestmark = [
    pytest.mark.skipif(BIN is None, reason="PostgreSQL is not installed: apt-get install postgresql"),
    pytest.mark.skipif(find_spec("psycopg") is None, reason="psycopg is not installed: pip install -e '.[postgres]'"),
]
TRIALS = 32


class Server:
    """A PostgreSQL server on a free port, with its data in `folder`."""

    def __init__(self, folder):
        self.data = folder / "data"
        self.user = None  # PostgreSQL refuses to run as root
        if os.geteuid() == 0:
            self.user = "postgres"
            shutil.chown(folder, self.user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.run("initdb", "-D", str(self.data), "-U", "searcher", "-A", "trust", "--no-sync")
        self.start()
        self.url = f"postgresql://searcher@127.0.0.1:{self.port}/postgres"

    def run(self, program, *arguments):
        with (self.data.parent / "commands").open("a") as told:
            done = subprocess.run(
                [str(BIN / program), *arguments], check=False, user=self.user, cwd="/", timeout=60,
                stdin=subprocess.DEVNULL, stdout=told, stderr=told,
            )  # fmt: skip
        assert done.returncode == 0, (self.data.parent / "commands").read_text()

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self.run("pg_ctl", "-D", str(self.data), "-o", options, "-l", str(self.data / "log"), "-w", "start")

    def stop(self):
        self.run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")


@pytest.fixture
def server():
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        server = Server(Path(folder))
        yield server
        server.stop()


def trials(server):
    """The study as Optuna reads it, without trials that a race had made too many; none while it is not there."""
    import optuna

    storage = optuna.storages.RDBStorage(server.url.replace("postgresql", "postgresql+psycopg"))
    try:
        found = optuna.load_study(study_name="s", storage=storage).trials
    except KeyError:
        return []
    finally:
        storage.engine.dispose()
    return [trial for trial in found if "surplus" not in trial.user_attrs]


def finished(server):
    return sum(trial.state.name == "COMPLETE" for trial in trials(server))


def wait_for(count, server, processes):
    until = time.monotonic() + 120
    while finished(server) < count:
        assert time.monotonic() < until, "no trial ends any more"
        assert any(process.poll() is None for process in processes)
        time.sleep(0.1)


@pytest.mark.long
def test_a_search_outlives_two_of_its_four_processes_and_a_restart_of_the_server(tmp_path, server):
    asked = [f"search.n_trials={TRIALS}", f"search.storage={server.url}", "loss.label_smoothing=0.1"]
    environment = os.environ | {"STUB_SECONDS": "0.3"}
    told = [tmp_path / f"told{number}" for number in range(4)]
    processes = [
        subprocess.Popen(
            fixtures.command(tmp_path, *asked), cwd=tmp_path, env=environment, start_new_session=True,
            stdout=path.open("w"), stderr=subprocess.STDOUT,
        )
        for path in told
    ]  # fmt: skip
    try:
        # One that is still to connect while the server is away ends with a sentence, as it should.
        while not all("Study s: " in path.read_text() for path in told):
            time.sleep(0.05)
            assert all(process.poll() is None for process in processes), [path.read_text() for path in told]
        wait_for(2, server, processes)
        os.killpg(processes[0].pid, signal.SIGKILL)
        server.stop()
        time.sleep(1)
        server.start()
        wait_for(finished(server) + 3, server, processes)
        os.killpg(processes[1].pid, signal.SIGKILL)
        for process in processes:
            process.wait(240)
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    said = [path.read_text() for path in told]
    assert [process.returncode for process in processes] == [-signal.SIGKILL, -signal.SIGKILL, 0, 0], said
    found = trials(server)
    complete = [trial for trial in found if trial.state.name == "COMPLETE"]
    assert len(complete) == TRIALS
    assert {trial.state.name for trial in found} <= {"COMPLETE", "FAIL"}  # nobody runs, nobody waits
    assert len({frozenset(trial.params.items()) for trial in complete}) == TRIALS
    log = (tmp_path / "log").read_text().splitlines()
    for trial in complete:
        assert log.count(f"{trial.number} ends") == 1


@pytest.mark.long
def test_a_trial_killed_while_the_server_restarts_goes_on_from_its_last_epoch(tmp_path, server):
    epochs = 30
    command = [
        sys.executable, str(fixtures.PROJECT / "scripts/train.py"), "-m", "search=lr", "search.study=s",
        "search.n_trials=1", f"search.storage={server.url}", "data=digits", "data.limit=320", "model=mlp",
        "augment=none", f"trainer.max_epochs={epochs}", "logger=none", "trainer.enable_progress_bar=false",
    ]  # fmt: skip
    study = tmp_path / "outputs/search/s"
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and objectives.epochs_of(study / "0") < 2:
        time.sleep(0.02)
    server.stop()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    server.start()
    done_before = objectives.epochs_of(study / "0")
    assert 2 <= done_before < epochs
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert f"trial 1: goes on where trial 0 was killed, after epoch {done_before}\n" in done.stdout
    before, after = (fixtures.metrics(tmp_path, number) for number in (0, 1))
    assert after["status"] == "finished"
    assert after["history"]["epoch"] == list(range(1, epochs + 1))
    assert after["history"]["val_loss"][:done_before] == before["history"]["val_loss"]
    assert finished(server) == 1


def test_a_search_goes_on_in_the_servers_study(tmp_path, server):
    asked = ["search.n_trials=2", f"search.storage={server.url}", "loss.label_smoothing=0.1"]
    done = fixtures.run(tmp_path, *asked)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Study s: 0 of 2 trials done")
    assert finished(server) == len(trials(server)) == 2
    again = fixtures.run(tmp_path, *asked)
    assert again.stdout.startswith("Study s: 2 of 2 trials done")
    assert len(trials(server)) == 2


def test_a_server_that_is_not_there_is_one_sentence(tmp_path, server):
    server.stop()
    try:
        done = fixtures.run(tmp_path, f"search.storage={server.url}")
    finally:
        server.start()
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith(f"The storage {server.url.replace('postgresql', 'postgresql+psycopg')} cannot be ope")
    assert not (tmp_path / "outputs").exists()
