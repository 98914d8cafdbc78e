"""What people of the field type: each does what it does elsewhere, or is answered with the right spelling."""

import functools
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from fixtures_training import SMALL, train, weights

import mnist_lightning as ml
from mnist_lightning.cli import config, main
from mnist_lightning.cli.check import nearest
from mnist_lightning.errors import UserError
from mnist_lightning.run import folder as runs

QUIET = ["logger=none", "callbacks=[seeding,metrics_json,checkpoint,early_stopping,progress]"]
STEPS = 10  # per epoch of SMALL


def test_a_run_of_so_many_steps(tmp_path):
    metrics = train(tmp_path, "trainer.max_steps=13", "trainer.max_epochs=5", *QUIET)
    kept = torch.load(tmp_path / "run" / runs.LAST, weights_only=True)
    assert (metrics["status"], kept["global_step"]) == ("finished", 13)
    assert kept["lr_schedulers"][0]["_last_lr"][0] < 1e-3  # the schedule has come to its end with the run


def test_a_run_of_so_much_time(tmp_path):
    metrics = train(tmp_path, "trainer.max_time=00:00:00:02", "trainer.max_epochs=100000", "scheduler=none", *QUIET)
    assert metrics["status"] == "finished"
    assert 1 <= len(metrics["history"]["epoch"]) < 100000
    assert metrics["timing"]["fit_seconds"] < 20


def test_a_least_number_of_epochs(tmp_path):
    stops = ["trainer.max_epochs=9", "early_stopping.patience=1", "early_stopping.min_delta=1000"]
    assert len(train(tmp_path / "a", *stops, *QUIET)["history"]["epoch"]) == 2
    assert len(train(tmp_path / "b", *stops, "trainer.min_epochs=5", *QUIET)["history"]["epoch"]) == 5


