"""`repeat`: a run again from its folder alone. It says whether the numbers agree, and runs no stranger's code."""

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from fixtures_training import compose, train

from mnist_lightning.errors import UserError
from mnist_lightning.models.card import CARD
from mnist_lightning.run import folder as runs
from mnist_lightning.run import provenance
from mnist_lightning.run.record import METRICS_FILE, read_metrics
from mnist_lightning.tasks import repeat as module
from mnist_lightning.tasks.repeat import repeat

PROJECT = Path(__file__).parents[2]
SHORT = ["data.limit=64", "trainer.max_epochs=1", "logger=none", "model.hidden_sizes=[8]"]


def again(source, folder, *overrides):
    run = folder / "again"
    run.mkdir(parents=True)
    return repeat(compose("repeat", f"run={source}", f"outputs={folder}", *overrides), run)


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished run, to be damaged."""
    return Path(shutil.copytree(finished[0] / "run", tmp_path / "theirs"))


def change_record(run, change):
    record = json.loads((run / METRICS_FILE).read_text())
    change(record)
    (run / METRICS_FILE).write_text(json.dumps(record))


def change_checkpoint(run, change):
    content = torch.load(run / runs.LAST, weights_only=True)
    change(content)
    torch.save(content, run / runs.LAST)


def test_a_run_made_again_has_the_same_numbers_to_the_last_digit(finished, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    found = again(finished[0] / "run", tmp_path)
    assert (found["agrees"], found["numbers"], found["made_with"]) == (True, [], [])
    assert json.loads((tmp_path / "again" / module.FILE).read_text()) == found
    new, old = read_metrics(tmp_path / "again"), read_metrics(finished[0] / "run")
    assert new["history"] == old["history"]
    assert new["overrides"] == old["overrides"]  # `results.py` counts it to the same recipe
    assert "agree with" in caplog.text


@pytest.mark.parametrize(
    "asked",
    [
        ["seed=null", "augment=affine", "model.dropout=0.3"],
        ["data.num_folds=3", "data.fold=2", "optimizer=sgd", "scheduler=plateau"],
        ["data.split_seed=4", "~callbacks.loss_graph", "test=false", "checkpoint.monitor=last"],
    ],
)
def test_whatever_a_run_was_asked_for_is_in_its_folder(tmp_path, asked):
    train(tmp_path / "first", *SHORT, *asked)
    (tmp_path / "first" / "run").rename(tmp_path / "moved")
    assert again(tmp_path / "moved", tmp_path)["agrees"]


def test_a_run_that_started_from_latest_and_had_a_teacher_names_them(finished, tmp_path):
    asked = ["ckpt=latest", "distill.teacher=latest", "trainer.max_epochs=1", "logger=none"]
    outputs = tmp_path / "first"
    outputs.mkdir()
    runs.mark_latest(finished[0] / "run", outputs)
    record = train(outputs, *asked)
    best = (finished[0] / "run" / runs.BEST).resolve()
    assert record["hyperparameters"]["ckpt"] == record["hyperparameters"]["distill"]["teacher"] == str(best)
    assert record["inputs"]["checkpoint"] == record["inputs"]["teacher"] == provenance.sha256(best)
    assert runs.latest(outputs) == (outputs / "run").resolve()  # no longer what it was
    assert again(outputs / "run", tmp_path)["agrees"]


def test_a_resumed_run_is_repeated_as_one(tmp_path, caplog):
    train(tmp_path / "first", *SHORT, "scheduler=none")
    last = tmp_path / "first" / "run" / runs.LAST
    train(tmp_path / "more", f"ckpt_path={last}", "trainer.max_epochs=2", "logger=none", small=False)
    assert again(tmp_path / "more" / "run", tmp_path)["agrees"]
    assert "if it was begun with other settings, such as fewer epochs" in caplog.text


def test_what_differs_is_named_with_what_the_two_were_made_with(copied, tmp_path, caplog):
    def change(record):
        record["history"]["train_loss"][1] = 0.25
        record["environment"] |= {"threads": 64, "device": "another processor"}
        record["inputs"]["data"]["train_images"] = "0" * 64

    change_record(copied, change)
    change_checkpoint(copied, lambda content: content["state_dict"]["network.layers.1.weight"].add_(1)
                      if "network.layers.1.weight" in content["state_dict"]
                      else next(iter(content["state_dict"].values())).add_(1))  # fmt: skip
    packages = (copied / provenance.PACKAGES).read_text()
    (copied / provenance.PACKAGES).write_text(packages.replace("numpy==", "numpy==0.") + "gone==1.0\n\x1b[2J==1\n")
    caplog.set_level(logging.INFO)
    with pytest.raises(SystemExit) as ended:
        again(copied, tmp_path)
    assert ended.value.code == 1
    found = json.loads((tmp_path / "again" / module.FILE).read_text())
    new = read_metrics(tmp_path / "again")
    assert found["agrees"] is False
    assert found["numbers"][0] == ["history.train_loss[2]", 0.25, new["history"]["train_loss"][1]]
    assert [name for name, *_ in found["numbers"]] == ["history.train_loss[2]", "weights of checkpoints/last.ckpt"]
    made = {name: (then, now) for name, then, now in found["made_with"]}
    assert made["threads"] == (64, new["environment"]["threads"])
    assert made["device"][0] == "another processor"
    assert made["packages.numpy"][0].startswith("0.")
    assert made["packages.gone"] == ("1.0", None)
    assert made["inputs.data.train_images"][0] == "0" * 64
    assert "history.train_loss[2]: 0.25 then," in caplog.text
    assert caplog.text.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("there", "here", "told"),
    [
        (
            {"git_commit": "a" * 40},
            {"git_commit": "b" * 40},
            f"{'a' * 40}, and this checkout is at {'b' * 40}",
        ),
        (
            {"changes_sha256": "c"},
            {"changes_sha256": None},
            "with uncommitted changes (changes.diff in its folder)",
        ),
        ({"changes_sha256": None}, {"changes_sha256": "c"}, "This checkout has uncommitted changes, which the run was"),
    ],
)
def test_another_checkout_is_said_first(copied, tmp_path, monkeypatch, caplog, there, here, told):
    same = {"git_commit": "a" * 40, "changes_sha256": None}
    monkeypatch.setattr(provenance, "checkout", lambda: {**same, **here})
    change_record(copied, lambda record: record["environment"].update(same | there))

    def stop(*_):
        assert told in caplog.text
        raise UserError("so far")

    monkeypatch.setattr(module, "train", stop)
    with pytest.raises(UserError, match="so far"):
        again(copied, tmp_path)
    assert caplog.text.count("the numbers may differ") == 1


def kept(change):
    """Change the settings in last.ckpt."""
    return lambda run: change_checkpoint(run, lambda content: change(content[CARD]["settings"]))


def noted(**changes):
    """Change the record."""
    return lambda run: change_record(run, lambda record: record.update(changes))


EVIL = {"_target_": "os.system", "command": "touch evil"}
REMOVER = {"_target_": "mnist_lightning.run.folder.remove_with_empty_parents", "folder": "x"}
REFUSED = {
    "a run that did not finish": (
        noted(status="interrupted"),
        "did not finish (its status is interrupted), so there is",
    ),
    "an ensemble": (noted(members=["../0"]), "is an ensemble"),
    "no checkpoint": (lambda run: (run / runs.LAST).unlink(), "the settings of a run lie in checkpoints/last.ckpt"),
    "half a checkpoint": (lambda run: (run / runs.LAST).write_bytes((run / runs.LAST).read_bytes()[:999]), "last.ckpt"),
    "half a record": (lambda run: (run / METRICS_FILE).write_text('{"status": "fini'), "is not valid JSON"),
    "no record": (lambda run: (run / METRICS_FILE).unlink(), "is not a run folder"),
    "weights alone": (
        lambda run: change_checkpoint(run, lambda content: content[CARD].pop("settings")),
        "it does not say its settings. Was it made by an earlier version?",
    ),
    "an old version": (kept(lambda each: each.pop("runtime")), "it does not say its runtime. Was it"),
    "code in a callback": (
        kept(lambda each: each["callbacks"].update(evil=EVIL)),
        "names 'os.system', which is not a part of this package. If you trust the code that it names, allow it with "
        "allow=[os].",
    ),
    "code that it allows itself": (kept(lambda each: each.update(allow=["os"], loss=EVIL)), "names 'os.system'"),
    "code deep in its data": (kept(lambda each: each["data"].update(source={"a": [EVIL]})), "names 'os.system'"),
    "a function of this package": (
        kept(lambda each: each["data"].update(source=REMOVER)),
        "names 'mnist_lightning.run.folder.remove_with_empty_parents', wh",
    ),
    "an interpolation": (kept(lambda each: each.update(name="${oc.env:HOME}")), "its settings must be plain values"),
    "a place to write to": (
        kept(lambda each: each["trainer"].update(default_root_dir="/")),
        "its trainer.default_root_dir may write anywhere.",
    ),
    "a setting of a wrong type": (kept(lambda each: each.update(trainer="fast")), "trainer"),
}


@pytest.mark.parametrize("damage", REFUSED)
def test_what_cannot_be_repeated_is_one_sentence_and_runs_nothing(copied, tmp_path, monkeypatch, damage):
    change, told = REFUSED[damage]
    change(copied)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        again(copied, tmp_path)
    assert told in str(caught.value)
    assert str(caught.value).isprintable()
    assert list((tmp_path / "again").iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_no_folder_and_no_latest_are_sentences(tmp_path):
    with pytest.raises(UserError, match=r"^There is no run folder nowhere: give one, or `latest`, as run=\.$"):
        again("nowhere", tmp_path / "a")
    with pytest.raises(UserError, match=r"^There is no finished run under .* yet: name a run folder with run=\.$"):
        again("latest", tmp_path / "b")


def test_code_that_the_user_allows_is_built_if_its_module_defines_it(copied, tmp_path, monkeypatch):
    (tmp_path / "their_parts.py").write_text(
        "import os\nimport lightning.pytorch as pl\n\nclass Quiet(pl.Callback):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    kept(lambda each: each["callbacks"].update(q={"_target_": "their_parts.Quiet"}))(copied)
    with pytest.raises(UserError, match=r"allow it with allow=\[their_parts\]\.$"):
        again(copied, tmp_path / "a")
    assert again(copied, tmp_path / "b", "allow=[their_parts]")["agrees"]
    kept(lambda each: each["callbacks"].update(q=EVIL | {"_target_": "their_parts.os.system"}))(copied)
    with pytest.raises(UserError, match=r"names their_parts\.os\.system, which no allowed module defines\.$"):
        again(copied, tmp_path / "c", "allow=[their_parts]")


def test_a_checkpoint_that_is_resumed_runs_nothing_either(copied, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept(lambda each: each["callbacks"].update(evil=EVIL))(copied)
    with pytest.raises(UserError, match=r"last\.ckpt names 'os\.system', which is not a part of this package\."):
        train(tmp_path / "resumed", f"ckpt_path={copied}", "trainer.max_epochs=9", small=False)
    assert not (tmp_path / "evil").exists()


def test_the_command_takes_the_folder_as_a_word_and_its_exit_code_says_it(copied, tmp_path, command):
    change_record(copied, lambda record: record["test"].update(accuracy=0.5))
    done = command(tmp_path, "repeat", "theirs")
    assert done.returncode == 1, done.stderr
    assert "The numbers differ from theirs:\n  test.accuracy: 0.5 then, " in done.stdout
    [new] = (tmp_path / "outputs" / "train").glob("*/*/repeat.json")
    assert json.loads(new.read_text())["run"] == str(copied)
