"""Mouse and keys in, what is on the sheet and how it reads out."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mnist_lightning.apps import actions, controls, keys, places
from mnist_lightning.apps.canvas import Canvas
from mnist_lightning.errors import UserError
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
    """Draw a number with the mouse; positions for a window of 1120 x 720."""
    sheet, grow = canvas.layout.sheet, canvas.layout.scale
    for place, figure in enumerate(number):
        for stroke in DIGITS[int(figure)]:
            x0, y0 = left - 20 + place * 110 * scale, top - 60
            drag(canvas, *[
                (round(sheet.left + (x0 + x * scale) * grow), round(sheet.top + (y0 + y * scale) * grow))
                for x, y in stroke.points
            ])  # fmt: skip


def press(canvas, typed):
    for key in typed:
        canvas.key(ord(key))


def click(canvas, rect):
    canvas.press(rect.left + rect.width // 2, rect.top + rect.height // 2)
    canvas.release()


def click_button(canvas, action):
    click(canvas, controls.places(canvas.layout)[action])


def labels(canvas):
    """What the file holds, oldest first."""
    return [digit.label for digit in read_digits(canvas.album.file)]


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
    canvas.network = "latest, outputs/train/2026-11-26/10-00-00-abcdef"
    assert canvas.title == "2026 - MNIST Lightning - latest, outputs/train/2026-11-26/10-00-00-abcdef"


def test_the_digit_drawn_last_is_in_focus(canvas):
    write(canvas, "7", left=400)
    write(canvas, "2", left=100)
    assert canvas.reading.text == "27"
    assert canvas.focus.label == "2"


def test_drawing_works_before_there_is_a_network(canvas, tmp_path, reader):
    early = Canvas(folder=tmp_path, network="pretrained")
    write(early, "5")
    assert (early.reading.text, early.focus, early.title) == ("", None, "MNIST Lightning - pretrained")
    early.reader = reader
    assert early.reading.text == "5"


def test_strokes_are_kept_in_units_of_the_sheet(canvas):
    sheet = canvas.layout.sheet
    drag(canvas, (sheet.left + 10, sheet.top + 20), (sheet.left + 40, sheet.top + 20))
    canvas.resize(2240, 1440)
    sheet = canvas.layout.sheet
    drag(canvas, (sheet.left + 20, sheet.top + 80), (sheet.left + 80, sheet.top + 80))
    assert points(canvas) == [[(10, 20), (40, 20)], [(10, 40), (40, 40)]]


@pytest.mark.parametrize("size", [(1120, 720), (2240, 1440), (700, 500), (1500, 600), (3840, 2160), (300, 900)])
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
    assert points(canvas) == [[(80, 40), (100, 40)]]


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
    assert canvas.message == "There is nothing to undo."
    press(canvas, "RRRR")
    assert canvas.message == "There is nothing to redo."
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


@pytest.mark.parametrize("code", [ord("q"), ord("Q")])
def test_quit(canvas, code):
    canvas.key(code)
    assert not canvas.open


def test_escape_closes_what_is_open_and_quits_with_a_drawing_only_when_pressed_twice(canvas):
    write(canvas, "3")
    press(canvas, "h?")
    canvas.key(27)
    assert (canvas.shows_help, canvas.shows_why, canvas.open) == (False, True, True)
    canvas.key(27)
    assert (canvas.shows_why, canvas.open) == (False, True)
    canvas.key(27)
    assert canvas.message == "Press Esc again to quit; what is on the sheet is lost then."
    drag(canvas, (500, 300), (510, 310))  # anything else takes the question back
    canvas.key(27)
    assert canvas.open
    assert len(canvas.drawing.strokes) == 2
    canvas.key(27)
    assert not canvas.open


def test_escape_on_an_empty_sheet_quits(canvas):
    canvas.key(27)
    assert not canvas.open


@pytest.mark.parametrize(
    ("code", "action"),
    [(ord("u"), "undo"), (8, "undo"), (0xFF08, "undo"), (26, "undo"), (0x4007A, "undo"), (25, "redo"),
     (0xFFFF, "delete"), (0x2E0000, "delete"), (0xF728, "delete"), (32, "clear"), (0xFFBE, "help"), (27, "close"),
     (0xFFB7, "7"), (ord("5"), "5"), (0x10055, "undo"), (ord("+"), "thicker"), (ord("-"), "thinner"),
     (0x40061, None), (0xFF51, None), (-1, None)],
)  # fmt: skip
def test_keys_by_the_codes_of_the_window_systems(code, action):
    assert keys.action(code) == action


@pytest.mark.parametrize("code", [-1, 0, 13, 0xE1, 0xFF51, ord("x"), ord("z"), ord("~")])
def test_other_keys_do_nothing(canvas, code):
    write(canvas, "3")
    before = points(canvas)
    canvas.key(code)
    assert (points(canvas), canvas.open, canvas.message) == (before, True, "")


def test_every_action_of_a_key_or_a_button_is_in_the_help_and_done_by_the_canvas(canvas):
    acting = {keys.action(code) for code in range(1, 128)} - {None, *"0123456789"} | {"delete"}
    assert acting == set(keys.ACTIONS)
    assert acting - {"close"} == set(actions.ACTIONS)
    assert {button.action for button in controls.BUTTONS} - {"pen"} <= acting


@pytest.mark.parametrize("size", [(1120, 720), (3840, 2160), (1280, 800), (640, 480)])
def test_the_buttons_do_what_the_keys_do(canvas, size):
    canvas.resize(*size)
    write(canvas, "17")
    click_button(canvas, "undo")
    assert canvas.reading.text == "1"
    click_button(canvas, "clear")
    assert canvas.drawing.strokes == []
    click_button(canvas, "help")
    assert canvas.shows_help
    if size == (640, 480):
        return  # the others have no room there
    click_button(canvas, "redo")
    click_button(canvas, "thicker")
    click_button(canvas, "thicker")
    click_button(canvas, "thinner")
    assert canvas.pen_width == 25
    for action, name in (("why", "shows_why"), ("theme", "is_dark"), ("erase", "erases")):
        click_button(canvas, action)
        assert getattr(canvas, name)
    click_button(canvas, "pen")
    assert canvas.message == ""


def test_with_the_eraser_chosen_the_left_button_erases(canvas):
    drag(canvas, (100, 300), (500, 300))
    press(canvas, "e")
    drag(canvas, (300, 200), (300, 400))
    assert len(canvas.drawing.strokes) == 2
    press(canvas, "e")
    drag(canvas, (600, 200), (600, 400))
    assert len(canvas.drawing.strokes) == 3


def test_the_mouse_over_a_button_says_what_it_does(canvas):
    undo = controls.places(canvas.layout)["undo"]
    assert canvas.hover(undo.left + 2, undo.top + 2)
    assert not canvas.hover(undo.left + 3, undo.top + 3)
    assert canvas.hint == "Undo the last stroke, erasure, clearing or label: u, Ctrl+Z"
    assert canvas.hover(400, 400)
    assert "Draw with the left button" in canvas.hint


def test_a_click_on_a_digits_picture_shows_its_bars_until_something_is_drawn(canvas):
    write(canvas, "2026", 1.2)
    digits = canvas.reading.digits
    assert canvas.focus is digits[3]
    thumbs = places.thumbs(canvas.layout, 4)
    click(canvas, thumbs.rects[1])
    assert canvas.focus is digits[1]
    assert canvas.focus.label == "0"
    drag(canvas, (700, 500), (720, 580))
    assert canvas.focus is canvas.reading.digits[-1]


@pytest.mark.parametrize("count", [1, 2, 8, 9, 14, 24, 27, 40])
@pytest.mark.parametrize("size", [(1120, 720), (900, 600), (3840, 2160)])
def test_the_pictures_of_any_number_of_digits_fit(size, count):
    layout = Canvas().layout.__class__(*size)
    thumbs = places.thumbs(layout, count)
    assert len(thumbs.rects) == count - thumbs.first
    assert count > 24 or thumbs.first == 0
    bottom = layout.panel.top + layout.px(places.THUMBS_TOP + places.THUMBS_HEIGHT) + layout.px(6)
    for rect in thumbs.rects:
        assert rect.left >= layout.panel.left
        assert rect.right <= layout.panel.right
        assert rect.width >= layout.px(24)
        assert rect.bottom + (layout.text() if count > 1 else 0) <= bottom
    for one, other in zip(thumbs.rects, thumbs.rects[1:], strict=False):
        assert one.right < other.left or one.bottom + layout.text() <= other.top


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
    assert canvas.message == f"Kept as 9: drawing 1 in {canvas.album.folder / 'drawings.jsonl'}. u takes it back."
    assert canvas.drawing.strokes == []
    write(canvas, "0")
    press(canvas, "0")
    assert canvas.message.startswith("Kept as 0: drawing 2 in ")
    first, second = read_digits(canvas.album.folder / "drawings.jsonl")
    assert (first.label, second.label) == (9, 0)
    assert [stroke.points for stroke in first.strokes] == drawn


def test_a_label_that_is_taken_back_with_u_is_no_longer_in_the_file(canvas):
    write(canvas, "4")
    press(canvas, "9")
    assert labels(canvas) == [9]
    press(canvas, "u")
    assert canvas.reading.text == "4"
    assert canvas.message == "Taken back: the drawing is no longer kept as 9."
    assert labels(canvas) == []
    press(canvas, "4")
    assert labels(canvas) == [4]
    press(canvas, "u")
    press(canvas, "r")
    assert (canvas.drawing.strokes, canvas.message) == ([], "Kept as 4 again.")
    assert labels(canvas) == [4]
    assert [sketch.label for sketch in canvas.album.sketches] == [4]


@pytest.fixture
def other(canvas, reader):
    """A second window on the same folder."""
    other = Canvas(folder=canvas.album.folder)
    other.reader = reader
    return other


UNDO, REDO = 26, 25  # Ctrl+Z, Ctrl+Y


def test_of_two_windows_on_one_folder_each_takes_back_what_it_kept_itself(canvas, other):
    for window, figure in ((canvas, "4"), (other, "7"), (canvas, "1")):
        write(window, figure)
        press(window, figure)
    assert labels(canvas) == [4, 7, 1]
    other.key(UNDO)
    assert (labels(canvas), other.reading.text) == ([4, 1], "7")
    canvas.key(UNDO)
    assert (labels(canvas), canvas.reading.text) == ([4], "1")
    other.key(REDO)
    canvas.key(REDO)
    assert labels(canvas) == [4, 7, 1]


def test_what_two_windows_bring_back_is_in_the_file_once(canvas, other):
    write(canvas, "4")
    press(canvas, "4")
    other.sketch = other.album.sketches[0]
    actions.do(other, "delete")
    assert labels(canvas) == []
    canvas.key(UNDO)
    canvas.key(REDO)  # keeps it once more, as far as this window knows
    assert labels(canvas) == [4]
    press(other, "u")
    assert other.message == "The drawing is back."
    assert [digit.id for digit in read_digits(canvas.album.file)] == [canvas.album.sketches[0].identity]


def test_undoing_further_takes_back_each_label_with_its_own_drawing(canvas):
    for figure in "71":
        write(canvas, figure)
        press(canvas, figure)
    press(canvas, "u")
    assert labels(canvas) == [7]
    press(canvas, "u" * len(DIGITS[1]))
    assert canvas.drawing.strokes == []
    assert labels(canvas) == [7]
    press(canvas, "u")
    assert (labels(canvas), canvas.reading.text) == ([], "7")


def test_a_label_that_cannot_be_taken_back_stays_and_so_does_the_sheet(canvas, monkeypatch):
    write(canvas, "4")
    press(canvas, "4")

    def refuse(*_):
        raise UserError("the disk is gone")

    monkeypatch.setattr("mnist_lightning.ink.drawings.remove", refuse)
    press(canvas, "u")
    assert (canvas.message, canvas.drawing.strokes) == ("the disk is gone", [])
    assert labels(canvas) == [4]


def test_what_is_cleared_goes_to_the_strip_and_can_be_labelled_there(canvas):
    write(canvas, "5")
    canvas.key(32)
    (sketch,) = canvas.album.sketches
    assert (sketch.label, sketch.read) == (None, "5")
    assert not canvas.album.folder.exists()
    click(canvas, places.strip(canvas.layout, 1)[0])
    assert canvas.sketch is sketch
    assert canvas.hint == "This drawing has no label yet: 0 to 9 gives it one, Delete removes it, Esc leaves it."
    press(canvas, "6")
    assert labels(canvas) == [6]
    press(canvas, "5")
    assert (labels(canvas), canvas.message) == ([5], "This drawing is kept as 5 now.")
    canvas.key(27)
    assert (canvas.sketch, canvas.open) == (None, True)
    press(canvas, "u")  # the clearing is taken back, and with it the label
    assert (canvas.reading.text, labels(canvas), canvas.album.sketches) == ("5", [], [])


def test_a_drawing_of_the_strip_is_deleted_by_key_or_cross_and_comes_back_with_u(canvas):
    for figure in "713":
        write(canvas, figure)
        press(canvas, figure)
    rects = places.strip(canvas.layout, 3)
    click(canvas, rects[1])
    canvas.key(0xFFFF)
    assert (labels(canvas), canvas.message) == ([7, 3], "Deleted; u brings the drawing back.")
    press(canvas, "u")
    assert sorted(labels(canvas)) == [1, 3, 7]
    assert [sketch.label for sketch in canvas.album.sketches] == [3, 1, 7]
    assert canvas.drawing.strokes == []
    click(canvas, rects[2])
    click(canvas, places.cross(canvas.layout, rects[2]))
    assert sorted(labels(canvas)) == [1, 3]
    press(canvas, "c")
    press(canvas, "u")  # another key was pressed: this is the sheet's own history again
    assert canvas.reading.text == "3"


def test_the_strip_shows_the_last_drawings_of_an_earlier_session(canvas, reader):
    for figure in "71":
        write(canvas, figure)
        press(canvas, figure)
    again = Canvas(folder=canvas.album.folder)
    assert [sketch.label for sketch in again.album.sketches] == [1, 7]
    click(again, places.strip(again.layout, 2)[0])
    press(again, "2")
    assert labels(again) == [7, 2]


def test_a_digit_key_on_an_empty_sheet_keeps_nothing(canvas):
    press(canvas, "7")
    assert canvas.message == "Draw a digit first; its key then keeps it."
    assert not canvas.album.folder.exists()


def test_what_reads_as_several_digits_is_kept_as_one_only_on_demand(canvas):
    write(canvas, "17")
    press(canvas, "1")
    assert canvas.message == "This reads as 2 digits. Press 1 again to keep all of it as one 1."
    press(canvas, "7")  # another is no answer
    assert not canvas.album.folder.exists()
    press(canvas, "7")
    (digit,) = read_digits(canvas.album.folder / "drawings.jsonl")
    assert (digit.label, len(digit.strokes)) == (7, 2)


def test_drawing_on_takes_the_question_back(canvas):
    write(canvas, "17")
    press(canvas, "1")
    drag(canvas, (500, 500), (510, 510))
    press(canvas, "1")
    assert canvas.message.endswith("to keep all of it as one 1.")
    assert not canvas.album.folder.exists()


def test_save_writes_picture_and_strokes(canvas):
    write(canvas, "20")
    press(canvas, "s")
    (picture,) = canvas.album.folder.glob("*.png")
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
    assert canvas.message == "There is nothing to save: the sheet is empty."
    assert not canvas.album.folder.exists()


def test_a_folder_that_cannot_be_written_is_said_and_nothing_is_lost(canvas):
    canvas.album.folder.write_text("a file")
    write(canvas, "3")
    press(canvas, "3")
    assert "cannot be written" in canvas.message
    assert canvas.reading.text == "3"
    press(canvas, "s")
    assert "cannot be written" in canvas.message


def test_a_full_disk_is_said_and_the_window_stays(canvas, monkeypatch):
    from mnist_lightning.errors import UserError

    def full(path, *_):
        raise UserError(f"{path} cannot be written (No space left on device).")

    write(canvas, "3")
    monkeypatch.setattr("mnist_lightning.apps.saving.write_atomically", full)
    press(canvas, "s")
    assert "No space left" in canvas.message
    assert canvas.open
    assert canvas.reading.text == "3"


def test_a_deleted_drawing_that_cannot_be_written_back_is_kept_for_another_try(canvas, monkeypatch):
    from mnist_lightning.errors import UserError

    def full(*_):
        raise UserError("No space left.")

    deleted = object(), 0
    canvas.deleted = deleted
    monkeypatch.setattr(canvas.album, "restore", full)
    press(canvas, "u")
    assert canvas.message == "No space left."
    assert canvas.deleted is deleted


def test_what_the_saliency_shows_is_known_pixel_by_pixel(canvas, reader):
    write(canvas, "6")
    found = reader.explain(canvas.focus)
    assert found.shape == (28, 28)
    assert reader.explain(canvas.focus) is found  # not computed again while nothing changes
    assert np.abs(found[canvas.focus.image == 0]).max() == 0
