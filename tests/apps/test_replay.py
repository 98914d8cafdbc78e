"""Pen strokes through the canvas: what is counted, and that place and size make no difference."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mnist_lightning.apps import replay
from mnist_lightning.apps.canvas import Canvas
from mnist_lightning.apps.failures import contact_sheet
from mnist_lightning.errors import UserError
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.inference.reader import Reader
from mnist_lightning.ink.strokes import Stroke, WrittenDigit, read_digits
from mnist_lightning.run import folder as runs

FILE = Path(__file__).parent.parent / "ink/pen_digits.jsonl"
DIGITS = list(read_digits(FILE))
SETTINGS = {"ckpt": "pretrained", "device": "cpu", "sure": 0.5, "scale": 1.0, "move": None}


@pytest.fixture(scope="module")
def reader():
    return Reader(Predictor.load(runs.PRETRAINED, "cpu"), sure=0.5)


@pytest.mark.parametrize(
    "options",
    [{}, {"move": (0, 0)}, {"move": (1, 1)}, {"move": "random", "seed": 1}, {"scale": 0.25}, {"scale": 1.5}],
)  # fmt: skip
def test_place_and_size_make_no_difference(reader, options):
    clear = [digit for digit in DIGITS if digit.label not in (3, 4)]  # odd ones; how well is the model card's matter
    outcomes = list(replay.play(clear, reader, **options))
    assert [outcome.reading.text for outcome in outcomes] == [str(digit.label) for digit in clear]


def test_the_drawing_lies_where_it_is_said(reader):
    def box(**options):
        (outcome,) = replay.play(DIGITS[:1], reader, **options)
        left, top, right, bottom = outcome.reading.digits[0].box
        return left, top, right, bottom, max(right - left, bottom - top)

    canvas = Canvas()
    canvas.resize(*replay.WINDOW)
    sheet = canvas.layout.sheet
    assert box(move=(0, 0))[:2] == pytest.approx((0, 0), abs=1)
    assert box(move=(1, 1))[2:4] == pytest.approx((sheet.width - 1, sheet.height - 1), abs=1)
    left, top, right, bottom, longest = box(scale=0.5)
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((sheet.width / 2, sheet.height / 2), abs=1.5)
    assert longest == pytest.approx(replay.SIZE / 2, abs=1)
    places = [box(move="random", seed=seed)[:2] for seed in (0, 0, 1)]
    assert places[0] == places[1] != places[2]


def test_a_scale_that_does_not_fit_the_sheet_is_said(reader):
    wide = WrittenDigit("", 1, "", [Stroke([(0, 0), (0, 10)])])
    with pytest.raises(UserError, match="do not fit the sheet at scale=3"):
        list(replay.play([wide], reader, scale=3))


class Saying:
    """A reader that says what it is told."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def read(self, strokes):
        from mnist_lightning.inference.reading import DigitReading, Reading

        image = np.zeros((28, 28), np.uint8)
        return Reading(tuple(
            DigitReading(label, confidence, np.zeros(10, np.float32), confidence >= 0.8, image, (0, 0, 1, 1), ())
            for label, confidence in self.answers.pop(0)
        ))  # fmt: skip


def outcomes():
    """Five digits of two writers: right; right but not sure; wrong; wrong as two; nothing."""
    saying = Saying([("7", 0.9)], [("7", 0.6)], [("1", 0.99)], [("1", 0.9), ("1", 0.7)], [])
    strokes = [Stroke([(0, 0), (5, 9)])]
    digits = [WrittenDigit(str(n), 7, writer, strokes) for n, writer in enumerate(["ann", "ann", "ann", "bob", "bob"])]
    return list(replay.play(digits, saying))


def test_what_is_displayed_is_counted():
    found = replay.summarise(outcomes(), seconds=10)
    assert found == {
        "accuracy": 2 / 5,
        "writer_mean": pytest.approx(1 / 3),
        "worst_writer": 0.0,
        "n": 5,
        "seconds_per_digit": 2.0,
        "not_sure": 3 / 5,
        "wrong_but_sure": 1 / 5,
        "writers": {"bob": 0.0, "ann": pytest.approx(2 / 3)},
        "confusions": [["7", "1", 1], ["7", "11", 1], ["7", "", 1]],
    }
    said = replay.report(found)
    assert "40.00 % of 5 digits" in said
    assert "7 as 1: 1, 7 as 11: 1, 7 as nothing: 1" in said
    assert "2 read as several digits or as nothing" in said
    assert "bob 0.00 %, ann 66.67 %" in said


def test_the_contact_sheet_has_a_tile_for_each_mistake():
    def columns_with_ink(picture):
        return [bool((picture[60:150, 20 + 104 * n : 124 + 104 * n] < 255).any()) for n in range(15)]

    assert columns_with_ink(contact_sheet(outcomes())) == [True] * 3 + [False] * 12
    assert columns_with_ink(contact_sheet(outcomes()[:2])) == [False] * 15


def test_a_file_is_replayed_into_its_run_folder(tmp_path, capsys):
    found = replay.replay(tmp_path, strokes=str(FILE), outputs=str(tmp_path), limit=4, seed=3, **SETTINGS)
    *text, last = capsys.readouterr().out.splitlines()
    line = json.loads(last)
    assert set(line) == {
        "accuracy", "writer_mean", "worst_writer", "n", "seconds_per_digit", "not_sure", "wrong_but_sure"
    }  # fmt: skip
    assert line["n"] == 4
    assert text[0].startswith("checkpoint      pretrained")
    assert json.loads((tmp_path / "replay.json").read_text()) == json.loads(json.dumps(found))
    assert cv2.imread(str(tmp_path / "failures.png")) is not None


def test_an_empty_file_is_said(tmp_path):
    (tmp_path / "none.jsonl").write_text("\n")
    with pytest.raises(UserError, match="holds no digits"):
        replay.replay(
            tmp_path, strokes=str(tmp_path / "none.jsonl"), outputs=str(tmp_path), limit=None, seed=0, **SETTINGS
        )
