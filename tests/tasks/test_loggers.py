"""Each logger is really started, offline, by a tiny fit; what it wrote is read back."""

import csv
import functools
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from mnist_lightning.callbacks.curves import Curves
from PIL import Image

from mnist_lightning import loggers
from mnist_lightning.errors import UserError
from mnist_lightning.models import networks
from mnist_lightning.models.classifier import Classifier

HYPERPARAMETERS = {
    "seed": 3,
    "ckpt": None,
    "model": {"name": "mlp", "hidden_sizes": [8]},
    "optimizer": {"name": "sgd", "lr": 0.5},
}
FINAL = {"test_accuracy": 0.75, "test_loss": 0.5, "best_val_loss": 0.25}
PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
STEPS, EPOCHS = 4, 2


def run_with(settings, run, outputs):
    """Two epochs of four steps, the learning rate halved with each step, and the end of a run."""
    run.mkdir(parents=True)
    kept = loggers.build(settings, run, outputs)
    torch.manual_seed(0)
    network = networks.build(HYPERPARAMETERS["model"], num_classes=10)
    sgd = {"name": "sgd", "lr": 0.5, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    halved = {"name": "step", "step_size": 1, "gamma": 0.5, "interval": "step", "frequency": 1}
    batches = [(torch.rand(5, 1, 28, 28), torch.randint(10, (5,))) for _ in range(STEPS)]
    trainer = pl.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=kept, callbacks=[Curves(2)], enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=1,
        default_root_dir=run,
    )  # fmt: skip
    loaders = [torch.utils.data.DataLoader(batches, batch_size=None) for _ in range(2)]
    trainer.fit(Classifier(network, sgd, halved), *loaders)
    pictures = {"loss_graph": run / "loss_graph.png"}
    Image.fromarray(PICTURE).save(pictures["loss_graph"])
    loggers.finish(kept, settings, HYPERPARAMETERS, FINAL, pictures, network.eval())
    pictures["loss_graph"].unlink()
    return SimpleNamespace(run=run, outputs=outputs, loggers=kept, metrics=trainer.callback_metrics)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A run with TensorBoard and CSV."""
    outputs = tmp_path_factory.mktemp("outputs")
    settings = {"tensorboard": {"graph": True}, "csv": {"flush_every_n_steps": 3}}
    return run_with(settings, outputs / "train" / "some-run", outputs)


@pytest.fixture(scope="module")
def events(ended):
    """What TensorBoard reads in the run folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(ended.run / "tensorboard"), size_guidance={"images": 0}).Reload()


def test_no_logger_is_an_empty_list(tmp_path):
    assert loggers.build(None, tmp_path, tmp_path) == loggers.build({}, tmp_path, tmp_path) == []


def test_the_files_lie_in_the_run_folder(ended):
    assert {path.name for path in ended.run.iterdir()} == {"tensorboard", "csv"}
    assert {path.name for path in ended.outputs.iterdir()} == {"train"}


def test_tensorboard_has_the_scalars_of_each_epoch(ended, events):
    assert set(events.Tags()["scalars"]) >= {
        "train_loss", "val_loss", "val_accuracy", "train_loss_step", "learning_rate", *FINAL,
    }  # fmt: skip
    for name in ("train_loss", "val_loss", "val_accuracy"):
        points = events.Scalars(name)
        assert [point.step for point in points] == [STEPS - 1, 2 * STEPS - 1]
        assert points[-1].value == pytest.approx(float(ended.metrics[name]), rel=1e-6)


def test_tensorboard_has_the_learning_rate_every_so_many_steps(events):
    rates = {point.step: point.value for point in events.Scalars("learning_rate")}
    assert len(rates) == 4  # of eight steps every second
    # The point after step n holds the rate that step n + 1 takes.
    assert all(rate == pytest.approx(0.5 * 0.5**step) for step, rate in rates.items())
    assert [point.step for point in events.Scalars("train_loss_step")] == list(rates)


