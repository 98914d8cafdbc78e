"""The README is a promise: every command in it runs as printed, every file it names is there."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", README, re.S) for line in block.splitlines()]
COMMANDS = [line.split(" #")[0].strip() for line in COMMANDS if line.strip() and not line.startswith("#")]

# Not run here, each for a reason; all others are.
ELSEWHERE = {
    "make train": "makes an environment: CI and the test below stand for it",
    "make test": "this is what runs now",
    "python3 -m venv": "makes an environment, as make does",
    "pip install": "installs, as make does",
    "uv ": "installs, as make does",
    "python scripts/draw.py": "opens a window: tests/apps/test_window.py",
    "python scripts/train.py experiment=my_hand": "needs drawings: tests/tasks/test_train.py makes some",
    "python scripts/replay.py": "needs drawings: tests/apps/test_replay.py makes some",
    "torchrun ": "needs two machines: tests/distributed/test_several_machines.py makes them",
    "python scripts/serve.py": "serves until it is stopped: tests/service",
    ".venv/bin/python ": "the same as make does",
    "tensorboard ": "serves until it is stopped; its file is read in tests/tasks/test_loggers.py",
    "source ": "a shell's own",
    "git clone": "needs the network",
    "cd ": "a shell's own",
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the project as git would hand it out, with its training made short by `conf/local/`."""
    copy = tmp_path_factory.mktemp("readme") / "project"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    files = subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, files):
        if (PROJECT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, copy / name)
    (copy / "conf/local/default.yaml").write_text(
        "# @package _global_\ntrainer:\n  limit_train_batches: 2\n  limit_val_batches: 1\nruntime:\n  threads: 1\n"
    )
    return copy


def run(command, folder):
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment.pop("MNIST_MIRROR", None)
    environment |= {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}  # nobody: no network
    return subprocess.run(command, cwd=folder, shell=True, capture_output=True, text=True, env=environment, check=False)


def test_every_command_of_the_readme_runs_as_printed(checkout):
    ran = []
    for command in COMMANDS:
        if any(command.startswith(prefix) for prefix in ELSEWHERE):
            continue
        done = run(command, checkout)
        wanted = 2 if "data=mnist" in command else 0  # MNIST itself cannot be had without the internet
        assert done.returncode == wanted, f"{command}\n{done.stdout}\n{done.stderr}"
        ran.append(command)
    assert len(ran) >= 6


def test_the_table_of_results_is_what_results_makes_of_the_runs_kept_beside_it(capsys, compose, monkeypatch):
    from mnist_lightning.sweeps.results import results

    monkeypatch.chdir(PROJECT)
    page = (PROJECT / "docs/results.md").read_text(encoding="utf-8")
    assert "python scripts/results.py runs=docs/results.json 'by=[command,commit]' format=markdown" in page
    table = results(compose("results", "runs=docs/results.json", "by=[command,commit]", "format=markdown"))
    assert len(table.splitlines()) > 6
    assert table in page


def test_the_runs_behind_the_table_say_what_made_them():
    for run in json.loads((PROJECT / "docs/results.json").read_text())["runs"]:
        assert run["command"].startswith("python scripts/train.py")
        assert re.fullmatch("[0-9a-f]{40}", run["environment"]["git_commit"])
        assert run["environment"]["git_dirty"] is False
        assert run["status"] == "finished"
        assert isinstance(run["seed"], int | list)


def test_make_passes_its_arguments_on(checkout):
    done = run("make --dry-run train ARGS='data=digits trainer.max_epochs=1'", checkout)
    assert "scripts/train.py data=digits trainer.max_epochs=1" in done.stdout


def test_every_file_that_the_readme_names_is_there():
    names = re.findall(r"\]\(([^)#:]+)\)", README)
    assert names
    assert [name for name in names if not (PROJECT / name).exists()] == []


def test_every_override_in_the_readme_is_a_setting():
    for command in COMMANDS:
        if command.startswith("python scripts/"):
            assert "--help" not in command
            assert all("=" in word or word in ("-m", "--cfg", "job") for word in shlex.split(command)[2:]), command
