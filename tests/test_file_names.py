"""Folders and files of any name, and those in the home folder, in every setting of every command that is a path."""

import json
import shutil
from pathlib import Path

import pytest

from mnist_lightning.cli import main
from mnist_lightning.run import folder as runs

PROJECT = Path(__file__).parent.parent
SMALL = ["data=digits", "data.limit=60", "model=mlp", "trainer.max_epochs=1", "runtime.threads=1"]
STRANGE = "a%20b?c#d=1, it's (ä) [x] +y"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder to work in, and another one as home."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


@pytest.mark.parametrize("place", [STRANGE, f"~/{STRANGE}", "~/runs"])
def test_a_name_is_taken_as_it_is_by_every_command(home, capsys, place):
    here = home / place[2:] if place.startswith("~") else Path.cwd() / place
    pytest.importorskip("mlflow")
    record = main.run("train", [*SMALL, f"outputs={place}/out", "logger=[tensorboard,csv,mlflow]"])
    said = capsys.readouterr()
    assert "mlflow" not in f"{said.out}{said.err}".lower()  # that it makes its database is no news
    run = runs.latest(here / "out")
    assert record["status"] == "finished"
    assert {path.name for path in (here / "out").iterdir()} == {"train", "latest", "mlflow.db", "mlflow"}
    assert {"tensorboard", "csv"} <= {path.name for path in run.iterdir()}
    assert list((here / "out" / "mlflow").rglob("loss_graph.png"))

    best = f"{place}/best of=1.ckpt"
    shutil.copyfile(run / runs.BEST, here / "best of=1.ckpt")
    evaluated = main.run("eval", [f"ckpt={best}", f"outputs={place}/out"])
    assert evaluated["checkpoint"].endswith("best of=1.ckpt")
    assert {path.name for path in (here / "out").iterdir()} >= {"eval"}

    shutil.copyfile(PROJECT / "docs/images/seven.png", here / "7 (1)?.png")
    capsys.readouterr()
    main.run("predict", [f"image={place}/7 (1)?.png", f"ckpt={place}/out/train/{run.parent.name}/{run.name}"])
    assert json.loads(capsys.readouterr().out)["number"]

    main.run(
        "export", ["data=digits", "format=safetensors", f"output={place}/new folder/net=1.safetensors", f"ckpt={best}"]
    )
    assert (here / "new folder" / "net=1.safetensors").is_file()

    shutil.copyfile(PROJECT / "tests/apps/hand_digits.jsonl", here / "pen?.jsonl")
    main.run("replay", [f"strokes={place}/pen?.jsonl", "limit=1", f"ckpt={best}", f"outputs={place}/out"])
    assert list((here / "out" / "replay").rglob("replay.json"))

    capsys.readouterr()
    main.run("results", [f"runs={place}/out/train", f"out={place}/table?.txt", f"plot={place}/plot.png", "by=[model]"])
    assert "mlp" in (here / "table?.txt").read_text()
    assert (here / "plot.png").is_file()

    resumed = main.run("train", [f"ckpt_path={run}", "trainer.max_epochs=2", f"outputs={place}/out", "logger=none"])
    assert resumed["history"]["epoch"] == [1, 2]
    assert {path.name for path in Path.cwd().iterdir()} <= {place.split("/")[0]}  # nothing beside it, such as a ~


def test_the_folder_of_a_run_and_of_a_sweep_may_have_any_name(home):
    small = [*SMALL, "logger=none", "callbacks=[metrics_json,checkpoint]"]
    main.run("train", [*small, f"hydra.run.dir=~/{STRANGE}/one"])
    assert (home / STRANGE / "one" / "training_metrics.json").is_file()
    main.run("train", ["-m", *small, f"hydra.sweep.dir=~/{STRANGE}/two", "seed=0,1"])
    assert (home / STRANGE / "two" / "1" / "training_metrics.json").is_file()
    assert {path.name for path in Path.cwd().iterdir()} == {"outputs"}  # of `latest`


def test_a_search_and_its_database_may_lie_anywhere(home):
    small = [*SMALL, "logger=none", "callbacks=[metrics_json,checkpoint]"]
    place = STRANGE.replace(",", "").replace("(", "")  # in a sweep a comma separates values
    main.run("train", ["-m", "search=lr", "search.n_trials=1", f"outputs=~/{place}", *small])
    assert (home / place / "search" / "lr" / "study.db").is_file()
    assert list(Path.cwd().iterdir()) == []


def test_a_config_of_ones_own_may_name_the_home_folder(home):
    (Path.cwd() / "conf" / "local").mkdir(parents=True)
    (Path.cwd() / "conf" / "local" / "default.yaml").write_text("# @package _global_\noutputs: ~/mine\n")
    main.run("train", [*SMALL, "logger=none", "callbacks=[metrics_json,checkpoint]"])
    assert runs.latest(home / "mine") is not None
    assert {path.name for path in Path.cwd().iterdir()} == {"conf"}
