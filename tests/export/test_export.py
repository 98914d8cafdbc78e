"""Networks as files for other programs: what they hold, that they compute the same, and that a bad one is removed."""

import base64
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from mnist_lightning.errors import UserError  # noqa: E402
from mnist_lightning.export import command, formats, onnx_runtime_web  # noqa: E402
from mnist_lightning.inference.predictor import Predictor  # noqa: E402
from mnist_lightning.models import build as models  # noqa: E402
from mnist_lightning.models import checkpoint  # noqa: E402
from mnist_lightning.models.fold import FoldedBlock, fold  # noqa: E402
from mnist_lightning.models.network import to_input  # noqa: E402

DATA = {"name": "digits"}  # scikit-learn's, always there
NETWORKS = {
    "cnn": {"channels": [4, 6], "kernels": [5, 3], "pools": [2, 2]},
    "padded": {"name": "cnn", "channels": [4], "kernels": [5], "pools": [3], "padding": True, "crop": 24},
    "standardized": {"name": "cnn", "channels": [4], "kernels": [5], "pools": [1], "standardize": True},
    "deslanted": {"name": "cnn", "channels": [4], "kernels": [5], "pools": [2], "inputs": ["image", "deslanted"]},
    "lenet5": {},
    "mlp": {"hidden_sizes": [12]},
    "ensemble": {"members": [{"name": "mlp", "hidden_sizes": [4]}, {"name": "mlp", "hidden_sizes": [5]}]},
}


def build(name, turned=False):
    """A network that is moved a little from its start, so that no norm is the identity; `turned` makes one negative."""
    torch.manual_seed(0)
    network = models.build({"name": name, **NETWORKS[name]}, num_classes=10)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            for values in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                values.add_(torch.rand_like(values) * 0.5)
            if turned:
                module.weight.data[0] *= -1
    return network.eval()


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """`files("cnn")`: a checkpoint of such a network."""
    made = {}

    def file(name):
        if name not in made:
            network = build(name)
            card = checkpoint.make_card(
                {"name": name, **NETWORKS[name]}, image_size=28, dataset="mnist", class_names=tuple("0123456789"),
                settings={"seed": 3}, temperature=0.7,
            )  # fmt: skip
            weights = {f"network.{key}": value for key, value in network.state_dict().items()}
            made[name] = tmp_path_factory.mktemp("networks") / f"{name}.ckpt"
            torch.save({"state_dict": weights, checkpoint.CARD: card}, made[name])
        return made[name]

    return file


def images(count):
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28)).astype(np.uint8)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_folding_changes_nothing_but_rounding(name, turned):
    network = build(name, turned)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = fold(network)
    inputs = to_input(torch.as_tensor(images(5)))
    torch.testing.assert_close(folded(inputs), network(inputs), atol=1e-4, rtol=1e-4)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    if name == "cnn":
        assert [isinstance(block, FoldedBlock) for block in folded.blocks] == [not turned] * 2