def test_a_validation_within_the_epoch(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(ml.Classifier, "on_validation_start", lambda self: seen.append(self.trainer.global_step))
    train(tmp_path, "trainer.val_check_interval=0.5", "trainer.max_epochs=1", "test=false", *QUIET)
    assert seen == [STEPS // 2, STEPS]


@pytest.mark.parametrize(
    ("asked", "validated"),
    [
        ("trainer.val_check_interval=0.3", [3, 6, 9, 10, 13, 16, 19, 20]),
        ("trainer.val_check_interval=7", [7, 10, 17, 20]),
        ("trainer.max_steps=13", [10, 13]),
    ],
)
def test_the_values_of_an_epoch_are_those_of_the_weights_in_its_checkpoint(tmp_path, monkeypatch, asked, validated):
    seen, ends = [], ml.Classifier.on_validation_epoch_end

    def note(self):
        ends(self)
        seen.append((self.trainer.global_step, float(self.trainer.callback_metrics["val_loss"])))

    monkeypatch.setattr(ml.Classifier, "on_validation_epoch_end", note)
    metrics = train(tmp_path, asked, "trainer.max_epochs=2", "test=false", *QUIET)
    assert [step for step, _ in seen] == validated
    values = dict(seen)
    assert metrics["history"]["val_loss"] == pytest.approx([values[10], values[validated[-1]]], rel=1e-5)
    assert None not in metrics["history"]["train_loss"]


def test_overfitting_is_measured_on_the_batches_that_it_is_on(tmp_path):
    asked = ["debug=overfit", "trainer.max_epochs=20", "trainer.overfit_batches=0.1", "data.batch_size=32"]
    metrics = train(tmp_path, *asked, "optimizer.lr=0.01", *QUIET)
    assert metrics["history"]["val_accuracy"][-1] == 1.0  # 32 images by heart
    assert metrics["test"]["accuracy"] < 0.9
    least = train(tmp_path / "b", "trainer.overfit_batches=0.001", "trainer.max_epochs=1", *QUIET)
    assert least["status"] == "finished"


def test_a_fast_development_run_goes_through_all_of_it_and_leaves_no_artefact(tmp_path):
    metrics = train(tmp_path, "trainer.fast_dev_run=true")
    assert metrics["status"] == "finished"
    assert metrics["test"]["accuracy"] is not None
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert not (tmp_path / "run" / "tensorboard").exists()
    assert runs.latest(tmp_path) is None  # it has no network to give


def test_a_seed_that_is_drawn_is_recorded_and_gives_the_run_again(tmp_path):
    first, second = (train(tmp_path / name, "seed=null", *QUIET) for name in "ab")
    assert first["seed"] != second["seed"]
    assert first["history"] != second["history"]
    again = train(tmp_path / "c", f"seed={first['seed']}", *QUIET)
    assert again["history"] == first["history"]


def test_pytorchs_profiler_leaves_its_profile_in_the_run_folder(tmp_path):
    train(tmp_path, "trainer.profiler=pytorch", "trainer.max_epochs=1", *QUIET)
    assert [path.name for path in (tmp_path / "run").glob("fit-profile*.txt")] != []


def test_gradients_are_clipped_with_the_default_optimizer_in_mixed_precision(tmp_path):
    asked = ["trainer.gradient_clip_val=0.5", "trainer.precision=bf16-mixed", "trainer.max_epochs=1"]
    metrics = train(tmp_path, *asked, *QUIET)
    assert (metrics["status"], metrics["hyperparameters"]["optimizer"]["fused"]) == ("finished", False)


def test_rmsprop_learns(tmp_path):
    metrics = train(tmp_path, "optimizer=rmsprop", "optimizer.lr=0.003", "trainer.max_epochs=4", *QUIET)
    assert metrics["history"]["train_loss"][-1] < 0.7 * metrics["history"]["train_loss"][0]


@pytest.mark.parametrize("asked", ["logger=none", "logger=null", "~logger", "+logger=null"])
def test_no_logger_is_asked_for_in_any_way(tmp_path, monkeypatch, asked):
    monkeypatch.chdir(tmp_path)
    record = ml.train(*SMALL, asked, "trainer.max_epochs=1", "test=false")
    assert (record["status"], record["choices"]["logger"]) == ("finished", "none")
    assert list(tmp_path.rglob("tensorboard")) == []


@pytest.mark.parametrize("group", ["scheduler", "augment", "tta"])
def test_nothing_is_chosen_of_a_group_by_null_too(capsys, group):
    assert printed(capsys, f"{group}=null", "--cfg", "job") == printed(capsys, f"{group}=none", "--cfg", "job")


def test_a_run_that_leaves_no_network_is_not_the_latest(tmp_path):
    train(tmp_path, "callbacks=[metrics_json]", "logger=none", "trainer.max_epochs=1")
    assert runs.latest(tmp_path) is None


@pytest.mark.parametrize("asked", ["experiment=null", "debug=null", "~experiment", "search=null"])
def test_no_recipe_is_the_default(capsys, asked):
    assert printed(capsys, asked, "--cfg", "job") == printed(capsys, "--cfg", "job")


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("+trainer.benchmark=true", ("benchmark", True)),
        ("+trainer.check_val_every_n_epoch=2", ("check_val_every_n_epoch", 2)),
        ("+trainer.num_sanity_val_steps=1", ("num_sanity_val_steps", 1)),
        ("+trainer.enable_model_summary=true", ("enable_model_summary", True)),
        ("+trainer.gradient_clip_algorithm=value", ("gradient_clip_algorithm", "value")),
        ("+trainer.inference_mode=false", ("inference_mode", False)),
        ("+trainer.reload_dataloaders_every_n_epochs=1", ("reload_dataloaders_every_n_epochs", 1)),
        ("+trainer.use_distributed_sampler=true", ("use_distributed_sampler", True)),
        ("+trainer.enable_progress_bar=false", None),
    ],
)
def test_any_argument_of_lightnings_trainer_reaches_it(tmp_path, monkeypatch, asked, given):
    if given is None:  # a setting of conf/
        with pytest.raises(UserError, match=r"^trainer\.enable_progress_bar is a setting already: write it without"):
            ml.train(asked)
        return
    handed, start = [], pl.Trainer.__init__

    @functools.wraps(start)
    def spy(self, *rest, **named):
        handed.append(named)
        start(self, *rest, **named)

    monkeypatch.setattr(pl.Trainer, "__init__", spy)
    metrics = train(tmp_path, asked, "trainer.max_epochs=2", *QUIET)
    assert metrics["status"] == "finished"
    assert handed[0][given[0]] == given[1]


def test_fp16_on_a_processor_is_settled_and_said_once(tmp_path, caplog, recwarn):
    metrics = train(tmp_path, "trainer.precision=16-mixed", "trainer.accelerator=cpu", "trainer.max_epochs=1", *QUIET)
    said = "trainer.precision=16-mixed is for GPUs: the processor takes bf16-mixed."
    assert (metrics["environment"]["precision"], caplog.messages.count(said)) == ("bf16-mixed", 1)
    assert [str(each.message) for each in recwarn if "fp16" in str(each.message)] == []


# ---- the user's own folder of configs


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """`--config-dir` of somebody who has a model, a recipe and a command's config; its name has a space in it."""
    folder = tmp_path / "my conf"
    (folder / "model").mkdir(parents=True)
    (folder / "experiment").mkdir()
    (folder / "model" / "wide.yaml").write_text("# Wide.\ndefaults:\n  - mlp\n  - _self_\nhidden_sizes: [64]\n")
    (folder / "experiment" / "own.yaml").write_text("# @package _global_\n# Own.\nseed: 77\n")
    (folder / "mine.yaml").write_text("defaults:\n  - train\n  - _self_\nseed: 99\n")
    monkeypatch.chdir(tmp_path)
    yield str(folder)
    config.look_in(None)


