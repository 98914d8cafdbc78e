"""Sheets that are read as numbers: order, doubt, and no digit read twice."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mnist_lightning.inference.reader import Reader
from mnist_lightning.inference.torch_predictor import TorchPredictor
from mnist_lightning.ink.normalise import normalise
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.strokes import Drawing, read_digits, transformed
from mnist_lightning.run import folder as runs

DIGITS = {digit.label: digit.strokes for digit in read_digits(Path(__file__).parent.parent / "ink/pen_digits.jsonl")}


class Counting(TorchPredictor):
    """The shipped network, and how many images it was given at each call."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.batches = []

    def probabilities(self, images):
        self.batches.append(len(images))
        return super().probabilities(images)


@pytest.fixture(scope="module")
def predictor():
    return Counting.load(runs.PRETRAINED, "cpu")


@pytest.fixture
def reader(predictor):
    predictor.batches.clear()
    return Reader(predictor, sure=0.5)


def sheet(number):
    """The strokes of a number, each digit 100 units high, its left side 100 to the right of its neighbour's."""
    strokes = []
    for place, figure in enumerate(number):
        path = np.concatenate([stroke.path() for stroke in DIGITS[int(figure)]])
        scale = 100 / np.ptp(path[:, 1])
        left, top = path.min(axis=0) * scale
        strokes += transformed(DIGITS[int(figure)], scale, 120 * place - left, -top)
    return strokes


def test_a_number_is_read_from_left_to_right_whatever_was_drawn_first(reader):
    strokes = sheet("2026")
    assert reader.read(strokes).text == "2026"
    assert Reader(reader.predictor, 0.5).read(strokes[::-1]).text == "2026"


def test_a_digit_says_what_the_network_saw_and_said(reader):
    (digit,) = reader.read(sheet("7")).digits
    image = normalise(draw_digit(DIGITS[7]))
    assert np.abs(digit.image.astype(int) - image).max() <= 2  # drawn at another scale: rounding
    expected = TorchPredictor.load(runs.PRETRAINED, "cpu").probabilities(digit.image[None])[0]
    np.testing.assert_allclose(digit.probabilities, expected, atol=1e-5)
    assert (digit.probabilities.dtype, digit.probabilities.shape) == (np.float32, (10,))
    assert (digit.label, digit.sure) == ("7", True)
    assert digit.confidence == digit.probabilities.max()
    assert digit.box[:2] == pytest.approx((0, 0), abs=1e-6)
    assert digit.box[3] == pytest.approx(100)


def test_an_empty_sheet_is_no_digit(reader):
    reading = reader.read([])
    assert (reading.digits, reading.text, reading.best) == ((), "", "")
    assert reader.predictor.batches == []


def test_a_digit_below_the_threshold_is_not_sure(predictor):
    reading = Reader(predictor, sure=1.0).read(sheet("51"))
    assert (reading.text, reading.best) == ("??", "51")
    assert [digit.sure for digit in reading.digits] == [False, False]
    (digit,) = Reader(predictor, sure=0.0).read(sheet("5")).digits
    assert digit.sure


def test_only_what_changed_is_read_again(reader):
    drawing = Drawing(sheet("202"))
    first = reader.read(drawing.strokes)
    assert reader.predictor.batches == [3]
    (x, y), *rest = sheet("2026")[-1].points
    drawing.begin(x, y)
    reader.read(drawing.strokes)
    for point in rest:
        drawing.move(*point)
        last = reader.read(drawing.strokes)
    drawing.end()
    assert reader.read(drawing.strokes).digits[-1] is last.digits[-1]  # lifting the pen changes nothing
    assert last.text == "2026"
    assert [a is b for a, b in zip(first.digits, last.digits[:2], strict=False)] == [True] * 2
    # One a point, but for a moment in which the small beginning of the 6 seems to belong to its neighbour.
    assert len(reader.predictor.batches) == 2 + len(rest)
    assert sorted(reader.predictor.batches)[: len(rest) - 1] == [1] * (len(rest) - 1)


def test_a_new_stroke_where_another_was_is_read(reader):
    """As after an undo and a new stroke: as many strokes with as many points, but others."""
    assert reader.read(sheet("0")).text == "0"
    for number in "1258":
        assert reader.read(sheet(number)).best == number


def test_reading_leaves_no_gradients_behind(reader):
    reader.read(sheet("5"))
    assert all(weight.grad is None for weight in reader.predictor.network.parameters())
    assert torch.is_grad_enabled()