@pytest.mark.parametrize("name", ["cnn", "standardized", "deslanted", "ensemble"])
def test_onnx_computes_what_the_network_does(files, tmp_path, name):
    path = command.export(ckpt=str(files(name)), output=str(tmp_path / "made.onnx"), data=DATA)
    found, wanted = Predictor.load(path), Predictor.load(files(name), "cpu")
    for count in (1, 2, 37):
        np.testing.assert_allclose(found.probabilities(images(count)), wanted.probabilities(images(count)), atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["made.onnx"]  # one file, nothing temporary
    model = onnx.load(path)
    assert [each.type.tensor_type.shape.dim[0].dim_param for each in (*model.graph.input, *model.graph.output)] == [
        "batch", "batch",
    ]  # fmt: skip


def test_an_onnx_file_is_scored_as_the_checkpoint_that_it_came_from(files, tmp_path, compose):
    from mnist_lightning.tasks.evaluate import evaluate

    path = command.export(ckpt=str(files("cnn")), output=str(tmp_path / "made.onnx"), data=DATA)
    found = []
    for number, ckpt in enumerate((files("cnn"), path)):
        run = tmp_path / str(number)
        run.mkdir()
        asked = compose("eval", f"ckpt='{ckpt}'", "data=digits", "precision=32-true")
        names = ("ckpt", "outputs", "device", "precision", "data", "tta", "allow")
        found.append(evaluate(run, **{name: asked[name] for name in names}))
    first, second = found
    assert second["accuracy"] == first["accuracy"]
    assert second["loss"] == pytest.approx(first["loss"], abs=1e-4)
    assert second["environment"]["precision"] == "32-true"


@pytest.mark.parametrize("tta", ["none", "views"])
def test_a_precision_that_an_onnx_file_does_not_have_is_refused(files, tmp_path, compose, tta):
    from mnist_lightning.tasks.evaluate import evaluate

    path = command.export(ckpt=str(files("mlp")), output=str(tmp_path / "made.onnx"), data=DATA)
    asked = compose("eval", f"ckpt='{path}'", "data=digits", "precision=bf16-mixed", f"tta={tta}")
    names = ("ckpt", "outputs", "device", "precision", "data", "tta", "allow")
    with pytest.raises(UserError, match=r"precision=bf16-mixed cannot be combined with .*made\.onnx"):
        evaluate(tmp_path, **{name: asked[name] for name in names})


def test_scoring_an_onnx_file_draws_the_same_and_does_not_import_torch(files, tmp_path):
    path = command.export(ckpt=str(files("cnn")), output=str(tmp_path / "made.onnx"), data=DATA)
    code = (
        "import json, sys; from mnist_lightning.cli.main import run; found = run('eval', sys.argv[1:]);"
        "print(json.dumps([found['accuracy'], [name for name in ('torch', 'lightning') if name in sys.modules]]))"
    )
    found = []
    for ckpt in (files("cnn"), path):
        asked = [f"ckpt='{ckpt}'", "data=digits", "precision=32-true", f"hydra.run.dir='{tmp_path / ckpt.stem}'"]
        done = subprocess.run(
            [sys.executable, "-c", code, *asked], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
    assert found == [[found[0][0], ["torch", "lightning"]], [found[0][0], []]]
    first, second = (tmp_path / ckpt.stem for ckpt in (files("cnn"), path))
    for name in ("worst_mistakes", "confusion_matrix"):
        assert (first / f"{name}.png").read_bytes() == (second / f"{name}.png").read_bytes()
    assert (second / "sample_prediction.png").is_file()
    seen = json.loads((second / "evaluation.json").read_text())
    assert (seen["dataset"]["test"], "onnxruntime" in seen["environment"]["versions"]) == (297, True)


def test_an_onnx_file_is_scored_on_a_module_of_ones_own_by_the_same_name_as_ours(files, tmp_path, compose, monkeypatch):
    from mnist_lightning.tasks.evaluate import evaluate

    (tmp_path / "same_name.py").write_text(
        "from mnist_lightning.data import datamodule\n"
        "class DigitsDataModule(datamodule.DigitsDataModule):\n"
        "    def setup(self, stage=None):\n"
        "        super().setup(stage)\n"
        "        self.test = datamodule.InMemory(*self.test[:7])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    path = command.export(ckpt=str(files("mlp")), output=str(tmp_path / "made.onnx"), data=DATA)
    asked = compose("eval", f"ckpt='{path}'", "data=digits", "data._target_=same_name.DigitsDataModule")
    names = ("ckpt", "outputs", "device", "precision", "data", "tta", "allow")
    found = evaluate(tmp_path, **{name: asked[name] for name in names})
    assert found["dataset"] == {"name": "digits", "requested": "digits", "test": 7}


@pytest.mark.parametrize("suffix", [".ckpt", ".onnx"])
def test_the_set_that_was_trained_on_is_recorded_by_its_name(files, tmp_path, compose, suffix):
    from mnist_lightning.models import checkpoint
    from mnist_lightning.tasks.evaluate import evaluate

    content = checkpoint.read(files("mlp"))
    content[checkpoint.CARD]["dataset"] = "digits"
    path = tmp_path / "made.ckpt"
    checkpoint.write(content, path)
    if suffix == ".onnx":
        path = command.export(ckpt=str(path), output=str(tmp_path / "made.onnx"), data=DATA)
    asked = compose("eval", f"ckpt='{path}'", "data.limit=20", "precision=32-true")
    names = ("ckpt", "outputs", "device", "precision", "data", "tta", "allow")
    found = evaluate(tmp_path, **{name: asked[name] for name in names})
    assert found["dataset"] == {"name": "digits", "requested": "digits", "test": 20}


def test_the_metadata_says_what_a_user_needs(files, tmp_path):
    path = command.export(ckpt=str(files("mlp")), output=str(tmp_path / "made.onnx"), data=DATA, sure=0.6)
    found = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    card = json.loads(found["mnist_lightning"])
    assert json.loads(found["class_names"]) == list("0123456789")
    assert (found["temperature"], found["sure"], found["training_run"]) == ("0.7", "0.6", "mlp.ckpt")
    assert json.loads(found["preprocessing"]) == {  # no mean: whoever subtracted it would do so twice
        "input": "images: float32 [batch, 1, 28, 28], 0 to 1, bright ink on 0",
        "normalised_by": "the network itself",
        "probabilities": "softmax(logits / temperature)",
    }
    assert (card["settings"], card["temperature"], card["sure"]) == ({"seed": 3}, 0.7, 0.6)
    assert card["export"]["sha256"] == command.digest(files("mlp"))
    assert str(tmp_path).encode() not in path.read_bytes()  # no traces of where it was made
    assert b".py" not in path.read_bytes()


def test_eight_bits_are_smaller_and_read_nearly_the_same(files, tmp_path):
    path = command.export(ckpt=str(files("cnn")), output=str(tmp_path / "q.onnx"), quantize="int8", data=DATA)
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    found, wanted = Predictor.load(path), Predictor.load(files("cnn"), "cpu")
    assert found.card["export"]["quantize"] == "int8"
    assert np.abs(found.probabilities(images(50)) - wanted.probabilities(images(50))).max() < 0.1
    assert [maps.maps.shape for maps in found.feature_maps(images(1)[0])] == [
        maps.maps.shape for maps in wanted.feature_maps(images(1)[0])
    ]


@pytest.mark.parametrize("format", ["safetensors", "torch_export", "torchscript"])
def test_formats_of_torch_compute_the_same(files, tmp_path, format):
    output = str(tmp_path / f"made{formats.SUFFIXES[format]}")
    path = command.export(ckpt=str(files("cnn")), format=format, output=output, data=DATA)
    found = formats.READERS[format]
    wanted = Predictor.load(files("cnn"), "cpu").probabilities(images(9))
    np.testing.assert_allclose(found(path)(images(9)), wanted, atol=1e-5)


def test_a_safetensors_file_is_exported_as_a_checkpoint_is(files, tmp_path):
    first = command.export(ckpt=str(files("mlp")), format="safetensors", output=str(tmp_path / "a.safetensors"),
                           data=DATA)  # fmt: skip
    second = command.export(ckpt=str(first), output=str(tmp_path / "b.onnx"), data=DATA)
    wanted = Predictor.load(files("mlp"), "cpu").probabilities(images(5))
    np.testing.assert_allclose(Predictor.load(second).probabilities(images(5)), wanted, atol=1e-5)


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_a_page_with_onnx_runtime_holds_the_network_that_was_asked_for(files, tmp_path, monkeypatch, capsys, quantize):
    monkeypatch.setattr(onnx_runtime_web, "files", lambda: {})  # it is fetched with npm
    if quantize:  # how much eight bits change this network, which is untrained, is not the question here
        monkeypatch.setitem(formats.READERS, "onnx", lambda _path: Predictor.load(files("cnn"), "cpu").probabilities)
    path = command.export(ckpt=str(files("cnn")), format="web", engine="onnxruntime-web", quantize=quantize, data=DATA,
                          output=str(tmp_path / "page.html"))  # fmt: skip
    network = json.loads(re.search(r'id="network">(.*?)</script>', path.read_text(), re.DOTALL)[1])
    model = onnx.load_from_string(base64.b64decode(network["model"]))
    assert ("QuantizeLinear" in {node.op_type for node in model.graph.node}) == bool(quantize)
    assert network["card"]["export"]["quantize"] == quantize
    assert re.search(r"0 of 1000 training images are read differently", capsys.readouterr().out)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_page_that_computes_something_else_gets_no_name(files, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_runtime_web, "files", lambda: {})
    monkeypatch.setitem(
        formats.READERS, "onnx", lambda path: lambda images: np.eye(10, dtype=np.float32)[[0] * len(images)]
    )
    with pytest.raises(RuntimeError, match=r"The page does not compute what the network does: \d+ of 1000 images"):
        command.export(ckpt=str(files("mlp")), format="web", engine="onnxruntime-web", data=DATA,
                       output=str(tmp_path / "page.html"))  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"format": "web", "quantize": "int8"}, "quantize=int8 has no effect with engine=own"),
        ({"format": "safetensors", "engine": "onnxruntime-web"}, "engine=onnxruntime-web has no effect with format=sa"),
    ],
)
def test_a_setting_without_effect_is_said(tmp_path, caplog, settings, sentence):
    output = str(tmp_path / f"made{formats.SUFFIXES[settings['format']]}")
    command.export(ckpt="pretrained", output=output, data=DATA, **settings)
    assert sentence in caplog.text


