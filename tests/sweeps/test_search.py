"""`-m search=...` as a user gives it, over a script that trains nothing; and once over one that trains."""

import csv
import json
import os
import random
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import fixtures_search as fixtures
import pytest
from PIL import Image

from mnist_lightning.cli import commands
from mnist_lightning.run import folder as runs
from mnist_lightning.sweeps import objectives, storage

STUDY = Path("outputs/search/s")


@pytest.fixture(scope="session")
def empty_storage(tmp_path_factory):
    """An SQLite file with Optuna's tables, which take half a second to make."""
    path = tmp_path_factory.mktemp("storage") / "study.db"
    storage.connect(f"sqlite:///{path}")
    return path


@pytest.fixture
def search(tmp_path, monkeypatch, capsys, empty_storage):
    """`search("search.n_trials=3")` in an empty folder and this process: exit code, output, errors.

    A new study begins with the tables that are there already; `test_a_search_over_real_trainings` makes its own.
    """
    connect, own = storage.connect, tmp_path.resolve() / STUDY / storage.FILE

    def connect_with_tables(address):
        if address == storage.url({"storage": None}, own.parent) and not own.exists():
            shutil.copy(empty_storage, own)
        return connect(address)

    monkeypatch.setattr(storage, "connect", connect_with_tables)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # undone after the test, as is what the script does to the commands
    monkeypatch.setitem(commands.COMMANDS, "train", commands.COMMANDS["train"])

    def search(*overrides):
        _, script, *arguments = fixtures.command(tmp_path, *overrides)
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        code = 0
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as error:
            code = error.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return search


def table():
    return list(csv.DictReader((STUDY / "trials.csv").open()))


def test_a_search_makes_its_trials_and_leaves_what_it_found(search, tmp_path):
    code, said, _ = search("search.n_trials=3", "loss.label_smoothing=0.1", "seed=7")
    assert code == 0
    rows = table()
    assert [(row["trial"], row["state"]) for row in rows] == [(str(n), "finished") for n in range(3)]
    assert list(rows[0])[:4] == ["trial", "state", "val_accuracy", "optimizer.lr"]  # and no smoothing, which is fixed
    best = max(rows, key=lambda row: float(row["val_accuracy"]))
    command = ["python", "-m", "mnist_lightning", "train", "augment=none", "data=digits", "loss.label_smoothing=0.1",
               "seed=7", f"optimizer.lr={best['optimizer.lr']}"]  # fmt: skip
    comment, written = (STUDY / "best.txt").read_text().splitlines()
    assert comment.startswith(f"# trial {best['trial']}: val_accuracy ")
    assert shlex.split(written) == command
    assert f"\ntrain it with  {written}\n" in said
    assert {path.name for path in STUDY.iterdir() if path.is_dir()} == {"0", "1", "2", "workers"}
    for name in ("history", "importance"):
        with Image.open(STUDY / f"{name}.png") as image:
            assert image.size == (1200, 675)
    with Image.open(STUDY / "slices.png") as image:
        assert image.width >= 800
    assert list((STUDY / "workers").iterdir()) == []


def test_the_command_of_the_best_trial_says_where_its_config_is(search, tmp_path):
    (tmp_path / "my conf").mkdir()
    code, _, error = search("search.n_trials=1", "--config-dir", str(tmp_path / "my conf"))
    assert code == 0, error
    written = shlex.split((STUDY / "best.txt").read_text().splitlines()[-1])
    assert written[:7] == [
        *("python", "-m", "mnist_lightning", "train", "--config-dir", str(tmp_path / "my conf"), "augment=none"),
    ]


def test_the_same_command_goes_on_to_a_higher_total(search):
    search("search.n_trials=2")
    before = table()
    code, said, _ = search("search.n_trials=3")
    assert (code, said.splitlines()[0]) == (0, "Study s: 2 of 3 trials done, in outputs/search/s")
    assert table()[:2] == before
    assert len(table()) == 3
    code, said, _ = search("search.n_trials=3")
    assert "\ntrial " not in said
    assert "\n3 finished, 0 pruned, 0 failed\n" in said


def test_a_search_of_other_values_does_not_go_on_with_the_study(search):
    search("search.n_trials=1")
    for changed, told in (
        ("optimizer.lr=interval(0.1,0.2)", "another space (it differs in optimizer.lr)"),
        ("trainer.max_epochs=2", "another command line (augment=none data=digits)"),
        ("search.objectives=[val_loss]", "another objectives (val_accuracy)"),
    ):
        code, _, said = search("search.n_trials=2", changed)
        assert code == 2
        assert said == (
            f"The study s was begun with {told}: go on with the same, or begin another with search.study=.\n"
        )
    assert len(table()) == 1


