"""The whole suite on scikit-learn's digits, and the page that it writes."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from mnist_lightning.data import published
from mnist_lightning.errors import UserError
from mnist_lightning.evaluation import corruptions, outlier_sets, report, suite
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.models import checkpoint
from mnist_lightning.models.build import build

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What a browser would see: text by section, pictures, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.links, self.svgs, self.texts = [], [], [], 0, []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "img":
            self.images.append(given["src"])
            assert given["alt"]
        self.links += [value for key, value in attributes if key in ("href", "src") and tag != "img" and tag != "use"]
        self.svgs += tag == "svg"
        assert tag != "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "svg"} & set(self.open):
            self.texts.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.texts).split())


def make_checkpoint(path, data=None, names=tuple("0123456789"), dataset="digits"):
    """A network that is no good, trained (so its card says) with these settings of data."""
    settings = {"_target_": "mnist_lightning.models.MLP", "hidden_sizes": [16]}
    torch.manual_seed(0)
    network = build(settings, num_classes=len(names))
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    card = checkpoint.make_card(
        settings, image_size=28, dataset=dataset, class_names=names, settings={"data": data} if data else {}
    )
    torch.save({"state_dict": weights, checkpoint.CARD: card}, path)
    return path


SPLIT = {"val_size": 250, "split_seed": 3, "num_folds": 0, "fold": 0}
DATA = {"name": "digits", "eval_batch_size": 1000, "mirrors": [], "folder": "data", "val_size": 300, "split_seed": 0}


def evaluate(run, path, **changes):
    given = {"tta": {}, "data": DATA, "seed": 0, "out_of_distribution": ["letters", "noise"], "images_per_set": 40,
             "speed_seconds": 0.0} | changes  # fmt: skip
    predictor = Predictor.load(path, "cpu", given.pop("tta"))
    data = given.pop("data")
    return suite.evaluate_suite(run, path, predictor, data, suite.Options(**given))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Report, run folder, checkpoint."""
    run = tmp_path_factory.mktemp("suite")
    path = make_checkpoint(run / "net.ckpt", SPLIT)
    return evaluate(run, path), run, path


def test_report_holds_every_number_and_lies_in_the_run_folder(finished):
    result, run, _ = finished
    assert json.loads((run / "report.json").read_text()) == json.loads(json.dumps(result))
    assert {"accuracy", "accuracy_interval", "per_class", "confusion_matrix", "calibration", "temperature", "selective",
            "corruptions", "outliers", "speed", "size", "most_confident_mistakes", "command", "seed",
            "environment"} <= set(result)  # fmt: skip
    low, high = result["accuracy_interval"]
    assert low < result["accuracy"] < high
    assert result["mistakes"] == round((1 - result["accuracy"]) * 297)
    assert set(result["corruptions"]["accuracy"]) == set(corruptions.KINDS)
    accuracies = list(result["corruptions"]["accuracy"].values())
    assert result["corruptions"]["mean"] == pytest.approx(np.mean(accuracies))
    assert result["corruptions"]["accuracy"][result["corruptions"]["worst"]] == min(accuracies)
    assert list(result["outliers"]) == ["letters", "noise"]
    assert result["outliers"]["noise"]["images"] == 40
    assert len(result["most_confident_mistakes"]) == 40
    assert result["selective"]["thresholds"][0]["accuracy"] == result["accuracy"]


def test_numbers_are_those_of_the_network(finished):
    result, _, path = finished
    predictor = Predictor.load(path, "cpu")
    digits, _ = suite._load(predictor, path, DATA)
    changed = corruptions.corrupt(digits.test.images.numpy(), "fog", 0)
    right = predictor.logits(changed).argmax(1) == digits.test.labels
    assert result["corruptions"]["accuracy"]["fog"] == right.double().mean().item()
    first = result["most_confident_mistakes"][0]
    chances = predictor.probabilities(digits.test.images[first["index"]][None])[0]
    assert int(digits.test.labels[first["index"]]) == first["label"] != first["predicted"] == chances.argmax()
    assert first["confidence"] == pytest.approx(chances.max(), abs=1e-5)
    assert result["calibration"]["with_temperature"]["nll"] < result["calibration"]["as_trained"]["nll"]


def test_validation_images_are_those_that_the_checkpoint_was_not_trained_on(finished):
    result, _, path = finished
    digits, sentence = suite._load(Predictor.load(path, "cpu"), path, DATA)
    order = torch.randperm(1500, generator=torch.Generator().manual_seed(3))
    expected = digits.source.train_images[order[:250].sort().values]
    assert torch.equal(digits.val.images, expected)  # of the card, not of the command: 250, not 300
    assert result["validation"]["images"] == 250
    assert sentence.startswith("The same validation images that were set aside when the network was trained")


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ({"data": None}, "The checkpoint does not say how its training images were split"),
        ({"data": SPLIT, "dataset": "mnist"}, "The network was trained on mnist, so it saw no image of digits"),
    ],
)
def test_other_validation_images_are_owned_up_to(tmp_path, card, told):
    path = make_checkpoint(tmp_path / "net.ckpt", **card)
    digits, sentence = suite._load(Predictor.load(path, "cpu"), path, DATA)
    assert sentence.startswith(told)
    assert len(digits.val) == 300