def test_the_file_is_on_disk_before_it_has_its_name(files, tmp_path, monkeypatch):
    before = tmp_path / "made.safetensors"
    before.write_text("the one before")

    def full(_file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"made\.safetensors cannot be written \(No space left on device\)"):
        command.export(ckpt=str(files("mlp")), format="safetensors", output=str(before), data=DATA)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {before.name: "the one before"}


def test_a_checkpoint_is_not_written_over_by_its_own_export(files, tmp_path, monkeypatch):
    path = command.export(ckpt=str(files("mlp")), format="safetensors", output=str(tmp_path / "a.safetensors"),
                          data=DATA)  # fmt: skip
    before = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^a\.safetensors is the checkpoint that is exported: set another output=\.$"):
        command.export(ckpt=str(path), format="safetensors", data=DATA)
    assert path.read_bytes() == before


def test_a_file_that_computes_something_else_gets_no_name(files, tmp_path, monkeypatch):
    before = tmp_path / "made.onnx"
    before.write_text("the one before")
    monkeypatch.setitem(
        formats.READERS, "onnx", lambda path: lambda images: np.eye(10, dtype=np.float32)[[0] * len(images)]
    )
    with pytest.raises(RuntimeError, match=r"does not compute what the network does: \d+ of 1000 images"):
        command.export(ckpt=str(files("mlp")), output=str(before), data=DATA)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"made.onnx": "the one before"}


