"""Each logger is really started, offline, by a tiny fit; what it wrote is read back."""

import csv
import signal
import sys
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace

import cv2
import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import yaml
from fixtures_training import train
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch.optim import SGD

from mnist_lightning.callbacks import BestAndLast, LearningCurves, NetworkGraph
from mnist_lightning.callbacks.pictures import keep
from mnist_lightning.cli import parts
from mnist_lightning.cli.config import CONF
from mnist_lightning.errors import Interrupted, UserError
from mnist_lightning.models import MLP, Classifier, step
from mnist_lightning.run import record as records
from mnist_lightning.tasks import setup
from mnist_lightning.tasks.loggers import close_failed, log_results

RECORD = {
    "hyperparameters": {
        "seed": 3, "ckpt": None, "model": {"_target_": "mnist_lightning.models.MLP", "hidden_sizes": [8]},
        "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.5},
    },
    "best": {"val_accuracy": 0.875, "val_loss": 0.25},
    "test": {"accuracy": 0.75, "loss": 0.5},
    "history": {"epoch": [1, 2]},
    "parameters": 6378,
    "timing": {"fit_seconds": 1.5},
    "status": "finished",
}  # fmt: skip
FINAL = {"test_accuracy": 0.75, "val_accuracy": 0.875, "val_loss": 0.25, "parameters": 6378, "fit_seconds": 1.5}
STEPS, EPOCHS = 4, 2


def config_of(name, **changes):
    """The logger as conf/logger/ configures it."""
    [(key, part)] = yaml.safe_load((CONF / "logger" / f"{name}.yaml").read_text()).items()
    return {key: part | changes}


def run_with(configs, run, outputs):
    """Two epochs of four steps, the learning rate halved with each step, and the end of a run."""
    run.mkdir(parents=True)
    kept = parts.build_all("logger", configs, save_dir=run, outputs=outputs)
    torch.manual_seed(0)
    batches = [(torch.rand(5, 1, 28, 28), torch.randint(10, (5,))) for _ in range(STEPS)]
    trainer = pl.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=kept, callbacks=[LearningCurves(2), NetworkGraph()],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        log_every_n_steps=1, default_root_dir=run,
    )  # fmt: skip
    loaders = [torch.utils.data.DataLoader(batches, batch_size=None) for _ in range(2)]
    trainer.fit(Classifier(MLP(hidden_sizes=[8]), partial(SGD, lr=0.5), step(1, 0.5, "step")), *loaders)
    figure = Figure(figsize=(2, 1))
    FigureCanvasAgg(figure)
    figure.gca().plot([1, 3, 2])
    keep(figure, run / "loss_graph.png", trainer.loggers, trainer.current_epoch, "train")
    log_results(kept, RECORD)
    pixels = cv2.imread(str(run / "loss_graph.png"))
    (run / "loss_graph.png").unlink()
    return SimpleNamespace(run=run, outputs=outputs, loggers=kept, metrics=trainer.callback_metrics, picture=pixels)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A run with TensorBoard and CSV."""
    outputs = tmp_path_factory.mktemp("outputs")
    configs = config_of("tensorboard") | config_of("csv", flush_logs_every_n_steps=3)
    return run_with(configs, outputs / "train" / "some-run", outputs)


@pytest.fixture(scope="module")
def events(ended):
    """What TensorBoard reads in the run folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(ended.run / "tensorboard"), size_guidance={"images": 0}).Reload()


def test_no_logger_is_an_empty_list(tmp_path):
    assert parts.build_all("logger", None) == parts.build_all("logger", {}) == []


def test_the_files_lie_in_the_run_folder(ended):
    assert {path.name for path in ended.run.iterdir()} == {"tensorboard", "csv"}
    assert {path.name for path in ended.outputs.iterdir()} == {"train"}