def printed(capsys, *arguments):
    main.run("train", list(arguments))
    return capsys.readouterr().out


def test_choices_of_ones_own_folder_are_listed_taken_and_named(mine, capsys):
    assert "\nmodel: checkpoint, cnn, lenet5, mlp, wide\n" in printed(capsys, "--config-dir", mine, "--help")
    assert "- 64\n" in printed(capsys, f"--config-dir={mine}", "model=wide", "--cfg", "job")
    assert "\nseed: 77\n" in printed(capsys, "-cd", mine, "experiment=own", "--cfg", "job")
    with pytest.raises(UserError, match=r"^There is no model=wiide: did you mean wide\? Known: .*wide\.$"):
        main.run("train", ["--config-dir", mine, "model=wiide"])
    with pytest.raises(UserError, match=r"^There is no model=wide"):
        main.run("train", ["model=wide"])  # without the folder


def test_choices_of_ones_own_folder_can_be_searched_over(mine):
    from mnist_lightning.sweeps.space import Space

    config.look_in(mine)
    assert Space({"model": ["cnn", "wide"]}).size == 2
    config.look_in(None)
    with pytest.raises(UserError, match="wide"):
        Space({"model": ["cnn", "wide"]})


def test_help_takes_a_config_of_ones_own_and_that_of_another_command(mine, capsys):
    assert "\nTrain a network" in f"\n{printed(capsys, '--config-dir', mine, '-cn', 'mine', '--help')}"
    assert "\nseed: 99\n" in printed(capsys, "--config-dir", mine, "-cn", "mine", "--cfg", "job")
    assert "Score a trained network" in printed(capsys, "-cn", "eval", "--help")


def test_an_experiment_that_is_not_global_is_refused(mine):
    (Path(mine) / "experiment" / "own.yaml").write_text("trainer:\n  max_epochs: 2\n")
    with pytest.raises(UserError, match=r"^The file of experiment= would have no effect: begin it with the line # @p"):
        main.run("train", ["--config-dir", mine, "experiment=own"])


def test_settings_may_stand_on_both_sides_of_a_flag(mine, capsys):
    said = printed(capsys, "seed=3", "--cfg", "job", "model=mlp")
    assert "\nseed: 3\n" in said
    assert "hidden_sizes" in said


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("MNIST", "mnist"), ("FashionMNIST", "fashion_mnist"), ("epochs", "trainer.max_epochs"),
        ("trainer.epochs", "trainer.max_epochs"), ("Optimizer.LR", "optimizer.lr"), ("weights", "ckpt"),
        ("resume", "ckpt_path"), ("batchsize", "data.batch_size"), ("patience", "early_stopping.patience"),
    ],
)  # fmt: skip
def test_the_nearest_name_is_found_in_any_case_and_by_its_usual_name(typed, meant):
    names = [*config.choices("data"), *config.known_settings("train")]
    assert nearest(typed, names) == meant


# ---- the curve within the epochs


def test_the_curve_of_the_loss_does_not_depend_on_how_many_batches_make_a_step(tmp_path):
    import csv

    def first_point(name, *asked):
        train(tmp_path / name, "logger=csv", "trainer.log_every_n_steps=1", "trainer.max_epochs=1", *asked)
        with (tmp_path / name / "run" / "csv" / "metrics.csv").open() as file:
            return [float(row["step/loss"]) for row in csv.DictReader(file) if row["step/loss"]]

    one, four = first_point("one"), first_point("four", "trainer.accumulate_grad_batches=4")
    assert four[:4] == pytest.approx([one[0], *four[1:4]])
    assert four[0] == pytest.approx(one[0], rel=1e-5)  # of the same weights
    assert min(four[-2:]) > 0.5 * max(four[-4:-2])  # nor is the last step, of two batches, another scale


def test_a_last_step_of_fewer_batches_is_a_whole_step(tmp_path):
    """Two batches in a step of eight: it goes as far as a step of two batches."""
    one = ["optimizer=sgd", "optimizer.weight_decay=0", "scheduler=none", "averaging.decay=0.0", "data.shuffle=false",
           "trainer.precision=32-true", "trainer.max_epochs=1", "model=lenet5", "data.limit=64", "data.batch_size=32",
           *QUIET]  # fmt: skip
    assert SMALL
    train(tmp_path / "two", *one, "trainer.accumulate_grad_batches=2")
    train(tmp_path / "eight", *one, "trainer.accumulate_grad_batches=8")
    two, eight = weights(tmp_path / "two" / "run"), weights(tmp_path / "eight" / "run")
    for name, value in two.items():
        assert torch.allclose(value, eight[name], atol=1e-7), name
