"""Sheets that are read as numbers: order, doubt, and no digit read twice."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.inference.reader import Reader
from mnist_lightning.inference.reading import DigitReading, Reading
from mnist_lightning.inference.torch_predictor import TorchPredictor
from mnist_lightning.ink.normalise import normalise
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.segment import segment_ink_rows
from mnist_lightning.ink.strokes import Drawing, Stroke, read_digits, transformed
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
    expected = Predictor.load(runs.PRETRAINED, "cpu").probabilities(digit.image[None])[0]
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
    # One per point; where the beginning of the 6 is unsure, once more with its neighbour.
    assert len(reader.predictor.batches) <= 2 + len(rest) + 10
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


def number_picture(rows, gap=12):
    """White digits on black: the rows of a number, each digit 80 pixels high."""
    lines = []
    for row in rows:
        digits = [draw_digit(DIGITS[int(figure)]) for figure in row]
        space = np.zeros((84, gap), np.uint8)
        padded = [np.pad(digit, ((0, 84 - digit.shape[0]), (0, 0))) for digit in digits]
        lines.append(np.hstack([part for digit in padded for part in (space, digit)] + [space]))
    width = max(line.shape[1] for line in lines)
    return np.pad(np.vstack([np.pad(line, ((20, 20), (0, width - line.shape[1]))) for line in lines]), 20)


def test_a_picture_of_a_number_is_read_with_the_box_of_each_digit(reader):
    reading = reader.read_picture(number_picture(["2026"]))
    assert (reading.text, reading.sure, reading.row_lengths) == ("2026", True, (4,))
    lefts = [digit.box[0] for digit in reading.digits]
    assert lefts == sorted(lefts)
    assert reading.digits[0].box[0] == pytest.approx(33, abs=3)
    assert reading.digits[0].box[3] - reading.digits[0].box[1] == pytest.approx(80, abs=8)


def test_two_rows_are_two_numbers_in_pictures_and_on_sheets(reader):
    assert reader.read_picture(number_picture(["120", "468"])).text == "120 468"
    below = transformed(sheet("468"), 1, 15, 150)
    reading = reader.read([*sheet("120"), *below])
    assert (reading.text, reading.row_lengths) == ("120 468", (3, 3))
    assert [len(row) for row in reading.rows] == [3, 3]


def test_a_picture_said_to_be_one_digit_is_read_as_one(reader):
    assert len(reader.read_picture(number_picture(["11"]), digits=1).digits) == 1
    assert reader.read_picture(np.full((50, 50), 255, np.uint8)).digits == ()


def test_touching_digits_are_cut_where_the_reading_gets_surer(reader):
    picture = number_picture(["20"], gap=4)
    ((two, zero),) = segment_ink_rows(picture)
    row = int(np.flatnonzero(two.any(axis=1))[-4])  # where its foot ends
    start, end = np.flatnonzero(two[row])[-1], np.flatnonzero(zero.any(axis=0))[0] + 12
    picture[row - 4 : row + 2, start:end] = 255  # a stroke of the 2 runs on into the 0
    assert [len(row) for row in segment_ink_rows(picture)] == [1]
    assert reader.read_picture(picture).best == "20"


@pytest.mark.parametrize("break_at", [0.4, 0.5, 0.6])
@pytest.mark.parametrize("digit", [0, 1, 2])
def test_a_wide_digit_whose_ink_is_broken_is_read_as_one(reader, digit, break_at):
    picture = np.pad(cv2.resize(draw_digit(DIGITS[digit]), (168, 120)), 30)
    start = 30 + int(break_at * 168)
    picture[:, start : start + 5] = 0
    (pieces,) = segment_ink_rows(picture)
    assert len(pieces) > 1
    assert reader.read_picture(picture).best == str(digit)


def test_halves_that_both_look_like_digits_are_read_as_one_where_that_is_surer(reader):
    picture = np.pad(cv2.resize(draw_digit(DIGITS[1]), (96, 120)), 30)
    picture[:, 68:73] = 0
    halves = Reader(reader.predictor, 0.5)
    ((left, right),) = segment_ink_rows(picture)
    assert (halves.read_picture(left).sure, halves.read_picture(right).sure) == (True, True)
    assert reader.read_picture(picture).best == "1"


def test_a_half_that_is_unsure_is_tried_with_its_neighbour(predictor):
    hook = Stroke([(0.0, 0.0), (0.0, 60.0), (52.0, 60.0)], 8)  # an open 4 whose bar stops short of its stem
    stem = Stroke([(76.0, 0.0), (76.0, 112.0)], 8)
    reading = Reader(predictor, 0.5).read([hook, stem])
    assert [len(digit.strokes) for digit in reading.digits] == [2]
    assert reading.best == "4"


def test_a_scribble_is_no_digit_that_the_network_knows(predictor):
    class Doubtful(TorchPredictor):
        def probabilities(self, images):
            return np.full((len(images), 10), 0.1, np.float32)

    doubtful = Doubtful(predictor.network, predictor.card, predictor.device)
    reading = Reader(doubtful, 0.5).read(sheet("5"))
    assert (reading.has_no_digit, reading.sure, reading.digits[0].is_digit) == (True, False, False)
    assert not Reader(predictor, 0.5).read(sheet("5")).has_no_digit


def test_a_reading_is_shown_without_its_pixels():
    nothing = np.zeros((28, 28), np.uint8)
    seven = DigitReading("7", 0.95, np.zeros(10, np.float32), True, nothing, (0, 0, 1, 1))
    one = DigitReading("1", 0.5, np.zeros(10, np.float32), False, nothing, (0, 0, 1, 1))
    assert repr(Reading((seven, one))) == "Reading(best='71', sure=False, confidences=[0.950, 0.500])"
    assert repr(Reading()) == "Reading(best='', sure=False, confidences=[])"
