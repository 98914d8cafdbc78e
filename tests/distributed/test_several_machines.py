"""Ranks that a user starts: a sweep whose jobs have ranks, and torchrun on two hosts that share nothing."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TRAIN = str(PROJECT / "scripts" / "train.py")
SMALL = [
    *("data=digits", "data.limit=64", "data.val_size=51", "model=lenet5", "trainer.max_epochs=1", "logger=none"),
    *("trainer.precision=32-true", "runtime.threads=1"),
]
PATIENCE = 540  # seconds: starting a rank takes long where the machine is busy


def left(folder):
    """Every file below `folder`, as text."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


ARTEFACTS = {
    *("training_metrics.json", "train.log", "loss_graph.png", "sample_prediction.png", "worst_mistakes.png"),
    *("confusion_matrix.png", "checkpoints/best.ckpt", "checkpoints/last.ckpt"),
    *(".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml"),
}


def test_each_job_of_a_sweep_has_ranks_and_a_folder_of_its_own(tmp_path):
    command = [sys.executable, TRAIN, "-m", *SMALL, "trainer=ddp_sim", "seed=0,1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    [sweep] = tmp_path.glob("outputs/sweeps/*/*")
    for job in ("0", "1"):
        assert left(sweep / job) >= ARTEFACTS
        metrics = json.loads((sweep / job / "training_metrics.json").read_text())
        assert (metrics["status"], metrics["seed"]) == ("finished", int(job))
        assert metrics["overrides"] == [*SMALL, "trainer=ddp_sim", f"seed={job}"]
        assert metrics["command"].startswith("python scripts/train.py ")
        assert metrics["choices"]["trainer"] == "ddp_sim"
        assert metrics["batch"]["processes"] == 2
        assert sum(metrics["test"]["per_class"]["support"]) == metrics["dataset"]["test"] == 64
        told = (sweep / job / "train.log").read_text()
        assert told.count("epoch 1/1") == told.count("test accuracy") == 1
        assert "ddp over 2 processes on 1 machine: a batch is 32 images, 16 per process" in told
    assert len(list(tmp_path.rglob("training_metrics.json"))) == 2
    assert len(re.findall(r"test accuracy  .* of 64 images", done.stdout)) == 2
    longer = [sys.executable, TRAIN, f"ckpt_path={sweep / '0'}", "trainer.max_epochs=2"]
    done = subprocess.run(longer, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert "epoch 2/2" in done.stdout


@pytest.fixture
def hosts(tmp_path):
    """Two network namespaces with addresses of their own, joined by a cable: their names and addresses."""
    if not shutil.which("ip"):
        pytest.skip("needs the program `ip`")
    names = [f"mnist{os.getpid()}{side}" for side in "ab"]

    def ip(*arguments, check=True):
        return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=check)

    made = ip("netns", "add", names[0], check=False)
    if made.returncode:
        pytest.skip(f"may make no network namespaces here: {made.stderr.strip()}")
    try:
        ip("netns", "add", names[1])
        ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
        for name, address in zip(names, ("10.77.0.1", "10.77.0.2"), strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield dict(zip(names, ("10.77.0.1", "10.77.0.2"), strict=True))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"cannot join network namespaces here: {error.stderr.strip()}")
    finally:
        for name in names:
            ip("netns", "delete", name, check=False)


def test_two_hosts_that_share_no_files_train_one_network(hosts, tmp_path):
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "cable", "OMP_NUM_THREADS": "1"}
    started = []
    for number, name in enumerate(hosts):
        home = tmp_path / str(number)
        home.mkdir()
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={number}"]
        where = ["--master-addr=10.77.0.1", "--master-port=29517", "--nproc-per-node=1"]
        started.append(
            subprocess.Popen(
                ["ip", "netns", "exec", name, *torchrun, *where, TRAIN, *SMALL, "trainer=ddp"],
                cwd=home,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        said = [process.communicate(timeout=PATIENCE) for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], said
    [run] = (tmp_path / "0").glob("outputs/train/*/*")
    assert left(run) >= ARTEFACTS
    assert left(tmp_path / "1") == set()  # the second host keeps nothing
    assert said[1][0] == ""
    metrics = json.loads((run / "training_metrics.json").read_text())
    assert metrics["status"] == "finished"
    assert metrics["batch"] == {"size": 32, "processes": 2, "machines": 2, "size_per_process": 16.0}
    assert sum(metrics["test"]["per_class"]["support"]) == 64
    assert "ddp over 2 processes on 2 machines: a batch is 32 images, 16 per process" in (run / "train.log").read_text()
    accuracy = metrics["history"]["val_accuracy"][0] * 51
    assert accuracy == pytest.approx(round(accuracy), abs=1e-3)  # of 51 validation images, each counted once


def test_under_torchrun_a_sweep_is_refused(tmp_path):
    environment = os.environ | {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    command = [sys.executable, TRAIN, "-m", "seed=0,1", "trainer=ddp"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("A sweep cannot run under torchrun: ")
    assert left(tmp_path) == set()