def test_the_command_line_can_name_what_is_searched_over(search):
    search(
        "search.n_trials=4", "search.sampler=grid", "loss.label_smoothing=0.1", "optimizer.lr=choice(0.01,0.02)",
        "data.batch_size=range(8,17,8)",
    )  # fmt: skip
    tried = {(float(row["optimizer.lr"]), int(row["data.batch_size"])) for row in table()}
    assert tried == {(0.01, 8), (0.01, 16), (0.02, 8), (0.02, 16)}


def test_pruned_trials_count(search):
    code, said, _ = search("search.n_trials=2", "augment.degrees=5")
    assert code == 0
    assert [row["state"] for row in table()] == ["pruned", "pruned"]
    assert "\n0 finished, 2 pruned, 0 failed\n" in said
    assert not (STUDY / "best.txt").exists()


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("augment.shear=1", "ValueError: the loss exploded"),
        ("augment.erase=0.5", "OSError: no memory"),
    ],
)
def test_a_search_whose_every_trial_fails_gives_up_with_the_reason(search, override, error):
    code, _, said = search("search.n_trials=5", "search.max_failures=2", override)
    assert code == 2
    assert said == (
        f"The last 2 trials failed, the last one with: {error}. Put it right and give the same command again, or raise "
        "search.max_failures.\n"
    )
    assert [(row["state"], row["error"]) for row in table()] == [("failed", error)] * 2


def test_a_value_that_no_setting_may_have_fails_its_trial_and_the_search_goes_on(search):
    # momentum is 0 only, with which Nesterov's does not go together
    code, said, _ = search(
        "search.n_trials=2", "search.sampler=grid", "optimizer=sgd", "loss.label_smoothing=0.1", "optimizer.lr=0.01",
        "optimizer.momentum=0,0.9", "optimizer.nesterov=true",
    )  # fmt: skip
    assert code == 0
    assert sorted(row["state"] for row in table()) == ["failed", "finished"]
    told = "optimizer.nesterov=true needs optimizer.momentum above 0."
    assert told in [row["error"] for row in table()]
    assert f": failed: {told}  (optimizer.momentum=0)\n" in said


def test_two_objectives_end_in_a_front(search):
    code, said, _ = search("search.n_trials=4", "search.sampler=nsga2", "search.objectives=[val_accuracy,parameters]")
    assert code == 0
    rows = [(float(row["val_accuracy"]), float(row["parameters"])) for row in table()]
    front = [row for row in rows if not any(a >= row[0] and b <= row[1] and (a, b) != row for a, b in rows)]
    commands = (STUDY / "best.txt").read_text().splitlines()[1::2]
    assert len(commands) == len(front)
    assert "\ntrain it with  " + commands[0] in said
    pictures = {path.name for path in STUDY.glob("*.png")}
    assert pictures == {
        "pareto.png", "importance_val_accuracy.png", "importance_parameters.png", "slices_val_accuracy.png",
        "slices_parameters.png",
    }  # fmt: skip


MISTAKES = {
    "search=lrr": "There is no search=lrr: did you mean lr? Known: architecture, lr, pareto.",
    "search.n_trials=0": "search.n_trials=0 is not allowed: search.n_trials should be a whole number, 1 or more.",
    "search.study=a/b": "search.study=a/b is not allowed: it should be of letters, digits, dots, - and _.",
    "search.objectives=[test_accuracy]": "search.objectives=['test_accuracy'] is not allowed: search.objectives should "
    "be a list of",
    "search.objectives=[val_loss,val_loss]": "search.objectives=['val_loss', 'val_loss'] is not allowed: give one, or "
    "two",
    "search.objectives=[val_loss,parameters] search.pruner=asha": "search.pruner=asha needs search.objectives=[val_a",
    "search.objectives=[val_loss,parameters] search.sampler=cmaes": "search.sampler=cmaes takes one objective only",
    "search.sampler=grid": "search.sampler=grid cannot list all values of optimizer.lr: give it choices or a step.",
    "search.sampler=cmaes model=cnn,mlp": "search.sampler=cmaes needs two settings or more, all with low and high",
    "search.storage=nonsense": "The storage nonsense cannot be opened (Could not parse SQLAlchemy URL",
    "search.storage=sqlite:////nowhere/a.db": "The storage sqlite:////nowhere/a.db cannot be opened (unable to open",
    "optimizer.lr=interval(0.1,0.01)": "search.space: optimizer.lr: low=0.1 must be below high=0.01.",
    "+search.space.trainer.max_epoch=[1,2]": "search.space: there is no setting trainer.max_epoch: did you mean "
    "trainer.max_epochs?",
    "optimizer.lr=1 loss.label_smoothing=0": "search.space is empty: name in it what is searched over, as the files",
}