def test_tensorboard_has_the_pictures(events):
    import cv2

    [image] = events.Images("loss_graph")
    pixels = cv2.imdecode(np.frombuffer(image.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(pixels[..., ::-1], PICTURE)  # OpenCV reads BGR


def test_tensorboard_has_the_networks_graph(events):
    nodes = {node.name: node for node in events.Graph().node}
    assert any("/Linear[head]/" in name for name in nodes), list(nodes)
    inputs = [node for node in nodes.values() if node.op == "IO Node" and node.name.startswith("input")]
    sizes = [dim.size for node in inputs for dim in node.attr["_output_shapes"].list.shape[0].dim]
    assert sizes == [1, 1, 28, 28]


def test_a_process_traces_a_network_once_and_another_for_itself():
    build = functools.partial(networks.build, num_classes=10)
    plain = {"name": "cnn", "channels": [4], "kernels": [3], "pools": [2]}
    first = loggers._graph(build(plain))
    assert loggers._graph(build(plain)) is first
    others = ({"padding": True}, {"crop": 24}, {"inputs": ["image", "deslanted"]}, {"standardize": True})
    found = [loggers._graph(build(plain | other))[0].SerializeToString() for other in others]
    assert len({first[0].SerializeToString(), *found}) == 5


def test_tensorboard_compares_runs_by_hyperparameters_and_final_metrics(ended, events):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    found = {}
    for tag in ("_hparams_/experiment", "_hparams_/session_start_info"):
        found[tag] = HParamsPluginData.FromString(events.SummaryMetadata(tag).plugin_data.content)
    given = found["_hparams_/session_start_info"].session_start_info.hparams
    assert {name: value.number_value or value.string_value for name, value in given.items()} == {
        "seed": 3, "ckpt": "None", "model/name": "mlp", "model/hidden_sizes": "[8]",
        "optimizer/name": "sgd", "optimizer/lr": 0.5,
    }  # fmt: skip
    assert {info.name.tag for info in found["_hparams_/experiment"].experiment.metric_infos} == set(FINAL)
    for name, value in FINAL.items():
        assert events.Scalars(name)[-1].value == value


def test_the_graph_is_left_out_where_it_is_not_wanted(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = {"tensorboard": {"graph": False}}
    [logger] = loggers.build(settings, tmp_path, tmp_path)
    loggers.finish([logger], settings, {}, FINAL, {}, networks.build({"name": "lenet5"}, num_classes=10))
    assert EventAccumulator(str(tmp_path / "tensorboard")).Reload().Tags()["graph"] is False


def test_csv_has_the_scalars(ended):
    with (ended.run / "csv" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [(int(row["step"]), float(row["val_loss"])) for row in rows if row["val_loss"]]
    assert [step for step, _ in losses] == [STEPS - 1, 2 * STEPS - 1]
    assert losses[-1][1] == pytest.approx(float(ended.metrics["val_loss"]), rel=1e-6)
    assert len([row for row in rows if row["learning_rate"]]) == 4
    assert [float(row["test_accuracy"]) for row in rows if row["test_accuracy"]] == [0.75]
    assert "hidden_sizes" in (ended.run / "csv" / "hparams.yaml").read_text()


def test_mlflow_keeps_the_run_in_a_database_under_outputs(tmp_path, monkeypatch):
    for package in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    outputs = tmp_path / "outputs"
    settings = {"mlflow": {"experiment_name": "digits", "tracking_uri": None}}
    done = run_with(settings, outputs / "train" / "some-run", outputs)
    assert {path.name for path in tmp_path.iterdir()} == {"outputs"}  # nothing beside it, such as mlruns
    assert {path.name for path in outputs.iterdir()} == {"train", "mlflow.db", "mlflow"}

    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
    [run] = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert (run.info.run_name, run.info.status) == ("some-run", "FINISHED")
    assert run.data.params["model/hidden_sizes"] == "[8]"
    assert {name: run.data.metrics[name] for name in FINAL} == FINAL
    history = client.get_metric_history(run.info.run_id, "val_loss")
    assert [(point.step, point.value) for point in history][-1] == (
        2 * STEPS - 1, pytest.approx(float(done.metrics["val_loss"]), rel=1e-6),
    )  # fmt: skip
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["loss_graph.png"]


def test_wandb_keeps_each_run_on_this_disk(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SILENT", "true")
    settings = {"wandb": {"project": "digits", "offline": True}}
    ids = []
    for name in ("first", "second"):  # two jobs of a sweep share a process, and must not share a run
        done = run_with(settings, tmp_path / "outputs" / name, tmp_path / "outputs")
        experiment = done.loggers[0].experiment
        ids.append(experiment.id)
        assert (experiment.project, experiment.name, experiment.offline) == ("digits", name, True)
        assert wandb.run is None  # closed
    wandb.teardown()  # as at the end of a process: waits until all is on disk
    for name in ("first", "second"):
        [file] = tmp_path.glob(f"outputs/{name}/wandb/offline-run-*/run-*.wandb")
        content = file.read_bytes()
        for word in (b"val_loss", b"learning_rate", b"test_accuracy", b"hidden_sizes", b"loss_graph"):
            assert word in content
    assert len(set(ids)) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"outputs"}


@pytest.mark.parametrize(
    ("name", "package", "knobs"),
    [
        ("mlflow", "sqlalchemy", {"experiment_name": "mnist", "tracking_uri": None}),
        ("mlflow", "alembic", {"experiment_name": "mnist", "tracking_uri": None}),
        ("wandb", "wandb", {"project": "mnist", "offline": True}),
    ],
)
def test_a_package_that_is_missing_is_said_before_the_run(tmp_path, monkeypatch, name, package, knobs):
    monkeypatch.setitem(sys.modules, package, None)
    if package == "wandb":
        import lightning.pytorch.loggers.wandb as module

        monkeypatch.setattr(module, "_WANDB_AVAILABLE", False)
    elif find_spec("mlflow") is None:
        pytest.skip("MLflow itself is missing")
    with pytest.raises(UserError, match=rf'^logger={name} needs a package .*: pip install -e "\.\[{name}\]" \('):
        loggers.build({name: knobs}, tmp_path, tmp_path)


def test_an_unknown_logger_is_said(tmp_path):
    with pytest.raises(UserError, match=r"^There is no logger=neptune; choose tensorboard, csv, mlflow, wandb or none"):
        loggers.build({"neptune": {}}, tmp_path, tmp_path)
