"""Mouse and keys in, what is on the sheet and how it reads out."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mnist_lightning.apps.canvas import ESCAPE, KEYS, Canvas
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.inference.reader import Reader
from mnist_lightning.ink.strokes import Drawing, read_digits
from mnist_lightning.run import folder as runs

DIGITS = {digit.label: digit.strokes for digit in read_digits(Path(__file__).with_name("hand_digits.jsonl"))}


@pytest.fixture(scope="module")
def reader():
    return Reader(Predictor.load(runs.PRETRAINED, "cpu"), sure=0.5)


@pytest.fixture
def canvas(tmp_path, reader):
    canvas = Canvas(folder=tmp_path / "kept")
    canvas.reader = reader
    return canvas


def drag(canvas, *points, press=None):
    (press or canvas.press)(*points[0])
    for point in points[1:]:
        canvas.move(*point)
    canvas.release()


def write(canvas, number, scale=1.5, left=60, top=200):
    """Draw a number with the mouse; positions for a window of 1100 x 680."""
    grow = canvas.layout.scale
    for place, figure in enumerate(number):
        for stroke in DIGITS[int(figure)]:
            x0, y0 = left + place * 110 * scale, top
            drag(canvas, *[(round((x0 + x * scale) * grow), round((y0 + y * scale) * grow)) for x, y in stroke.points])


def press(canvas, keys):
    for key in keys:
        canvas.key(ord(key))


def points(canvas):
    return [stroke.points for stroke in canvas.drawing.strokes]


@pytest.mark.parametrize("figure", "0123456789")
def test_a_digit_is_read(canvas, figure):
    write(canvas, figure, 3.0, 200, 80)
    assert canvas.reading.text == figure
    assert canvas.focus is canvas.reading.digits[0]


def test_a_number_is_read_and_stands_in_the_title(canvas):
    assert canvas.title == "MNIST Lightning"
    write(canvas, "2026", 1.4)
    assert canvas.reading.text == "2026"
    assert canvas.title == "2026 - MNIST Lightning"


def test_the_digit_drawn_last_is_in_focus(canvas):
    write(canvas, "7", left=400)
    write(canvas, "2", left=100)
    assert canvas.reading.text == "27"
    assert canvas.focus.label == "2"


def test_drawing_works_before_there_is_a_network(canvas, tmp_path, reader):
    early = Canvas(folder=tmp_path)
    write(early, "5")
    assert (early.reading.text, early.focus, early.title) == ("", None, "MNIST Lightning")
    early.reader = reader
    assert early.reading.text == "5"


def test_strokes_are_kept_in_units_of_the_sheet(canvas):
    sheet = canvas.layout.sheet
    drag(canvas, (sheet.left + 10, sheet.top + 20), (sheet.left + 40, sheet.top + 20))
    canvas.resize(2200, 1360)
    sheet = canvas.layout.sheet
    drag(canvas, (sheet.left + 20, sheet.top + 80), (sheet.left + 80, sheet.top + 80))
    assert points(canvas) == [[(10, 20), (40, 20)], [(10, 40), (40, 40)]]


@pytest.mark.parametrize("size", [(1100, 680), (2200, 1360), (700, 500), (1500, 600)])
def test_a_digit_reads_the_same_in_a_window_of_any_size(canvas, size):
    canvas.resize(*size)
    write(canvas, "4", 3.0, 200, 80)
    assert canvas.reading.text == "4"


def test_the_pen_starts_on_the_sheet_only_and_stays_on_it(canvas):
    sheet = canvas.layout.sheet
    drag(canvas, (sheet.right + 5, 100), (200, 100))
    assert canvas.drawing.strokes == []
    drag(canvas, (sheet.left + 50, sheet.top + 50), (sheet.left - 500, sheet.top + 60), (5000, 5000))
    assert points(canvas) == [[(50, 50), (0, 60), (sheet.width - 1, sheet.height - 1)]]


def test_a_mouse_without_a_button_draws_nothing(canvas):
    canvas.move(100, 100)
    drag(canvas, (100, 100), (120, 100))
    canvas.move(300, 300)
    assert points(canvas) == [[(80, 80), (100, 80)]]


def test_the_right_button_erases(canvas):
    drag(canvas, (100, 300), (500, 300))
    canvas.press_eraser(300, 200)
    assert canvas.eraser == (300, 200)
    canvas.move(300, 400)
    canvas.release()
    assert canvas.eraser is None
    assert len(canvas.drawing.strokes) == 2
    left, right = (stroke.path()[:, 0] + 20 for stroke in canvas.drawing.strokes)
    # Half the pen and the eraser's radius away from where it went.
    assert left.max() == pytest.approx(300 - 18 - 10, abs=6)
    assert right.min() == pytest.approx(300 + 18 + 10, abs=6)
    press(canvas, "u")
    assert len(canvas.drawing.strokes) == 1


def test_undo_redo_and_clear(canvas):
    write(canvas, "17")
    press(canvas, "u")
    assert canvas.reading.text == "1"
    press(canvas, "r")
    assert canvas.reading.text == "17"
    press(canvas, "c")
    assert (canvas.reading.text, canvas.drawing.strokes) == ("", [])
    press(canvas, "u")
    assert canvas.reading.text == "17"
    press(canvas, "uuu")
    assert canvas.message == "Nothing to undo."
    press(canvas, "RRRR")
    assert canvas.message == "Nothing to redo."
    assert canvas.reading.text == ""  # the clearing was done again, too


def test_a_key_in_the_middle_of_a_stroke_ends_it(canvas):
    canvas.press(100, 100)
    canvas.move(200, 100)
    press(canvas, "u")
    canvas.move(300, 300)
    assert canvas.drawing.strokes == []
    assert not canvas.is_down


def test_the_pen_gets_thicker_and_thinner_within_bounds(canvas):
    press(canvas, "]")
    assert canvas.pen_width == 25
    drag(canvas, (100, 100), (200, 100))
    assert canvas.drawing.strokes[0].width == 25
    press(canvas, "[" * 30)
    assert canvas.pen_width == 4
    press(canvas, "]" * 30)
    assert canvas.pen_width == 60


@pytest.mark.parametrize("code", [ord("q"), ord("Q"), ESCAPE])
def test_quit(canvas, code):
    canvas.key(code)
    assert not canvas.open


@pytest.mark.parametrize("code", [-1, 0, 13, 0xE1, 0xFF51, ord("x"), ord("~")])
def test_other_keys_do_nothing(canvas, code):
    write(canvas, "3")
    before = points(canvas)
    canvas.key(code)
    assert (points(canvas), canvas.open, canvas.message) == (before, True, "")


def test_every_key_that_acts_is_in_the_help(canvas):
    told = {key for keys in KEYS for key in keys.replace("0-9", "").split(", ")} - {""}
    assert set(canvas._actions) - {chr(ESCAPE)} == told


def test_help_goes_when_one_draws_on(canvas):
    press(canvas, "?")
    assert canvas.shows_help
    drag(canvas, (100, 100), (200, 100))
    assert not canvas.shows_help
    press(canvas, "??")
    assert not canvas.shows_help


def test_a_digit_key_keeps_the_drawing_and_clears_the_sheet(canvas):
    write(canvas, "4")
    drawn = points(canvas)
    press(canvas, "9")
    assert canvas.message == f"Kept as 9: drawing 1 in {canvas.folder / 'drawings.jsonl'}"
    assert canvas.drawing.strokes == []
    write(canvas, "0")
    press(canvas, "0")
    assert canvas.message.startswith("Kept as 0: drawing 2 in ")
    first, second = read_digits(canvas.folder / "drawings.jsonl")
    assert (first.label, second.label) == (9, 0)
    assert [stroke.points for stroke in first.strokes] == drawn
    press(canvas, "u")  # the sheet's clearing can be taken back
    assert canvas.reading.text == "0"


def test_a_digit_key_on_an_empty_sheet_keeps_nothing(canvas):
    press(canvas, "7")
    assert canvas.message == "Draw a digit first; its key then keeps it."
    assert not canvas.folder.exists()


def test_what_reads_as_several_digits_is_kept_as_one_only_on_demand(canvas):
    write(canvas, "17")
    press(canvas, "1")
    assert canvas.message == "This reads as 2 digits. Press 1 again to keep all of it as one 1."
    press(canvas, "7")  # another is no answer
    assert not canvas.folder.exists()
    press(canvas, "7")
    (digit,) = read_digits(canvas.folder / "drawings.jsonl")
    assert (digit.label, len(digit.strokes)) == (7, 2)


def test_drawing_on_takes_the_question_back(canvas):
    write(canvas, "17")
    press(canvas, "1")
    drag(canvas, (500, 500), (510, 510))
    press(canvas, "1")
    assert canvas.message.endswith("to keep all of it as one 1.")
    assert not canvas.folder.exists()


def test_save_writes_picture_and_strokes(canvas):
    write(canvas, "20")
    press(canvas, "s")
    (picture,) = canvas.folder.glob("*.png")
    assert canvas.message == f"Saved {picture} and its strokes."
    assert "_20_" in picture.name
    image = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    assert image.shape == (canvas.layout.sheet.height, canvas.layout.sheet.width)
    assert image.max() == 255
    assert image[0, 0] == 255
    assert image.min() == 0
    data = json.loads(picture.with_suffix(".json").read_text())
    assert data["text"] == "20"
    assert [digit["label"] for digit in data["digits"]] == ["2", "0"]
    assert [stroke.points for stroke in Drawing.from_data(data).strokes] == points(canvas)
    assert canvas.reading.text == "20"  # and leaves the sheet as it is


def test_an_empty_sheet_is_not_saved(canvas):
    press(canvas, "s")
    assert canvas.message == "Nothing to save: the sheet is empty."
    assert not canvas.folder.exists()


def test_a_folder_that_cannot_be_written_is_said_and_nothing_is_lost(canvas):
    canvas.folder.write_text("a file")
    write(canvas, "3")
    press(canvas, "3")
    assert "cannot be written" in canvas.message
    assert canvas.reading.text == "3"
    press(canvas, "s")
    assert "cannot be written" in canvas.message


def test_what_the_saliency_shows_is_known_pixel_by_pixel(canvas, reader):
    write(canvas, "6")
    found = reader.explain(canvas.focus)
    assert found.shape == (28, 28)
    assert reader.explain(canvas.focus) is found  # not computed again while nothing changes
    assert np.abs(found[canvas.focus.image == 0]).max() == 0