def test_tensorboard_has_the_scalars_of_each_epoch(ended, events):
    assert set(events.Tags()["scalars"]) >= {
        "train/loss", "train/accuracy", "val/loss", "val/accuracy", "step/loss", "step/lr",
    }  # fmt: skip
    for name in ("train_loss", "val_loss", "val_accuracy"):
        points = events.Scalars(name.replace("_", "/"))
        assert [point.step for point in points] == [1, 2]
        assert points[-1].value == pytest.approx(float(ended.metrics[name]), rel=1e-6)


def test_tensorboard_has_the_learning_rate_every_so_many_steps(events):
    rates = {point.step: point.value for point in events.Scalars("step/lr")}
    assert len(rates) == 4  # of eight steps every second
    # The point after step n holds the rate that step n + 1 takes.
    assert all(rate == pytest.approx(0.5 * 0.5**step) for step, rate in rates.items())
    assert [point.step for point in events.Scalars("step/loss")] == list(rates)


def test_tensorboard_has_the_pictures(ended, events):
    [image] = events.Images("train/loss_graph")
    pixels = cv2.imdecode(np.frombuffer(image.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(pixels, ended.picture)


def test_tensorboard_has_the_networks_graph(events):
    nodes = {node.name: node for node in events.Graph().node}
    assert any("/Linear[head]/" in name for name in nodes), list(nodes)
    inputs = [node for node in nodes.values() if node.op == "IO Node" and node.name.startswith("input")]
    sizes = [dim.size for node in inputs for dim in node.attr["_output_shapes"].list.shape[0].dim]
    assert sizes == [2, 1, 28, 28]


def test_drawing_the_graph_leaves_the_network_as_it_is():
    classifier = Classifier(MLP(hidden_sizes=[8]))
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    drawn = []
    logger = type("TensorBoardLogger", (), {})()
    logger.experiment = SimpleNamespace(add_graph=lambda network, example: drawn.append(network(example)))
    NetworkGraph().on_fit_end(SimpleNamespace(loggers=[logger], is_global_zero=True), classifier)
    assert drawn[0].shape == (2, 10)
    assert classifier.training
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


def test_tensorboard_compares_runs_by_hyperparameters_and_final_metrics(ended, events):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    found = {}
    for tag in ("_hparams_/experiment", "_hparams_/session_start_info"):
        found[tag] = HParamsPluginData.FromString(events.SummaryMetadata(tag).plugin_data.content)
    given = found["_hparams_/session_start_info"].session_start_info.hparams
    assert {name: value.number_value or value.string_value for name, value in given.items()} == {
        "seed": 3, "ckpt": "None", "model._target_": "mnist_lightning.models.MLP", "model.hidden_sizes": "[8]",
        "parameters": 6378, "optimizer._target_": "torch.optim.SGD", "optimizer.lr": 0.5,
    }  # fmt: skip
    named = {info.name.tag for info in found["_hparams_/experiment"].experiment.metric_infos}
    results = {"test/accuracy": 0.75, "val/best_accuracy": 0.875, "val/best_loss": 0.25, "train/fit_seconds": 1.5}
    assert named == set(results)
    for tag, value in results.items():
        [point] = events.Scalars(tag)
        assert (point.step, point.value) == (2, value)


def test_the_first_charts_of_tensorboard_are_curves(events):
    """It shows groups by name, and tags by name in them."""
    tags = sorted([*events.Tags()["scalars"], *events.Tags()["images"]])
    assert tags[0].startswith("step/")
    assert len(events.Scalars(tags[0])) > 1
    assert {tag.partition("/")[0] for tag in tags} == {"step", "test", "train", "val"}


def test_csv_has_the_scalars(ended):
    with (ended.run / "csv" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [(int(row["step"]), float(row["val/loss"])) for row in rows if row["val/loss"]]
    assert [step for step, _ in losses] == [1, 2]
    assert losses[-1][1] == pytest.approx(float(ended.metrics["val_loss"]), rel=1e-6)
    assert len([row for row in rows if row["step/lr"]]) == 4
    assert [float(row["test_accuracy"]) for row in rows if row["test_accuracy"]] == [0.75]
    assert "hidden_sizes" in (ended.run / "csv" / "hparams.yaml").read_text()


def test_mlflow_keeps_the_run_in_a_database_under_outputs(tmp_path, monkeypatch):
    for package in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    outputs = tmp_path / "outputs"
    done = run_with(config_of("mlflow", experiment_name="digits"), outputs / "sweeps" / "a-day" / "some-run", outputs)
    assert {path.name for path in tmp_path.iterdir()} == {"outputs"}  # nothing beside it, such as mlruns
    assert {path.name for path in outputs.iterdir()} == {"sweeps", "mlflow.db", "mlflow"}

    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
    [run] = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert (run.info.run_name, run.info.status) == ("some-run", "FINISHED")
    assert run.data.params["model.hidden_sizes"] == "[8]"
    assert {name: run.data.metrics[name] for name in FINAL} == FINAL
    history = client.get_metric_history(run.info.run_id, "val/loss")
    assert [(point.step, point.value) for point in history][-1] == (
        2, pytest.approx(float(done.metrics["val_loss"]), rel=1e-6),
    )  # fmt: skip
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["loss_graph.png"]


def test_wandb_keeps_each_run_on_this_disk(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SILENT", "true")
    ids = []
    for name in ("first", "second"):  # two jobs of a sweep share a process, and must not share a run
        done = run_with(config_of("wandb", project="digits"), tmp_path / "outputs" / name, tmp_path / "outputs")
        experiment = done.loggers[0].experiment
        ids.append(experiment.id)
        assert (experiment.project, experiment.name, experiment.offline) == ("digits", name, True)
        assert wandb.run is None  # closed
    wandb.teardown()  # as at the end of a process: waits until all is on disk
    for name in ("first", "second"):
        [file] = tmp_path.glob(f"outputs/{name}/wandb/offline-run-*/run-*.wandb")
        content = file.read_bytes()
        for word in (b"val/loss", b"step/lr", b"test_accuracy", b"hidden_sizes", b"loss_graph"):
            assert word in content
    assert len(set(ids)) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"outputs"}


def fail_with(configs, run, outputs):
    """A run whose first step raises, as `train` ends it: its loggers."""
    run.mkdir(parents=True)
    kept = parts.build_all("logger", configs, save_dir=run, outputs=outputs)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=kept, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=run,
    )  # fmt: skip
    loader = torch.utils.data.DataLoader([(torch.rand(5, 1, 3, 3), torch.zeros(5).long())], batch_size=None)
    with pytest.raises(RuntimeError):  # images of another size
        trainer.fit(Classifier(MLP(hidden_sizes=[8]), partial(SGD, lr=0.5)), loader)
    for logger in kept:
        logger.log_metrics({"got_so_far": 1.0})
    close_failed(kept)
    return kept


def test_after_a_job_that_failed_the_next_one_has_a_wandb_run_of_its_own(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SILENT", "true")
    outputs = tmp_path / "outputs"
    [failed] = fail_with(config_of("wandb", project="digits"), outputs / "failed", outputs)
    assert wandb.run is None
    done = run_with(config_of("wandb", project="digits"), outputs / "next", outputs)
    wandb.teardown()
    assert done.loggers[0].experiment.id != failed.experiment.id
    for name in ("failed", "next"):
        [file] = outputs.glob(f"{name}/wandb/offline-run-*/run-*.wandb")
        assert (b"got_so_far" in file.read_bytes()) == (name == "failed")


def test_closing_the_loggers_of_a_failed_run_starts_none_and_raises_nothing(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    broken = SimpleNamespace()  # without finalize
    kept = parts.build_all("logger", config_of("wandb"), save_dir=tmp_path / "run", outputs=tmp_path)
    close_failed([broken, *kept])
    assert wandb.run is None
    assert not list(tmp_path.rglob("*.wandb"))


@pytest.mark.parametrize(("name", "package"), [("mlflow", "sqlalchemy"), ("mlflow", "alembic"), ("wandb", "wandb")])
def test_a_package_that_is_missing_is_said_before_the_run(tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    if package == "wandb":
        import lightning.pytorch.loggers.wandb as module

        monkeypatch.setattr(module, "_WANDB_AVAILABLE", False)
    elif find_spec("mlflow") is None:
        pytest.skip("MLflow itself is missing")
    told = rf'^logger={name} needs a package that is not installed: pip install "mnist-lightning\[{name}\]" \('
    with pytest.raises(UserError, match=told):
        parts.build_all("logger", config_of(name), save_dir=tmp_path, outputs=tmp_path)


def test_an_unknown_logger_is_said(tmp_path):
    with pytest.raises(UserError, match=r"^logger\.mine cannot be built from lightning\.pytorch\.loggers\.Neptun: "):
        parts.build_all("logger", {"mine": {"_target_": "lightning.pytorch.loggers.Neptun"}}, save_dir=tmp_path)


def status_in_mlflow(outputs):
    """The word that MLflow shows for the only run in its database."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
    [run] = client.search_runs([client.get_experiment_by_name("mnist").experiment_id])
    return run.info.status


@pytest.mark.parametrize(
    ("status", "error", "shown"),
    [
        ("interrupted", Interrupted(signal.SIGTERM), "KILLED"),
        ("failed", ZeroDivisionError("a bug"), "FAILED"),
        ("pruned", None, "FINISHED"),  # as planned: the search ended it
    ],
)
def test_mlflow_shows_how_a_run_ended(tmp_path, monkeypatch, status, error, shown):
    for package in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(package)
    end_epoch = BestAndLast.on_train_epoch_end

    def end(self, trainer, module):
        end_epoch(self, trainer, module)
        if error is not None:
            raise error
        next(each for each in trainer.callbacks if hasattr(each, "record")).record.pruned()
        trainer.should_stop = True

    monkeypatch.setattr(BestAndLast, "on_train_epoch_end", end)
    asked = ["logger=mlflow", "callbacks=[seeding,metrics_json,checkpoint]"]
    if error is None:
        train(tmp_path, *asked)
    else:
        with pytest.raises(type(error)):
            train(tmp_path, *asked)
    assert records.read_metrics(tmp_path / "run")["status"] == status
    assert status_in_mlflow(tmp_path) == shown


def test_a_run_that_cannot_be_set_up_is_not_left_running_in_mlflow(tmp_path, monkeypatch):
    for package in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(package)

    def refuse(job):
        raise UserError("This does not fit.")

    monkeypatch.setattr(setup, "_start_record", refuse)
    with pytest.raises(UserError, match="does not fit"):
        train(tmp_path, "logger=mlflow")
    assert status_in_mlflow(tmp_path) == "FAILED"


def test_a_logger_that_does_not_start_leaves_none_before_it_running_in_mlflow(tmp_path):
    for package in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(package)
    with pytest.raises(UserError, match=r"^logger\.mine cannot be built"):
        train(tmp_path, "logger=mlflow", "+logger.mine._target_=no_package.Logger")
    assert status_in_mlflow(tmp_path) == "FAILED"


@pytest.mark.parametrize(("status", "code"), [("finished", 0), ("pruned", 0), ("failed", 1), ("interrupted", 255)])
def test_wandb_shows_how_a_run_ended(monkeypatch, status, code):
    wandb, codes = pytest.importorskip("wandb"), []
    monkeypatch.setattr(wandb, "run", SimpleNamespace(finish=lambda exit_code: codes.append(exit_code)))
    logger = type("WandbLogger", (), dict.fromkeys(("log_hyperparams", "log_metrics", "finalize"), lambda *_: None))()
    log_results([logger], RECORD | {"status": status})
    assert codes == [code]
