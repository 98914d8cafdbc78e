"""ONNX files: what is read, what is refused before a session is made, and that PyTorch is not needed."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from mnist_lightning.errors import UserError  # noqa: E402
from mnist_lightning.inference import onnx_file, onnx_predictor  # noqa: E402
from mnist_lightning.inference.predictor import Predictor  # noqa: E402
from mnist_lightning.inference.saliency import saliency  # noqa: E402

CARD = {
    "format": 1, "network": {"name": "mlp"}, "image_size": 28, "dataset": "mnist",
    "class_names": list("0123456789"), "settings": {}, "temperature": 2.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(0).normal(size=(784, 10)).astype(np.float32)


def model(weights, *, before=(), initializers=(), card=CARD, batch="batch", side=28, opset=20, source="images"):
    """A linear network in ONNX, with other nodes in front."""
    nodes = [
        *before,
        helper.make_node("Reshape", [source, "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes, "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 1, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 10])],
        [numpy_helper.from_array(np.array([-1, 784]), "shape"), numpy_helper.from_array(weights, "weights"),
         *initializers],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    if card is not None:
        made.metadata_props.add(key="mnist_lightning", value=json.dumps(card))
    return made


@pytest.fixture
def write(tmp_path):
    def write(made):
        path = tmp_path / "some.onnx"
        path.write_bytes(made.SerializeToString())
        return path

    return write


@pytest.fixture
def no_session(monkeypatch):
    """Fail where a session is made."""
    monkeypatch.setattr(onnx_predictor, "session", lambda *_: pytest.fail("a session was made"))


def images(count):
    return np.random.default_rng(1).integers(0, 256, (count, 28, 28)).astype(np.uint8)


def test_it_computes_what_the_file_says(write, weights):
    predictor = Predictor.load(write(model(weights)))
    wanted = images(7).reshape(7, 784).astype(np.float32) / 255 @ weights
    np.testing.assert_allclose(predictor.logits(images(7), 3), wanted, rtol=1e-4, atol=1e-4)
    halved = np.exp(wanted / 2 - (wanted / 2).max(1, keepdims=True))  # temperature 2
    np.testing.assert_allclose(predictor.probabilities(images(7)), halved / halved.sum(1, keepdims=True), atol=1e-5)
    assert predictor.logits(images(0)).shape == (0, 10)
    assert (predictor.class_names, predictor.network) == (tuple("0123456789"), None)
    assert predictor.feature_maps(images(1)[0]) == []


def test_occlusion_of_a_linear_network_adds_up_to_what_the_ink_does(write, weights):
    predictor = Predictor.load(write(model(weights)))
    image = images(1)[0]
    image[:, 14:] = 0
    found = saliency(predictor, image)
    gain = predictor.logits(image[None]) - predictor.logits(np.zeros((1, 28, 28), np.uint8))
    winner = predictor.logits(image[None]).argmax()
    assert found.sum() == pytest.approx(gain[0, winner], rel=1e-3)
    assert (found[image == 0] == 0).all()
    assert (found.shape, found.dtype) == ((28, 28), np.float32)


def test_torch_is_not_imported(write, weights):
    code = (
        "import sys; from pathlib import Path; from mnist_lightning.inference.predictor import Predictor; import numpy;"
        "p = Predictor.load(Path(sys.argv[1])); p.probabilities(numpy.zeros((2, 28, 28), numpy.uint8));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, write(model(weights))], check=False).returncode == 0


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {"device": "cuda"},
            r"^device=cuda cannot be combined with .*some\.onnx: an ONNX file is read with device=cpu",
        ),
        ({"precision": "bf16-mixed"}, r"^precision=bf16-mixed cannot be combined with .* with precision=32-true"),
        ({"tta": {"shift": 1.0}}, r"^tta=views cannot be combined with .* with tta=none"),
    ],
)
def test_what_only_a_checkpoint_can_do_is_said(write, weights, asked, sentence):
    with pytest.raises(UserError, match=sentence):
        Predictor.load(write(model(weights)), **asked)


def expanded(sides):
    """The images, expanded by a factor of each side, and summed up again."""
    return {
        "before": [
            helper.make_node("Expand", ["images", "sides"], ["wide"]),
            helper.make_node("ReduceMax", ["wide", "axes"], ["narrow"], keepdims=0),
        ],
        "initializers": [
            numpy_helper.from_array(np.array(sides), "sides"), numpy_helper.from_array(np.array([0]), "axes")
        ],
        "source": "narrow",
    }  # fmt: skip


def squared():
    """A tensor of batch x batch x 784: small for two images, 100 MB for 200."""
    return {
        "before": [
            helper.make_node("Reshape", ["images", "shape"], ["rows"]),
            helper.make_node("Unsqueeze", ["rows", "axes"], ["one"]),
            helper.make_node("Unsqueeze", ["rows", "second"], ["other"]),
            helper.make_node("Concat", ["one"] * 400, ["many"], axis=2),
            helper.make_node("Concat", ["other"] * 400, ["more"], axis=2),
            helper.make_node("Mul", ["many", "more"], ["square"]),
            helper.make_node("ReduceMax", ["square", "axes", ], ["half"], keepdims=0),
            helper.make_node("Slice", ["half", "start", "end", "axis"], ["narrow"]),
        ],
        "initializers": [
            numpy_helper.from_array(np.array([0]), "axes"), numpy_helper.from_array(np.array([1]), "second"),
            numpy_helper.from_array(np.array([0]), "start"), numpy_helper.from_array(np.array([784]), "end"),
            numpy_helper.from_array(np.array([1]), "axis"),
        ],
        "source": "narrow",
    }  # fmt: skip


def by_values():
    """A size that the pixels decide."""
    return {
        "before": [
            helper.make_node("ReduceSum", ["images"], ["sum"], keepdims=0),
            helper.make_node("Cast", ["sum"], ["count"], to=TensorProto.INT64),
            helper.make_node("Unsqueeze", ["count", "axes"], ["sides"]),
            helper.make_node("Expand", ["one", "sides"], ["many"]),
            helper.make_node("ReduceMax", ["many"], ["largest"], keepdims=0),
            helper.make_node("Mul", ["images", "largest"], ["narrow"]),
        ],
        "initializers": [
            numpy_helper.from_array(np.array([0]), "axes"),
            numpy_helper.from_array(np.ones(1, np.float32), "one"),
        ],
        "source": "narrow",
    }


FOREIGN = {
    "160 GB": (expanded([200_000, 1, 1, 28, 28]), "takes more memory than 32 MiB per image"),
    "square of the batch": (squared(), "takes more memory than 32 MiB per image"),
    "size by values": (by_values(), "cannot be told in advance"),
    "constant of a shape": (
        {"before": [helper.make_node("ConstantOfShape", ["shape"], ["big"])]}, "'ConstantOfShape' is not on the list"),
    "random": ({"before": [helper.make_node("RandomNormal", [], ["noise"], shape=[2])]}, "'RandomNormal' is not on"),
    "own domain": (
        {"before": [helper.make_node("Relu", ["images"], ["x"], domain="evil")]}, "operator 'Relu' is not on the list"),
    "fixed batch": ({"batch": 3}, "its batch size is fixed at 3"),
    "other size": ({"side": 32}, r"its input is not one float32 tensor \[batch, 1, 28, 28\]"),
    "new operators": ({"opset": 99}, "its operator set is newer than 25"),
    "missing tensor": ({"source": "nothing"}, "it is not a valid ONNX model"),
    "other classes": ({"card": CARD | {"class_names": ["a", "b"]}}, "its output is not 2 logits per image"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_what_a_strangers_file_must_not_do_is_refused_before_a_session(write, weights, no_session, name):
    changes, sentence = FOREIGN[name]
    with pytest.raises(UserError, match=rf"^.*some\.onnx is not read: .*{sentence}.*\.$"):
        Predictor.load(write(model(weights, **changes)))


def test_a_subgraph_is_refused(write, weights, no_session):
    inner = helper.make_graph([], "inner", [], [])
    made = model(weights)
    made.graph.node[0].attribute.append(helper.make_attribute("body", inner))
    with pytest.raises(UserError, match="holds a graph of its own"):
        Predictor.load(write(made))


@pytest.mark.parametrize("where", ["initializer", "node"])
def test_weights_in_another_file_are_refused(write, weights, no_session, where):
    made = model(weights)
    tensor = made.graph.initializer[1]
    if where == "node":
        node = helper.make_node("Constant", [], ["weights"], value=tensor)
        made.graph.node.insert(0, node)
        del made.graph.initializer[1]
        tensor = made.graph.node[0].attribute[0].t
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(UserError, match="its weights lie in another file"):
        Predictor.load(write(made))


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (None, "not a file of this project: it does not say which network it holds"),
        ([], "not a file of this project: it does not say which network it holds"),
        ({}, "broken: network in its card is missing"),
        ({"format": 1}, "broken: network in its card is missing"),
        (CARD | {"temperature": 0}, "broken: temperature in its card must be a number from 0.01 to 100.0, not 0"),
        (CARD | {"class_names": [1, 2]}, "broken: class_names in its card must be a text, not 1"),
    ],
)
def test_a_file_without_a_proper_card_is_refused(write, weights, no_session, card, said):
    with pytest.raises(UserError, match=rf"some\.onnx is {re.escape(said)}"):
        Predictor.load(write(model(weights, card=card)))


@pytest.mark.parametrize("content", [b"", b"\x00", b"\xff" * 100, b"hello, I am a network", b"\x08" * 5000])
def test_other_bytes_are_said(tmp_path, no_session, content):
    (tmp_path / "some.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"some\.onnx is (broken|not a file of this project)"):
        Predictor.load(tmp_path / "some.onnx")


def test_a_missing_or_huge_file_is_said(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read: No such file"):
        Predictor.load(tmp_path / "no.onnx")
    with (tmp_path / "huge.onnx").open("wb") as file:
        file.truncate(onnx_file.LARGEST_FILE + 1)
    with pytest.raises(UserError, match=r"has 67,108,865 bytes: at most 67,108,864 are read"):
        Predictor.load(tmp_path / "huge.onnx")


def test_damage_anywhere_is_said_or_harmless(write, weights):
    path = write(model(weights))
    whole = path.read_bytes()
    draw = np.random.default_rng(0)
    for _ in range(150):
        at = int(draw.integers(len(whole)) if draw.random() < 0.3 else draw.integers(len(whole) - 700, len(whole)))
        path.write_bytes(whole[:at] + draw.bytes(3) + whole[at + 3 :])
        try:
            Predictor.load(path).logits(images(1))
        except UserError as error:
            assert "some.onnx" in str(error)  # noqa: PT017
