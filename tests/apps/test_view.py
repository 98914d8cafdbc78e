"""How the canvas looks: what is drawn where, and that drawing a part gives the picture drawn anew."""

from pathlib import Path

import numpy as np
import pytest

from mnist_lightning.apps import view as look
from mnist_lightning.apps.canvas import Canvas
from mnist_lightning.apps.layout import Layout
from mnist_lightning.apps.view import View
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.inference.reader import Reader
from mnist_lightning.ink.strokes import read_digits
from mnist_lightning.run import folder as runs

DIGITS = {digit.label: digit.strokes for digit in read_digits(Path(__file__).with_name("hand_digits.jsonl"))}


@pytest.fixture(scope="module")
def predictor():
    return Predictor.load(runs.PRETRAINED, "cpu")


@pytest.fixture
def canvas(tmp_path, predictor):
    canvas = Canvas(folder=tmp_path)
    canvas.reader = Reader(predictor, sure=0.5)
    return canvas


def events(number, scale=1.4, left=60, top=200):
    """Mouse positions of a number, one list a stroke."""
    return [
        [(round(left + (110 * place + x) * scale), round(top + y * scale)) for x, y in stroke.points]
        for place, figure in enumerate(number)
        for stroke in DIGITS[int(figure)]
    ]


def draw(canvas, number, **where):
    for first, *rest in events(number, **where):
        canvas.press(*first)
        for point in rest:
            canvas.move(*point)
        canvas.release()


def part(picture, rect):
    return picture[rect.top : rect.bottom, rect.left : rect.right]


def count(picture, colour):
    return int((picture == np.array(colour, np.uint8)).all(axis=2).sum())


def bars(canvas, picture):
    """Length of each bar, as a share of its track."""
    panel, px = part(picture, canvas.layout.panel), canvas.layout.pixels
    lines = [panel[px(374 + 25 * row) + px(7)] for row in range(10)]
    tracks = [[tuple(pixel) for pixel in line[px(30) : px(300 - 52)].tolist()] for line in lines]
    return [1 - track.count(look.TRACK) / len(track) for track in tracks]


def test_the_picture_after_each_event_is_the_one_drawn_anew(canvas):
    kept = View()

    def same():
        one, other, sheet = kept.picture(canvas), View().picture(canvas), canvas.layout.sheet
        # A line drawn in pieces is blended twice at its joints.
        drawn = (part(one, sheet).astype(int) - part(other, sheet))[:, :, 0]
        assert np.abs(drawn).sum() < 0.02 * (255 - part(other, sheet)[:, :, 0]).sum() + 1
        rest = [picture.copy() for picture in (one, other)]
        for picture in rest:
            part(picture, sheet)[:] = 0
        assert np.array_equal(*rest)

    canvas.resize(440, 272)
    same()
    for first, *rest in events("42", scale=0.5, left=20, top=80):
        canvas.press(*first)
        same()
        for point in rest:
            canvas.move(*point)
            same()
        canvas.release()
        same()
    for key in "h?]?hu?ursc":
        canvas.key(ord(key))
        if key != "s":  # its message holds the time
            same()
    canvas.key(ord("u"))
    canvas.press_eraser(30, 120)
    same()
    canvas.move(130, 120)
    same()
    canvas.release()
    same()
    canvas.resize(500, 400)
    same()


def test_ink_is_dark_on_a_white_sheet_where_the_mouse_went(canvas):
    canvas.press(200, 300)
    canvas.move(400, 300)
    picture = View().picture(canvas)
    assert picture.shape == (680, 1100, 3)
    assert picture[300, 200:401].max() == 0x22
    sheet = part(picture, canvas.layout.sheet)
    dark = (sheet[:, :, 0] < 128).sum()
    assert dark == pytest.approx(200 * 20 + np.pi * 100, rel=0.1)
    assert count(sheet, look.WHITE) > 0.98 * sheet.shape[0] * sheet.shape[1]