def test_where_it_is_written_by_default(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints/best.ckpt").write_bytes(files("mlp").read_bytes())
    (run / "training_metrics.json").write_text("{}")
    assert command.export(ckpt=str(run), format="safetensors", data=DATA) == run / "export/mnist.safetensors"
    assert command.export(ckpt=str(files("mlp")), format="safetensors", data=DATA).name == "mlp.safetensors"
    assert (tmp_path / "mlp.safetensors").is_file()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"quantize": "int8", "format": "safetensors"},
            r"^quantize=int8 cannot be combined with format=safetensors: ex",
        ),
        (
            {"output": "a.pt"},
            r"^output=a\.pt cannot be written with format=onnx: expected a name that ends in \.onnx\.$",
        ),
        ({"output": "."}, r"^output=\. is a folder: name the file to write\.$"),
        (
            {"output": "/proc/nowhere/x.onnx"},
            r"^/proc/nowhere/x\.onnx cannot be written \(.*\): set another output=\.$",
        ),
    ],
)
def test_what_was_asked_wrongly_is_said(files, settings, sentence):
    with pytest.raises(UserError, match=sentence):
        command.export(ckpt=str(files("mlp")), data=DATA, **settings)


def test_an_onnx_file_is_not_exported_again(tmp_path):
    (tmp_path / "a.onnx").touch()
    with pytest.raises(UserError, match=r"a\.onnx is an ONNX file already"):
        command.export(ckpt=str(tmp_path / "a.onnx"))


def test_size_and_accuracy_are_printed(files, tmp_path, capsys):
    command.export(ckpt=str(files("mlp")), format="safetensors", output=str(tmp_path / "a.safetensors"), data=DATA)
    printed = capsys.readouterr().out
    assert re.search(
        r"0 of 1000 training images are read differently; .* read right: (\d+), by the network itself \1", printed
    )
    assert re.search(r"a\.safetensors: [\d,]+ bytes", printed)


def test_every_format_has_a_suffix():
    assert formats.FORMATS.keys() == formats.SUFFIXES.keys()
