from pathlib import Path

import numpy as np
import pytest

from mnist_lightning.ink.normalise import normalise
from mnist_lightning.ink.raster import STROKE_WIDTH, Layer, draw_digit
from mnist_lightning.ink.strokes import Drawing, Stroke, read_digits, transformed
from mnist_lightning.ink.width import measure_stroke_width

DIGITS = list(read_digits(Path(__file__).with_name("pen_digits.jsonl")))


@pytest.mark.parametrize("digit", DIGITS, ids=lambda digit: str(digit.label))
def test_the_network_sees_the_same_wherever_and_however_large_a_digit_is_drawn(digit) -> None:
    seen = normalise(draw_digit(digit.strokes)).astype(int)
    for scale, dx, dy in ((0.25, 0, 0), (1.0, 3000.5, -800), (7.3, 11, 12)):
        moved = transformed(digit.strokes, scale, dx, dy)
        assert np.abs(normalise(draw_digit(moved)) - seen).mean() < 1.5


def test_the_pen_that_drew_it_makes_no_difference() -> None:
    strokes = DIGITS[3].strokes
    thin, thick = ([Stroke(s.points, width) for s in strokes] for width in (2, 40))
    assert np.array_equal(draw_digit(thin), draw_digit(thick))


def test_strokes_come_out_as_wide_as_asked_and_fill_the_box() -> None:
    for width in (STROKE_WIDTH, 4.0):
        images = [draw_digit(digit.strokes, width) for digit in DIGITS]
        for image in images:
            rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
            assert max(np.ptp(rows), np.ptp(columns)) + 1 == 80
            assert image[0].max() == image[-1].max() == image[:, 0].max() == image[:, -1].max() == 0
        # Acute corners are full of ink and measure wider.
        measured = [measure_stroke_width(image) / 4 for image in images]
        assert np.median(measured) == pytest.approx(width, abs=0.3)


def test_a_straight_line_is_drawn_full_length() -> None:
    seen = normalise(draw_digit([Stroke([(5, 5), (5, 205)])]))
    assert np.flatnonzero(seen.max(axis=1) > 127).tolist() == list(range(4, 24))
    assert (seen > 127).sum(axis=1).max() in (2, 3)


def test_a_slow_and_a_fast_mouse_draw_the_same() -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    ring = [(100 * np.cos(a), 130 * np.sin(a)) for a in angle]
    slow = draw_digit([Stroke(ring)])
    fast = draw_digit([Stroke([*ring[::18], ring[-1]])])  # 13 points
    assert np.abs(normalise(slow).astype(int) - normalise(fast)).mean() < 4


def test_no_strokes_are_no_ink_and_a_dot_is_a_disc() -> None:
    assert draw_digit([]).tolist() == [[0]]
    disc = draw_digit([Stroke([(50, 50), (51, 50)], 20)])
    assert disc.shape[0] < 16
    assert disc.max() == 255


def test_a_line_on_the_sheet_is_as_wide_as_the_pen_at_any_resolution() -> None:
    stroke = Stroke([(20.0, 50.0), (180.0, 50.0)], 12)
    for scale in (0.5, 1.0, 2.5):
        image = Layer(int(100 * scale), int(200 * scale), scale).update([stroke])
        across = image[:, int(100 * scale)].sum() / 255
        assert across == pytest.approx(12 * scale, abs=1.2)


def test_drawing_point_by_point_gives_the_picture_drawn_at_once() -> None:
    drawing, layer = Drawing(), Layer(200, 400)
    for digit, left in ((DIGITS[5], 0), (DIGITS[8], 200)):
        for stroke in transformed(digit.strokes, 0.6, left - 90, -40):
            drawing.begin(*stroke.points[0], 14)
            layer.update(drawing.strokes)
            for point in stroke.points[1::3]:
                drawing.move(*point)
                shown = layer.update(drawing.strokes)
            drawing.end()
    at_once = Layer(200, 400).update(drawing.strokes)
    assert at_once.sum() > 255 * 2000
    assert np.abs(shown.astype(int) - at_once).sum() < 0.01 * at_once.sum()


def test_the_sheet_follows_undo_and_redo() -> None:
    drawing, layer = Drawing(), Layer(100, 100)
    drawing.begin(20, 20, 10)
    drawing.end()
    one = layer.update(drawing.strokes).copy()
    drawing.begin(70, 70, 10)
    drawing.end()
    two = layer.update(drawing.strokes).copy()
    drawing.undo()
    assert np.array_equal(layer.update(drawing.strokes), one)
    drawing.redo()
    assert np.array_equal(layer.update(drawing.strokes), two)
    assert two.sum() == pytest.approx(2 * one.sum(), rel=0.01)
    drawing.clear()
    assert not layer.update(drawing.strokes).any()


def test_what_changed_lies_in_the_part_that_it_says() -> None:
    drawing, layer = Drawing(), Layer(200, 300, 1.5)
    before = layer.update([]).copy()
    sizes = []

    def look() -> None:
        nonlocal before
        after = layer.update(drawing.strokes).copy()
        left, top, right, bottom = layer.changed
        sizes.append((right - left) * (bottom - top))
        after_outside, before_outside = after.copy(), before.copy()
        after_outside[top:bottom, left:right] = before_outside[top:bottom, left:right] = 0
        assert np.array_equal(after_outside, before_outside)
        before = after

    for stroke in transformed(DIGITS[8].strokes, 0.5, 0, 0):
        drawing.begin(*stroke.points[0], 13)
        for point in stroke.points[1:]:
            drawing.move(*point)
            look()
        drawing.end()
    assert max(sizes) < 200 * 300 / 4
    for change in (drawing.undo, drawing.redo, drawing.clear):
        change()
        look()
    assert not before.any()
    look()
    assert sizes[-1] == 0