def test_the_page_is_whole_and_needs_nothing_from_outside(finished):
    _, run, _ = finished
    text = (run / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert page.svgs == 5
    assert len(page.images) == 40 + 1 + 15 + 2
    for source in page.images:
        assert source.startswith("data:image/png;base64,")
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
            assert image.size in {(28, 28), (28 * 8, 28)}
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"url\((?!#)", text)  # clip paths within the page only
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert len(text) < 1_500_000


def test_the_page_shows_the_numbers_and_what_they_mean(finished):
    result, run, _ = finished
    words = Page((run / "report.html").read_text()).words
    assert f"{100 * result['accuracy']:.2f} %" in words
    for kind, accuracy in result["corruptions"]["accuracy"].items():
        assert corruptions.KINDS[kind].title in words
        assert f"{100 * accuracy:.2f} %" in words
    for sentence in (
        "95 % confidence interval (Wilson)",
        "Of all the images on which a calibrated network is 90 % confident",
        "AUROC is the probability",
        "99 of 100 calls take no longer",
        result["validation"]["split"],
        "Network mlp, hidden_sizes [16]",
    ):
        assert sentence in words
    assert f"{result['outliers']['letters']['energy']['auroc']:.4f}" in words


def test_names_from_a_stranger_stay_text(finished):
    result, _, _ = finished
    named = result | {"class_names": ["<script>alert(1)</script>", *"123456789"], "checkpoint": '"><img src=x>'}
    pictures = report.Pictures(
        mistakes=np.zeros((40, 28, 28), np.uint8),
        corruptions={name: np.zeros((8, 28, 28), np.uint8) for name in ("clean", *corruptions.KINDS)},
        outliers={name: np.zeros((8, 28, 28), np.uint8) for name in result["outliers"]},
        scores={score: {"test": np.arange(9.0), "letters": np.arange(9.0)} for score in ("max_softmax", "energy")},
    )
    page = Page(report.render(named, pictures))  # refuses a script
    assert "<script>alert(1)</script>" in page.words


def test_without_outliers_the_page_leaves_them_out(tmp_path):
    path = make_checkpoint(tmp_path / "net.ckpt", SPLIT)
    result = evaluate(tmp_path, path, out_of_distribution=[], data=DATA | {"limit": 40})
    assert result["outliers"] == {}
    assert result["dataset"]["test"] == 40
    page = Page((tmp_path / "report.html").read_text())
    assert page.svgs == 3
    assert "AUROC" not in page.words


def test_another_data_set_can_stand_for_the_unknown(tmp_path, monkeypatch, make_source):
    images = make_source(test=30).test_images.numpy()
    other = published.Published("kmnist", *[published.Labelled(images, np.zeros(30, np.uint8))] * 2, ("a",), {})
    monkeypatch.setattr(published, "load", lambda *place, only_test: other)
    path = make_checkpoint(tmp_path / "net.ckpt", SPLIT)
    result = evaluate(tmp_path, path, out_of_distribution=["kmnist"], images_per_set=25, data=DATA | {"limit": 40})
    assert result["outliers"]["kmnist"]["images"] == 25


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"out_of_distribution": ["leters"]}, r"There is no set leters for outliers=: did you mean letters\?"),
        (
            {"out_of_distribution": ["xyz"]},
            "There is no set xyz for outliers=: there are letters, scribbles, noise, textures, shape",
        ),
        (
            {"out_of_distribution": ["digits"]},
            "outliers=digits is the set that the network is scored on: name another.",
        ),
    ],
)
def test_an_unknown_set_is_refused_before_anything_is_read(tmp_path, changes, told, monkeypatch):
    monkeypatch.setattr(Predictor, "load", lambda *arguments: None)
    with pytest.raises(UserError, match=told):
        evaluate(tmp_path, tmp_path / "nowhere.ckpt", **changes)


def test_a_network_with_other_classes_is_refused(tmp_path):
    path = make_checkpoint(tmp_path / "net.ckpt", SPLIT, names=("a", "b"))
    with pytest.raises(UserError, match="tells 2 classes apart, digits has 10: choose the data= it was trained on"):
        evaluate(tmp_path, path)
    assert list(tmp_path.iterdir()) == [path]


def test_the_config_offers_what_can_be_made(compose):
    assert compose("evaluate_suite")["outliers"] == list(outlier_sets.SETS)


def test_the_split_of_a_network_trained_from_python_is_known_too(finished):
    _, _, path = finished
    predictor = Predictor.load(path, "cpu")
    predictor.card = {**predictor.card, "data": {**SPLIT, "name": "digits"}, "settings": None}
    assert suite._load(predictor, path, DATA)[1].startswith("The same validation images that were set aside")
