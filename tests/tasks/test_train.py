"""Training, end to end on scikit-learn's digits: what a run leaves, and what each knob does to it."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures_training import NO_PICTURES, SMALL, compose, train, weights
from PIL import Image

from mnist_lightning.callbacks import BestAndLast
from mnist_lightning.data import suspects
from mnist_lightning.data.datamodule import DigitsDataModule
from mnist_lightning.errors import Interrupted, UserError
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.ink import drawings
from mnist_lightning.ink.strokes import Stroke
from mnist_lightning.models import Classifier, checkpoint
from mnist_lightning.run import folder as runs
from mnist_lightning.run import record as records
from mnist_lightning.run.record import Record
from mnist_lightning.tasks import evaluate, finish
from mnist_lightning.tasks import train as training

PROJECT = Path(__file__).parents[2]


def test_a_run_leaves_everything(finished):
    folder, metrics = finished
    run = folder / "run"
    assert {path.name for path in run.iterdir()} >= {
        "checkpoints", "loss_graph.png", "training_metrics.json", "sample_prediction.png", "worst_mistakes.png",
        "confusion_matrix.png", "tensorboard",
    }  # fmt: skip
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    for picture in run.glob("*.png"):
        with Image.open(picture) as image:
            assert min(image.size) > 300
    assert json.loads((run / "training_metrics.json").read_text()) == json.loads(
        json.dumps(Record(None, metrics).plain())
    )
    assert runs.latest(folder) == run.resolve()


def test_the_metrics_keep_their_contract(finished):
    _, metrics = finished
    assert metrics["schema_version"] == 1
    assert metrics["status"] == "finished"
    assert metrics["dataset"] == {"name": "digits", "requested": "digits", "train": 320, "val": 300, "test": 297}
    history, best, test = metrics["history"], metrics["best"], metrics["test"]
    assert history["epoch"] == [1, 2]
    assert {len(history[key]) for key in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")} == {2}
    index = best["epoch"] - 1
    assert best["val_accuracy"] == max(history["val_accuracy"]) == history["val_accuracy"][index]
    assert best["val_loss"] == history["val_loss"][index]
    assert best["checkpoint"] == "checkpoints/best.ckpt"
    assert test["accuracy"] == sum(row[i] for i, row in enumerate(test["confusion_matrix"])) / 297
    assert sum(test["per_class"]["support"]) == 297
    assert {"precision", "recall", "f1"} < set(test["per_class"])
    assert metrics["parameters"] == 784 * 256 + 2 * 256 + 256 * 128 + 2 * 128 + 128 * 10 + 10
    assert metrics["hyperparameters"]["optimizer"]["lr"] == 0.02
    assert len(metrics["timing"]["seconds_per_epoch"]) == 2
    assert metrics["timing"]["fit_seconds"] > sum(metrics["timing"]["seconds_per_epoch"])
    assert metrics["environment"]["threads"] == 1
    assert len(metrics["environment"]["git_commit"] or "0" * 40) == 40


def test_a_checkpoint_is_plain_data(finished):
    folder, _ = finished
    checkpoint = torch.load(folder / "run" / runs.BEST, weights_only=True)

    def plain(node):
        if isinstance(node, dict):
            return all(plain(key) and plain(value) for key, value in node.items())
        if isinstance(node, list | tuple):
            return all(map(plain, node))
        return node is None or type(node) in (bool, int, float, str, torch.Tensor)

    assert [key for key in checkpoint if not plain(checkpoint[key])] == []


def test_it_learns(tmp_path):
    metrics = train(tmp_path, "data.limit=null", "trainer.max_epochs=6", *NO_PICTURES)
    assert metrics["test"]["accuracy"] > 0.9


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(finished, tmp_path):
    again, other = train(tmp_path / "again"), train(tmp_path / "other", "seed=1", *NO_PICTURES)
    for key in ("history", "test"):
        assert again[key] == finished[1][key]
        assert other[key] != finished[1][key]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_its_artefacts(tmp_path, signum):
    command = [sys.executable, str(PROJECT / "scripts/train.py"), *SMALL, "trainer.max_epochs=5000", "logger=none"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("epoch    2/5000"):
                break
        process.send_signal(signum)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signum, err
    assert err.strip() == f"Interrupted by {signum.name}."
    [run] = tmp_path.glob("outputs/train/*/*")
    metrics = records.read_metrics(run)
    assert metrics["status"] == "interrupted"
    assert 1 <= len(metrics["history"]["epoch"]) < 5000
    script = PROJECT / "scripts/train.py"
    assert f"Resume with: python {script} ckpt_path={run.relative_to(tmp_path)} logger=none\n" in out
    assert {"best.ckpt", "last.ckpt"} == {path.name for path in (run / "checkpoints").iterdir()}
    assert (run / "loss_graph.png").exists()
    assert not (tmp_path / "outputs" / "latest").exists()


class SignalsWhenItGoes:
    def __init__(self, signum):
        self.signum = signum

    def __del__(self):  # Python swallows what is raised in here
        signal.raise_signal(self.signum)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("epoch", [0, 1])
def test_a_signal_is_heard_wherever_it_arrives(tmp_path, monkeypatch, signum, epoch):
    end_epoch, handlers = BestAndLast.on_train_epoch_end, [signal.getsignal(each) for each in (2, 15)]

    def signalled(self, trainer, module):
        if trainer.current_epoch == epoch:
            SignalsWhenItGoes(signum)
        end_epoch(self, trainer, module)

    monkeypatch.setattr(BestAndLast, "on_train_epoch_end", signalled)
    with pytest.raises(Interrupted, match=signum.name):
        train(tmp_path)
    told = records.read_metrics(tmp_path / "run")
    assert (told["status"], told["history"]["epoch"]) == ("interrupted", list(range(1, epoch + 2)))
    assert [signal.getsignal(each) for each in (2, 15)] == handlers


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", ["score", "read_held_out"])
def test_a_signal_after_the_last_epoch_is_heard_and_named(tmp_path, monkeypatch, signum, place):
    monkeypatch.setattr(finish, place, lambda *_: signal.raise_signal(signum))
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # or a run that hears nothing would end the tests
    try:
        with pytest.raises(Interrupted, match=signum.name):
            train(tmp_path, *NO_PICTURES)
    finally:
        signal.signal(signal.SIGTERM, before)
    told = records.read_metrics(tmp_path / "run")
    assert (told["status"], told["error"]) == ("interrupted", f"Interrupted by {signum.name}.")
    assert runs.latest(tmp_path) is None


def test_ctrl_c_in_lightnings_test_is_called_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(Classifier, "on_test_start", lambda _: signal.raise_signal(signal.SIGINT), raising=False)
    with pytest.raises(Interrupted, match="SIGINT"):
        train(tmp_path, *NO_PICTURES)
    assert records.read_metrics(tmp_path / "run")["error"] == "Interrupted by SIGINT."


def test_a_run_killed_outright_leaves_its_last_whole_epoch(tmp_path):
    command = [sys.executable, str(PROJECT / "scripts/train.py"), *SMALL, "trainer.max_epochs=5000", "logger=none"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("epoch    2/5000"):
                break
        time.sleep(0.3)
        process.kill()
    [run] = tmp_path.glob("outputs/train/*/*")
    metrics = records.read_metrics(run)
    assert metrics["status"] == "running"
    assert len(metrics["history"]["epoch"]) >= 1
    torch.load(run / runs.LAST, weights_only=True)


def test_a_fault_of_the_program_is_written_down(tmp_path, monkeypatch):
    def fail(self, trainer, module):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(BestAndLast, "on_train_epoch_end", fail)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path)
    told = records.read_metrics(tmp_path / "run")
    assert (told["status"], told["error"], told["user_error"]) == ("failed", "a bug", False)


def test_a_training_that_diverges_ends_with_a_sentence_and_a_failed_record(tmp_path):
    asked = ["optimizer=sgd", "optimizer.lr=1e30", "scheduler=none", "trainer.precision=32-true", "logger=none"]
    with pytest.raises(UserError, match=r"^The loss is (nan|inf) in epoch 1: training has diverged\. Lower optimizer"):
        train(tmp_path, *asked)
    told = records.read_metrics(tmp_path / "run")
    assert (told["status"], told["user_error"]) == ("failed", True)
    assert told["error"].startswith("The loss is ")
    assert runs.latest(tmp_path) is None


def test_without_callbacks_a_run_is_still_a_run(tmp_path, finished):
    metrics = train(tmp_path, "callbacks=none", "logger=none", "averaging.decay=0.98")
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left - {"changes.diff"} == {"training_metrics.json", "packages.txt"}
    assert (metrics["status"], metrics["history"]["epoch"], metrics["best"]) == ("finished", [], None)
    assert metrics["test"]["accuracy"] > 0.2
    assert metrics["parameters"] == finished[1]["parameters"]


def test_a_callback_that_is_left_out_leaves_its_own_artefact_out_and_nothing_else(tmp_path, finished):
    train(tmp_path, "~callbacks.loss_graph")
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert {path.name for path in (finished[0] / "run").iterdir()} - left == {"loss_graph.png"}


def test_without_its_pictures_a_run_is_tested_all_the_same(tmp_path, finished):
    without = [f"~callbacks.{name}" for name in ("sample_prediction", "worst_mistakes", "confusion_matrix")]
    metrics = train(tmp_path, *without, "logger=none")
    assert metrics["test"] == finished[1]["test"]
    assert [path.name for path in (tmp_path / "run").glob("*.png")] == ["loss_graph.png"]


def test_a_run_too_short_for_an_update_of_the_average_keeps_what_it_trained(tmp_path):
    """Two steps per epoch, an update of the average every five."""
    short = ["data.limit=64", "trainer.max_epochs=2", "trainer.precision=32-true", *NO_PICTURES]
    averaged = train(tmp_path / "averaged", *short, "averaging.every_n_steps=500")
    plain = train(tmp_path / "plain", *short, "averaging.decay=0.0")
    assert averaged["history"]["train_loss"] == pytest.approx(plain["history"]["train_loss"], rel=1e-6)
    assert averaged["history"]["val_loss"][0] == pytest.approx(plain["history"]["val_loss"][0], rel=1e-6)


def test_the_test_images_are_left_alone_where_that_is_asked_for(tmp_path):
    metrics = train(tmp_path, "test=false", "logger=none", "trainer.max_epochs=1")
    assert (metrics["status"], metrics["test"]) == ("finished", None)


def test_a_network_is_scored_without_training_it(tmp_path, finished):
    metrics = train(tmp_path, "train=false", f"ckpt={finished[0] / 'run'}", "logger=none")
    assert metrics["history"]["epoch"] == []
    assert metrics["test"]["accuracy"] == finished[1]["test"]["accuracy"]


def test_a_name_and_tags_are_in_the_record(tmp_path, finished):
    assert (finished[1]["name"], finished[1]["tags"]) == ("run", [])
    metrics = train(tmp_path, "name=first", "tags=[small,mlp]", "logger=none", "trainer.max_epochs=1")
    assert (metrics["name"], metrics["tags"]) == ("first", ["small", "mlp"])


def test_averaging_changes_what_is_saved_and_is_validated(finished, tmp_path):
    plain = train(tmp_path, "averaging.decay=0.0", *NO_PICTURES)
    assert plain["history"]["train_loss"] == pytest.approx(finished[1]["history"]["train_loss"], rel=1e-6)
    assert plain["history"]["val_loss"] != finished[1]["history"]["val_loss"]
    checkpoint = torch.load(finished[0] / "run" / runs.LAST, weights_only=True)
    assert "current_model_state" in checkpoint
    moving, averaged = checkpoint["current_model_state"], checkpoint["state_dict"]
    assert not torch.equal(moving["network.head.weight"], averaged["network.head.weight"])
    assert torch.equal(moving["network.head.weight"], weights(tmp_path / "run")["network.head.weight"])


def test_clipping_bounds_the_step(tmp_path):
    quiet = ["optimizer=sgd", "optimizer.momentum=0.0", "optimizer.nesterov=false", "optimizer.weight_decay=0.0"]
    quiet += ["scheduler=none", "averaging.decay=0.0", "optimizer.lr=1.0", "data.limit=32", "trainer.max_epochs=1"]
    quiet += NO_PICTURES
    train(tmp_path / "start", *quiet, "trainer.gradient_clip_val=1e-9", "trainer.precision=32-true")
    train(tmp_path / "clipped", *quiet, "trainer.gradient_clip_val=0.01", "trainer.precision=32-true")
    before, after = weights(tmp_path / "start" / "run"), weights(tmp_path / "clipped" / "run")
    moved = torch.sqrt(sum(((after[name] - before[name]) ** 2).sum() for name in before))
    assert moved.item() == pytest.approx(0.01, rel=1e-3)  # one step of length lr * clip


def test_accumulating_two_halves_is_one_whole_batch(tmp_path):
    one = ["optimizer=sgd", "scheduler=none", "averaging.decay=0.0", "data.limit=64", "data.shuffle=false"]
    one += ["trainer.precision=32-true", "trainer.max_epochs=1", "model=lenet5"]  # no batch norm, which sees batches
    one += NO_PICTURES
    train(tmp_path / "whole", *one, "data.batch_size=64")
    train(tmp_path / "halves", *one, "data.batch_size=32", "trainer.accumulate_grad_batches=2")
    whole, halves = weights(tmp_path / "whole" / "run"), weights(tmp_path / "halves" / "run")
    for name, value in whole.items():
        assert torch.allclose(value, halves[name], atol=1e-6), name


def test_precision_changes_the_arithmetic_but_not_the_weights_kept(tmp_path):
    exact = train(tmp_path / "exact", "trainer.precision=32-true", "trainer.max_epochs=1", *NO_PICTURES)
    mixed = train(tmp_path / "mixed", "trainer.precision=bf16-mixed", "trainer.max_epochs=1", *NO_PICTURES)
    assert exact["environment"]["precision"] == "32-true"
    assert mixed["environment"]["precision"] == "bf16-mixed"
    assert exact["history"]["train_loss"] != mixed["history"]["train_loss"]
    assert exact["history"]["train_loss"] == pytest.approx(mixed["history"]["train_loss"], rel=0.05)
    kept = weights(tmp_path / "mixed" / "run")
    assert {value.dtype for name, value in kept.items() if "num_batches" not in name} == {torch.float32}


def test_compile_compiles_the_network_and_keeps_the_names_of_its_weights(tmp_path):
    if shutil.which("gcc") is None and shutil.which("c++") is None:
        pytest.skip("torch.compile needs a C++ compiler on a CPU, and there is none")
    one = ["trainer.max_epochs=1", "trainer.precision=32-true", *NO_PICTURES]
    compiled = train(tmp_path / "on", "runtime.compile=true", *one)
    train(tmp_path / "off", *one)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert list(weights(tmp_path / "on" / "run")) == list(weights(tmp_path / "off" / "run"))
    # What the compiled network said of the validation images is what its weights say without compilation.
    data = DigitsDataModule("digits", limit=320, val_size=300)
    data.setup()
    logits = Predictor.load(tmp_path / "on" / "run" / runs.BEST, "cpu").logits(data.val.images)
    eager = torch.nn.functional.cross_entropy(logits, data.val.labels).item()
    assert compiled["history"]["val_loss"] == [pytest.approx(eager, rel=1e-5)]


def test_early_stopping_stops(tmp_path):
    stops = ["trainer.max_epochs=30", "early_stopping.patience=2", "early_stopping.min_delta=1000"]
    metrics = train(tmp_path, *stops, *NO_PICTURES)
    assert len(metrics["history"]["epoch"]) == 3
    assert metrics["status"] == "finished"


def test_the_last_epoch_can_be_the_best_by_rule(tmp_path):
    metrics = train(tmp_path, "checkpoint.monitor=last", "optimizer.lr=1.0", "scheduler=none", *NO_PICTURES)
    assert metrics["best"]["epoch"] == 2


def test_a_network_learns_from_its_teachers_answers_alone(tmp_path):
    asked = ("model.hidden_sizes=[64]", "distill.teacher=pretrained", "distill.weight=1.0", "trainer.max_epochs=12")
    metrics = train(tmp_path, *asked, *NO_PICTURES)
    assert metrics["best"]["val_accuracy"] > 0.5, "no label counted, and yet it tells ten digits apart"


def test_test_time_augmentation_changes_the_score_and_not_the_network(tmp_path):
    once, often = (
        train(tmp_path / name, *asked, *NO_PICTURES)
        for name, asked in (("a", []), ("b", ["tta=views", "tta.degrees=20"]))
    )
    assert once["history"] == often["history"]
    assert once["test"]["loss"] != often["test"]["loss"]


def test_given_weights_are_where_training_starts(tmp_path):
    knobs = ["model=lenet5", "trainer.precision=32-true", *NO_PICTURES]
    first = train(tmp_path / "first", *knobs)
    still = [*knobs, "optimizer.lr=1e-12", "trainer.max_epochs=1"]
    second = train(tmp_path / "second", f"ckpt={tmp_path / 'first' / 'run'}", *still)
    assert second["history"]["val_loss"][0] == pytest.approx(first["best"]["val_loss"], rel=1e-4)
    assert second["history"]["epoch"] == [1]


def test_a_checkpoint_of_another_architecture_is_refused_before_training(finished, tmp_path):
    with pytest.raises(UserError, match=r"belong to model=mlp .*with 10 classes"):
        train(tmp_path, f"ckpt={finished[0] / 'run' / runs.LAST}", "model=lenet5", "trainer.max_epochs=9")
    assert not (tmp_path / "run" / records.METRICS_FILE).exists()


@pytest.mark.parametrize("asked", ["ckpt", "distill.teacher"])
@pytest.mark.parametrize("split", ["data.split_seed=1", "data.num_folds=3 data.fold=1"])
def test_a_network_that_has_learned_validation_images_of_this_run_is_refused(finished, tmp_path, asked, split):
    with pytest.raises(UserError, match=rf"^{asked}=\S+ was trained on \d+ of the \d+ validation images of this run"):
        train(tmp_path, f"{asked}={finished[0] / 'run'}", *split.split())
    assert list((tmp_path / "run").iterdir()) == []


def test_a_card_names_all_that_its_network_has_learned_from(finished, tmp_path):
    asked = [f"distill.teacher={finished[0] / 'run'}", "data.limit=100", "trainer.max_epochs=1"]
    train(tmp_path, *asked, *NO_PICTURES)
    seen = checkpoint.read(tmp_path / "run" / runs.BEST)[checkpoint.CARD]["seen"]
    assert [facts["limit"] for facts in seen] == [100, 320]
    again = train(tmp_path / "b", f"ckpt_path={tmp_path / 'run'}", "trainer.max_epochs=2", "logger=none", small=False)
    assert again["status"] == "finished"
    assert checkpoint.read(tmp_path / "b" / "run" / runs.BEST)[checkpoint.CARD]["seen"] == seen


def test_evaluating_a_run_gives_its_own_test_numbers(finished, tmp_path):
    folder, metrics = finished
    run = tmp_path / "eval"
    run.mkdir()
    overrides = ["data=digits", "ckpt=latest", f"outputs={folder}"]
    result = evaluate.evaluate(run, **compose("eval", *overrides))
    assert result["accuracy"] == metrics["test"]["accuracy"]
    assert result["loss"] == pytest.approx(metrics["test"]["loss"], rel=1e-6)
    assert result["confusion_matrix"] == metrics["test"]["confusion_matrix"]
    assert json.loads((run / "evaluation.json").read_text())["trained_on"] == "digits"
    assert {"sample_prediction.png", "worst_mistakes.png", "confusion_matrix.png"} <= {p.name for p in run.iterdir()}


def test_evaluating_on_the_set_that_it_was_trained_on_needs_no_name(finished, tmp_path):
    (tmp_path / "eval").mkdir()
    result = evaluate.evaluate(tmp_path / "eval", **compose("eval", "data=trained", f"ckpt={finished[0] / 'run'}"))
    assert (result["dataset"]["name"], result["accuracy"]) == ("digits", finished[1]["test"]["accuracy"])


def test_the_command_from_python_returns_the_record(tmp_path, monkeypatch):
    import mnist_lightning as ml

    monkeypatch.chdir(tmp_path)
    record = ml.train(*SMALL, "trainer.max_epochs=1", "logger=none")
    [run] = tmp_path.glob("outputs/train/*/*")
    assert json.loads((run / records.METRICS_FILE).read_text())["test"]["accuracy"] == pytest.approx(
        record["test"]["accuracy"], abs=1e-5
    )
    assert record["overrides"] == [*SMALL, "trainer.max_epochs=1", "logger=none"]
    assert (record["choices"]["model"], record["status"]) == ("mlp", "finished")
    assert (run / ".hydra" / "config.yaml").exists()
    with pytest.raises(UserError, match=r"did you mean trainer\.max_epochs"):
        ml.train("trainer.max_epoch=1")


def test_fit_resume_eval_predict_from_the_command_line(tmp_path, command):
    def given(*words):
        done = command(tmp_path, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    out = given("train", *SMALL)
    assert "epoch 2/2" in out
    assert "test accuracy" in out
    assert "\r" not in out
    [run] = tmp_path.glob("outputs/train/*/*")
    out = given("train", f"ckpt_path={run}", "trainer.max_epochs=4")
    assert "epoch 3/4" in out
    assert "epoch 2/4" not in out
    assert "accuracy" in given("eval", "data=digits", "ckpt=latest")

    white = Image.new("L", (90, 120), 255)
    white.paste(0, (40, 20, 52, 100))  # a plain stroke: a one
    white.save(tmp_path / "one.png")
    line = json.loads(given("predict", "image=one.png", "ckpt=latest"))
    assert line["image"] == "one.png"
    assert line["digit"] in range(10)
    assert sum(line["probabilities"]) == pytest.approx(1, abs=1e-4)
    assert line["confidence"] == max(line["probabilities"]) == line["probabilities"][line["digit"]]


def test_my_hand_goes_on_from_a_trained_network_and_says_what_it_learned(tmp_path, finished):
    outputs, _ = finished
    for number, label in enumerate([0, 1, 7, 8, 1] * 2):
        strokes = [Stroke([(0, label * 9), (30 + label, 50), (label * 9, 90)])]
        drawings.append(tmp_path, strokes, label, identity=f"a{number}")
    run = tmp_path / "run"
    run.mkdir()
    asked = [f"outputs={tmp_path}", "data=digits", "data.limit=320", "runtime.threads=1", f"data.drawings={tmp_path}"]
    asked += [
        f"ckpt={outputs / 'run'}",
        "data.pen_digits=20",
        "data.outlier_drawings=10",
        "trainer.limit_train_batches=3",
    ]
    metrics = training.train(compose("train", "experiment=my_hand", *asked), run)
    assert metrics["drawings"]["aside"] == 2  # a fifth of ten
    assert {"right", "right_before"} <= set(metrics["drawings"])
    assert (
        metrics["hyperparameters"]["model"]["_target_"] == "mnist_lightning.models.MLP"
    )  # the network of the checkpoint, not conf's
    assert metrics["dataset"]["train"] > 320 + 20 + 10
    assert weights(run).keys() == weights(outputs / "run").keys()


def test_the_laps_of_a_job_add_up(finished):
    _, metrics = finished
    timing = metrics["timing"]
    names = {"settings", "imports", "data", "network and trainer", "fit", "test", "loggers"}
    assert set(timing["laps"]) == names
    assert sum(timing["laps"].values()) == pytest.approx(timing["total_seconds"])
    assert timing["laps"]["fit"] >= timing["fit_seconds"]


@pytest.mark.parametrize(("treatment", "done"), [("drop", "left out"), ("soften", "trained on with soft labels")])
def test_doubtful_labels_are_dropped_or_softened_and_the_record_says_how_many(tmp_path, caplog, treatment, done):
    data = DigitsDataModule("digits")
    data.setup()
    labels, index = data.source.train_labels.numpy(), np.setdiff1d(np.arange(1500), data.val_index.numpy())[:3]
    probs = np.full((3, 10), 0.1, np.float32)
    suspects.write(tmp_path / "suspects.json", suspects.Suspects("digits", 1500, index, labels[index], probs))
    asked = ["data.limit=null", "data.val_size=null", "trainer.max_epochs=1"]
    with caplog.at_level("INFO"):
        metrics = train(tmp_path, *asked, f"data.suspects={treatment}", f"data.suspects_file={tmp_path}")
    assert metrics["dataset"]["train"] == len(data.train) - 3 * (treatment == "drop")
    told = metrics["dataset"]["suspects"]
    assert (told["treatment"], told["images"]) == (treatment, 3)
    assert told["sha256"] == hashlib.sha256((tmp_path / "suspects.json").read_bytes()).hexdigest()
    assert f"3 training images whose labels are likely wrong are {done}" in caplog.text
    assert records.read_metrics(tmp_path / "run")["dataset"]["suspects"] == told


def test_both_figures_are_said_where_test_labels_are_known_to_be_wrong(tmp_path, caplog):
    record = {
        "best": None, "dataset": {"name": "mnist", "requested": "mnist", "test": 10000}, "history": {"epoch": []},
        "timing": {"fit_seconds": 1.0, "total_seconds": 2.0},
        "test": {"accuracy": 0.9973, "corrected_labels": {"accuracy": 9980 / 9995, "images": 9995}},
    }  # fmt: skip
    with caplog.at_level("INFO"):
        finish.summarise(tmp_path, record)
    assert caplog.messages[1:3] == [
        "test accuracy  99.73 % of 10,000 images of mnist",
        "               99.85 % of 9,995 images with corrected labels",
    ]


def test_the_wandb_run_of_a_job_that_failed_is_closed(tmp_path, monkeypatch):
    """Or the next job of a sweep would log into it."""
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setattr(finish, "score", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path, "logger=wandb", "trainer.max_epochs=1", "callbacks=none")
    assert list(tmp_path.rglob("*.wandb"))
    assert wandb.run is None