def test_the_bars_are_the_probabilities(canvas):
    view = View()
    assert bars(canvas, view.picture(canvas)) == [0] * 10
    draw(canvas, "3")
    picture = view.picture(canvas)
    assert bars(canvas, picture) == pytest.approx(canvas.focus.probabilities.tolist(), abs=0.012)
    panel = part(picture, canvas.layout.panel)
    assert count(panel, look.BLUE) > 2000
    assert count(panel, look.ORANGE) == 0


def test_not_sure_is_said_in_words_and_in_another_colour(canvas, predictor):
    canvas.reader = Reader(predictor, sure=1.0)
    draw(canvas, "3")
    panel = part(View().picture(canvas), canvas.layout.panel)
    assert look._verdict(canvas) == f"not sure: perhaps 3, {round(100 * canvas.focus.confidence)} %"
    assert count(panel, look.ORANGE) > 2000  # the bar
    assert count(panel, look.RUST) > 200  # "?"
    assert count(panel, look.BLUE) == 0
    draw(canvas, "7", left=300)
    assert look._verdict(canvas) == "not sure of 2 of 2: perhaps 37"


def test_what_the_network_sees_is_shown(canvas):
    draw(canvas, "5")
    panel = part(View().picture(canvas), canvas.layout.panel)
    shown = panel[196 : 196 + 112, :112].reshape(28, 4, 28, 4, 3)
    assert np.array_equal(shown[:, 1, :, 2, 0], canvas.focus.image)
    draw(canvas, "1", left=400)
    panel = part(View().picture(canvas), canvas.layout.panel)
    first, second = (panel[196 : 196 + 112, left : left + 112] for left in (0, 120))
    for shown, digit in ((first, canvas.reading.digits[0]), (second, canvas.reading.digits[1])):
        assert np.array_equal(shown[2::4, 2::4, 0], digit.image)


def test_saliency_colours_the_ink_and_nothing_else(canvas):
    view = View()
    draw(canvas, "6")
    plain = part(view.picture(canvas), canvas.layout.sheet).copy()
    canvas.key(ord("h"))
    coloured = part(view.picture(canvas), canvas.layout.sheet).copy()
    paper = (plain == 255).all(axis=2)
    assert (coloured[paper] >= 254).all()
    ink = coloured[plain[:, :, 0] < 0x30].astype(int)
    blue, red = ink[:, 0], ink[:, 2]
    assert (red - blue > 60).mean() > 0.1  # orange: speaks for the 6
    canvas.key(ord("h"))
    assert np.array_equal(part(view.picture(canvas), canvas.layout.sheet), plain)


def test_a_message_stands_in_the_status_line_and_is_cut_to_fit(canvas):
    view = View()
    before = part(view.picture(canvas), canvas.layout.status).copy()
    canvas.message = "x" * 1000
    after = part(view.picture(canvas), canvas.layout.status)
    written = (after[:, :-140] < 100).all(axis=2).any(axis=0)
    assert written[:500].any()
    assert np.array_equal(after[:, -100:], before[:, -100:])  # not over the pen


@pytest.mark.parametrize("size", [(200, 200), (640, 360), (1100, 680), (1800, 1000), (300, 1000)])
def test_any_window_size_gives_a_picture_of_it(canvas, size):
    canvas.resize(*size)
    draw(canvas, "8", scale=0.2 * canvas.layout.scale, left=20, top=20)
    for key in "h?":
        canvas.key(ord(key))
    assert View().picture(canvas).shape == (size[1], size[0], 3)


def test_everything_grows_with_the_window_and_what_is_left_over_is_sheet():
    base, double, wide = Layout(1100, 680), Layout(2200, 1360), Layout(1500, 680)
    assert (base.scale, double.scale, wide.scale) == (1, 2, 1)
    assert double.panel.width == 2 * base.panel.width
    assert wide.sheet.width == base.sheet.width + 400
    for layout in (base, double, wide):
        assert layout.sheet.right < layout.panel.left < layout.panel.right < layout.width
        assert layout.sheet.bottom < layout.height


def test_percent_never_says_all_of_it():
    assert [look._percent(share) for share in (0.0, 0.004, 0.126, 0.994, 0.9999, 1.0)] == [
        "0 %", "0 %", "13 %", "99 %", "99 %", "100 %"
    ]  # fmt: skip
