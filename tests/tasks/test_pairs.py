"""Every two choices of `conf/` together, once: a run of a few steps for each line of an array that has all pairs."""

import itertools
import shutil
from importlib.util import find_spec

import pytest
from fixtures_training import DRAWN, train

from mnist_lightning.cli.config import choices
from mnist_lightning.models import checkpoint
from mnist_lightning.run import folder as runs
from mnist_lightning.run import record as records

# Left out, each for a reason: devices that this machine lacks or that are processes of their own (tests/distributed),
# the set of a checkpoint (tests/tasks/test_train.py), recipes, which make these choices themselves (tests/cli), and
# searches, which are many runs (tests/sweeps).
LEFT_OUT = {
    "trainer": {"gpu", "mps", "ddp", "fsdp", "ddp_sim"}, "data": {"trained"},
    "logger": {name for name in ("mlflow", "wandb") if find_spec(name) is None},
}  # fmt: skip
GROUPS = ("data", "logger", "scheduler", "debug", "augment", "optimizer", "model", "tta", "callbacks", "trainer")
ALONE = {"callbacks": ["undrawn", "default", "none"]}  # "undrawn" is the default without its pictures


def factors():
    """Group -> its choices; of two that make as many new pairs the first is taken, so the quick ones come first."""
    found = {group: ALONE.get(group) or sorted({*choices(group)} - LEFT_OUT.get(group, set())) for group in GROUPS}
    found["model"].reverse()  # "checkpoint" is the largest
    return found | {"debug": [*found["debug"], "null"]}


def covering(values):
    """Lines, each with a choice of every group, in which any two choices of different groups stand together."""
    names = list(values)
    missing = {
        frozenset([(a, x), (b, y)])
        for a, b in itertools.combinations(names, 2)
        for x, y in itertools.product(values[a], values[b])
    }
    lines = []
    while missing:
        line = dict(min(map(sorted, missing)))
        for name in names:
            if name not in line:
                line[name] = max(
                    values[name],
                    key=lambda each, name=name: sum(
                        frozenset([(name, each), other]) in missing for other in line.items()
                    ),
                )
        missing -= {frozenset(pair) for pair in itertools.combinations(line.items(), 2)}
        lines.append({name: line[name] for name in names})
    return lines


LINES = covering(factors())


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """The shipped network, of which it is not known which images it was trained on: the sets here are made up."""
    content = checkpoint.read(runs.PRETRAINED)
    content[checkpoint.CARD] = {key: content[checkpoint.CARD][key] for key in ("network", "image_size", "class_names")}
    checkpoint.write(content, path := tmp_path_factory.mktemp("start") / "start.ckpt")
    return path


@pytest.fixture(scope="module")
def mlflow_tables(tmp_path_factory):
    """MLflow's database without a run: making its tables, in fifty steps, takes seconds."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


def test_the_lines_have_every_pair():
    values = factors()
    for a, b in itertools.combinations(values, 2):
        there = {(line[a], line[b]) for line in LINES}
        assert there == set(itertools.product(values[a], values[b])), (a, b)


@pytest.mark.parametrize("line", LINES, ids=lambda line: " ".join(line.values()))
def test_any_two_choices_train_together(tmp_path, monkeypatch, use_source, make_source, start, line, request):
    monkeypatch.chdir(tmp_path)
    if line["logger"] == "mlflow":  # tests/tasks/test_loggers.py makes its own
        shutil.copy(request.getfixturevalue("mlflow_tables"), tmp_path)
    monkeypatch.setenv("WANDB_SILENT", "true")
    use_source(make_source(train=80, test=20, name="digits" if line["data"] == "auto" else line["data"]))
    asked = [f"{group}={choice}" for group, choice in line.items() if choice not in ("null", "undrawn")]
    if line["callbacks"] == "undrawn":
        asked += [f"~callbacks.{name}" for name in DRAWN]
    if line["debug"] == "null":
        asked += ["trainer.max_epochs=1"]
    if line["debug"] in ("null", "profile"):
        asked += ["trainer.limit_train_batches=2"]
    if line["debug"] == "overfit":
        asked += ["trainer.max_epochs=2", "data.batch_size=8"]
    if line["model"] == "checkpoint":
        asked += [f"ckpt={start}"]
    if line["model"] == "cnn":
        asked += ["model.channels=[4,8,8]"]
    asked += ["data.limit=60", "data.val_size=12", "runtime.threads=1", "trainer.precision=32-true"]
    train(tmp_path, *asked, small=False)
    told = records.read_metrics(tmp_path / "run")
    assert told["status"] == "finished"
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file() == (line["callbacks"] != "none")
