"""The one-file page as a file: what is in it, and what is refused."""

import json
import re
from types import SimpleNamespace

import numpy as np
import page_vectors
import pytest

from mnist_lightning.errors import UserError
from mnist_lightning.export import base91, web, web_network
from mnist_lightning.export.bundle import bundle
from mnist_lightning.models import build as networks

CARD = {"network": {"name": "mlp", "hidden_sizes": [12]}, "image_size": 28, "dataset": "mnist",
        "class_names": [*"0123456789"], "sure": 0.6, "temperature": 0.5}  # fmt: skip


def write(tmp_path, network, card=CARD, **options):
    images = np.random.default_rng(0).integers(0, 256, (200, 28, 28), np.uint8)
    given = SimpleNamespace(network=network, card=card, path=tmp_path / "page.html", calibration=lambda: images,
                            options=options)  # fmt: skip
    web.write(given)
    return given.path.read_text(encoding="utf-8")


def decoded(text):
    """The bytes of a text made by `base91.encode`."""
    found = bytearray()
    value = bits = 0
    for place in range(0, len(text) - 1, 2):
        part = base91.ALPHABET.index(text[place]) + 91 * base91.ALPHABET.index(text[place + 1])
        value |= part << bits
        bits += 13 if part & 8191 > 88 else 14
        while bits > 7:
            found.append(value & 255)
            value >>= 8
            bits -= 8
    if len(text) % 2:
        found.append((value | base91.ALPHABET.index(text[-1]) << bits) & 255)
    return bytes(found)


def test_the_shipped_network_fits_into_a_small_file(one_file):
    assert one_file.stat().st_size <= 700_000


def test_the_file_holds_names_temperature_and_what_is_sure(tmp_path):
    text = write(tmp_path, page_vectors.network("mlp without hidden layers"))
    network = json.loads(re.search(r'id="network">(.*?)</script>', text, re.DOTALL)[1])
    assert network["classNames"] == [*"0123456789"]
    assert (network["sure"], network["temperature"], network["imageSize"]) == (0.6, 0.5, 28)
    assert network["card"]["title"] == "mlp, trained on mnist"


def test_the_file_names_no_other_address_and_forbids_requests(one_file):
    text = one_file.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert re.findall(r"https?://[^\s\"'<]+", text) == []
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', text) == []


def test_names_of_classes_cannot_end_the_element_they_stand_in(tmp_path):
    names = ["</script><script>alert(1)</script>", "<!--", *"23456789"]
    text = write(tmp_path, page_vectors.network("mlp without hidden layers"), {**CARD, "class_names": names})
    network = re.search(r'id="network">(.*?)</script>', text, re.DOTALL)[1]
    assert json.loads(network)["classNames"] == names
    assert "<!--" not in network


def test_weights_are_kept_in_eight_bits_with_a_scale_for_each_output():
    made = networks.build({"name": "mlp", "hidden_sizes": []}, num_classes=10)
    described = web_network.describe(made)
    tensor = described["tensors"][described["members"][0]["layers"][0]["weights"][0]]
    data = decoded(described["data"])
    whole = np.frombuffer(data, np.int8, tensor["length"], tensor["offset"]).reshape(10, 784)
    scales = np.frombuffer(data, "<f4", 10, tensor["scales"]["offset"])
    weights = made.head.weight.detach().numpy()
    assert np.abs(whole).max(axis=1).tolist() == [127] * 10
    assert np.abs(whole * scales[:, None] - weights).max() <= scales.max() / 2 + 1e-7
    rounded = web_network.rounded(made, made.state_dict())["head.weight"].numpy()
    assert np.allclose(rounded, whole * scales[:, None], atol=1e-7)


def test_a_network_of_somebody_else_is_refused_with_the_engine_that_runs_it(tmp_path):
    import torch

    with pytest.raises(UserError, match=r"cannot run a Flatten.*use engine=onnxruntime-web"):
        write(tmp_path, torch.nn.Flatten())
    assert list(tmp_path.iterdir()) == []


def test_a_network_whose_answers_change_in_eight_bits_is_refused(tmp_path):
    import torch

    made = page_vectors.network("mlp without hidden layers")
    made.head.weight.data[:, 1:] = torch.randn(10, 783) * 1e-3  # lost beside the one large weight of each row
    made.head.weight.data[:, 0] = 100
    with pytest.raises(UserError, match=r"Weights of 8 bits change \d+ of 200 answers"):
        write(tmp_path, made)


def test_modules_are_joined_in_the_order_of_their_imports(tmp_path):
    (tmp_path / "a.js").write_text('// A comment.\nimport { two as b } from "./lib/b.js";\nconsole.log(b);\n')
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/b.js").write_text(
        "/** Two. */\nexport const two = 2; // a comment\nexport function half() { return 'http:// //'; }\n"
    )
    text = bundle(tmp_path, "a.js")
    assert text.index('modules["lib/b.js"] =') < text.index('const { two: b } = modules["lib/b.js"];')
    assert "return { two, half };" in text
    assert "comment" not in text
    assert "/**" not in text
    assert "return 'http:// //'; }" in text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('import everything from "./b.js";\n', "cannot be bundled: import everything"),
        ("export default 3;\n", "cannot be bundled: export default"),
        ('import { a } from "./a.js";\nexport const b = a;\n', "import each other in a circle: a.js -> a.js"),
    ],
)
def test_modules_in_another_form_are_refused(tmp_path, source, message):
    (tmp_path / "a.js").write_text(source)
    with pytest.raises(ValueError, match=re.escape(message)):
        bundle(tmp_path, "a.js")


def test_bytes_come_back_from_text_that_json_and_html_take_as_it_is():
    draw = np.random.default_rng(0)
    for length in (0, 1, 2, 3, 13, 14, 1000):
        data = draw.integers(0, 256, length, np.uint8).tobytes()
        text = base91.encode(data)
        assert decoded(text) == data
        assert not set(text) & set('"\\<')
    assert len(base91.encode(bytes(draw.integers(0, 256, 10000, np.uint8)))) < 12400