@pytest.mark.parametrize(("overrides", "told"), MISTAKES.items())
def test_a_mistake_ends_in_one_sentence_before_anything_is_made(search, overrides, told):
    code, said, error = search(*overrides.split())
    assert (code, said) == (2, "")
    assert error.startswith(told)
    assert error.count("\n") == 1
    assert not STUDY.exists()


def test_a_password_is_not_shown(search):
    _, _, error = search("search.storage=nodriver://me:secret@localhost/x")
    assert "nodriver://me:***@localhost/x" in error
    assert "secret" not in error


def test_a_search_killed_again_and_again_ends_with_exactly_its_trials(tmp_path):
    chance = random.Random(0)
    best = []
    for _ in range(2):
        environment = os.environ | {"STUB_SECONDS": "0.3"}
        process = subprocess.Popen(
            fixtures.command(tmp_path, "search.n_trials=8"), cwd=tmp_path, env=environment, stdout=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()  # which study it is: from here on it makes trials
        process.stdout.readline()
        time.sleep(chance.uniform(0, 1))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        best += [trial.value for trial in fixtures.trials(tmp_path) if trial.value is not None]
        assert fixtures.states(tmp_path)["COMPLETE"] < 8
    done = fixtures.run(tmp_path, "search.n_trials=8")
    assert done.returncode == 0, done.stderr
    found = fixtures.trials(tmp_path)
    complete = [trial for trial in found if trial.state.name == "COMPLETE"]
    assert len(complete) == 8
    assert {trial.state.name for trial in found} <= {"COMPLETE", "FAIL"}  # nobody runs, nobody waits
    tried = {frozenset(trial.params.items()) for trial in complete}
    assert len(tried) == 8
    # The lost ones were tried again; one killed before all its values were drawn, with those that were.
    assert all(any(frozenset(trial.params.items()) <= each for each in tried) for trial in found)
    assert max(trial.value for trial in complete) >= max(best, default=0)
    log = (tmp_path / "log").read_text().split("\n")
    for trial in complete:  # trained to the end once, each
        assert log.count(f"{trial.number} ends") == 1


def test_a_search_over_real_trainings(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train = Path(__file__).parent.parent.parent / "scripts" / "train.py"
    monkeypatch.setattr(sys, "argv", [
        str(train), "-m", "search=lr", "search.study=s", "search.n_trials=2", "search.pruner=median", "data=digits",
        "search.startup_trials=1", "data.limit=320", "model=mlp", "augment=none", "trainer.max_epochs=2", "logger=none",
        "optimizer.lr=0.003,0.0000001", "loss.label_smoothing=0.0", "search.sampler=grid",
    ])  # fmt: skip
    runpy.run_path(str(train), run_name="__main__")
    said = capsys.readouterr().out
    rows = table()
    assert len(rows) == 2
    for row in rows:
        metrics = fixtures.metrics(tmp_path, row["trial"])
        assert metrics["status"] == row["state"]
        assert metrics["hyperparameters"]["optimizer"]["lr"] == float(row["optimizer.lr"])
        assert "search=lr" in metrics["overrides"]
        assert "search" not in metrics["command"]  # it runs the trial again, and the search has it already
        assert len(metrics["history"]["epoch"]) == int(row["epochs"]) == (1 if row["state"] == "pruned" else 2)
        assert max(metrics["history"]["val_accuracy"]) == pytest.approx(float(row["val_accuracy"]))
    finished = [row for row in rows if row["state"] == "finished"]
    assert {row["optimizer.lr"] for row in rows if row["state"] == "pruned"} <= {"1e-07"}
    best = max(finished, key=lambda row: float(row["val_accuracy"]))
    assert best["optimizer.lr"] == "0.003"
    assert f"\nbest           trial {best['trial']}, val_accuracy " in said


def test_two_values_are_two_trials(search):
    code, said, _ = search("search.n_trials=8", "optimizer.lr=0.01,0.02", "loss.label_smoothing=0.1")
    assert code == 0
    assert sorted(row["optimizer.lr"] for row in table()) == ["0.01", "0.02"]
    assert "search.n_trials=8: there are no more than 2 different trials.\n" in said


def test_latest_is_the_best_trial(search):
    search("search.n_trials=3", "loss.label_smoothing=0.1")
    best = max(table(), key=lambda row: float(row["val_accuracy"]))
    assert Path("outputs/latest").resolve() == (STUDY / best["trial"]).resolve()


@pytest.mark.parametrize("name", ["a%20b", "a?b", "a#b", "a{b}", "a b", "ü&=+"])
def test_outputs_may_have_any_name(search, tmp_path, name):
    code, _, error = search("search.n_trials=1", f"outputs='{name}'")
    assert (code, error) == (0, "")
    assert {path.name for path in (tmp_path / name / "search/s").iterdir()} >= {"0", "study.db", "trials.csv"}
    assert {path.name for path in tmp_path.iterdir()} == {name, "stub.py", "log"}


DAMAGES = {
    "text": lambda data: b"no database\n" * 400,
    "cut": lambda data: data[: len(data) // 2],
    "overwritten": lambda data: data[:4096] + b"\xff" * 20000 + data[24096:],
    "without tables": lambda data: data[:100],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_study_is_one_sentence(search, damage):
    search("search.n_trials=1")
    path = STUDY / "study.db"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    before = {each: each.read_bytes() for each in STUDY.rglob("*.json")}
    code, _, error = search("search.n_trials=2")
    assert (code, error.count("\n")) == (2, 1), error
    assert str(path) in error
    assert {each: each.read_bytes() for each in STUDY.rglob("*.json")} == before


def test_trials_of_a_study_that_was_deleted_are_not_written_over(search):
    search("search.n_trials=1")
    (STUDY / "study.db").unlink()
    before = {each: each.read_bytes() for each in STUDY.rglob("*.json")}
    code, _, error = search("search.n_trials=1")
    assert (code, error) == (
        2, "outputs/search/s holds trials that are not in the study s: move the folder away, or begin another study "
           "with search.study=.\n",
    )  # fmt: skip
    assert {each: each.read_bytes() for each in STUDY.rglob("*.json")} == before
    assert not (STUDY / "study.db").exists()


KILLED = """
import os, runpy, signal, sys
from mnist_lightning.callbacks.metrics_json import MetricsJSON

def save(self, trainer):
    saved(self, trainer)
    if len(self._record.content["history"]["epoch"]) == epochs:  # so many are on disk
        os.killpg(0, signal.SIGKILL)

saved, MetricsJSON._save = MetricsJSON._save, save
epochs = int(sys.argv.pop(1))
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("done_before", [2, 12])
def test_a_killed_trial_goes_on_from_its_last_epoch(tmp_path, done_before):
    train = Path(__file__).parent.parent.parent / "scripts" / "train.py"
    epochs = 12
    command = [
        sys.executable, str(train), "-m", "search=lr", "search.study=s", "search.n_trials=1", "data=digits",
        "data.limit=320", "model=mlp", "augment=none", f"trainer.max_epochs={epochs}", "logger=none", "outputs='o p'",
        "trainer.enable_progress_bar=false",
    ]  # fmt: skip
    study = tmp_path / "o p/search/s"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(done_before), *command[1:]], cwd=tmp_path, stdout=subprocess.DEVNULL,
        start_new_session=True, timeout=120, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert objectives.epochs_of(study / "0") == done_before
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert f"trial 1: goes on where trial 0 was killed, after epoch {done_before}\n" in done.stdout
    before, after = (json.loads((study / number / "training_metrics.json").read_text()) for number in "01")
    assert after["status"] == "finished"
    assert after["history"]["epoch"] == list(range(1, epochs + 1))
    assert after["history"]["val_loss"][:done_before] == before["history"]["val_loss"]
    # Without the writing of the checkpoint that says so.
    assert after["timing"]["fit_seconds"] > 0.8 * before["timing"]["fit_seconds"]
    assert (study / "1" / runs.BEST).is_file()
    (row,) = [row for row in csv.DictReader((study / "trials.csv").open()) if row["state"] == "finished"]
    assert (row["trial"], row["epochs"]) == ("1", str(epochs))
    assert "ckpt_path" not in (study / "best.txt").read_text()


@pytest.mark.parametrize("setting", ["fail_fast", "ensemble"])
def test_settings_of_a_sweep_are_refused_in_a_search(tmp_path, setting):
    """With fail_fast, every trial after the first that failed would be interrupted and tried again, without end."""
    done = fixtures.run(tmp_path, f"sweep.{setting}=true")
    assert done.returncode == 2
    assert done.stderr.startswith(f"sweep.{setting}=true is for sweeps, not for a search: leave it out.")
