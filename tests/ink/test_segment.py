import time
from pathlib import Path

import numpy as np
import pytest

from mnist_lightning.ink.normalise import normalise
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.segment import group_boxes, segment_ink_rows, segment_stroke_rows, split_rows
from mnist_lightning.ink.strokes import Stroke, bounds, read_digits, transformed

DIGITS = list(read_digits(Path(__file__).with_name("pen_digits.jsonl")))
PEN = 16.0


def number(labels: list[int], gap: float) -> list[list[Stroke]]:
    """Digits side by side, 150 high, `gap` between the ink of neighbours."""
    written, x = [], 0.0
    for label in labels:
        left, top, right, bottom = bounds(DIGITS[label].strokes)
        scale = 150 / (bottom - top)
        digit = [
            Stroke(s.points, PEN) for s in transformed(DIGITS[label].strokes, scale, x - left * scale, -top * scale)
        ]
        written.append(digit)
        x += (right - left) * scale + PEN + gap
    return written


@pytest.mark.parametrize("label", range(10))
def test_the_strokes_of_one_digit_stay_together(label: int) -> None:
    assert segment_stroke_rows(DIGITS[label].strokes) == [[DIGITS[label].strokes]]


@pytest.mark.parametrize("gap", [2, 20, 100])
@pytest.mark.parametrize("labels", [[2, 0, 2, 6], [4, 5, 7], [1, 1], [7, 4, 5, 4], [9, 8, 3, 6, 0]], ids=str)
def test_a_number_in_strokes_is_read_left_to_right_whatever_order_it_was_drawn_in(
    labels: list[int], gap: float
) -> None:
    digits = number(labels, gap)
    assert segment_stroke_rows([stroke for digit in digits for stroke in digit]) == [digits]
    backwards = segment_stroke_rows([stroke for digit in reversed(digits) for stroke in digit])
    assert backwards == [digits]


def test_a_bar_that_reaches_over_the_next_digit_stays_with_its_own() -> None:
    # A 7 whose top bar hangs 10 over a 1; boxes are left, top, right, bottom.
    seven_body, seven_bar, one = [30, 0, 60, 100], [0, 0, 80, 6], [72, 0, 74, 100]
    assert group_boxes(np.array([seven_body, seven_bar], float)) == [[0, 1]]
    assert group_boxes(np.array([seven_body, one], float)) == [[0], [1]]
    five_body, five_bar, zero = [0, 0, 50, 100], [5, 0, 62, 8], [66, 0, 120, 100]
    assert group_boxes(np.array([zero, five_bar, five_body], float)) == [[1, 2], [0]]


def test_the_short_half_of_a_four_goes_to_the_nearer_digit() -> None:
    zero, half, stem = [0, 0, 60, 100], [72, 0, 100, 55], [104, 0, 108, 100]
    assert group_boxes(np.array([zero, half, stem], float)) == [[0], [1, 2]]


def test_slanted_digits_may_lean_over_one_another() -> None:
    assert group_boxes(np.array([[0, 0, 60, 100], [50, 0, 110, 100]], float)) == [[0], [1]]
    assert group_boxes(np.array([[0, 0, 60, 100], [20, 0, 80, 100]], float)) == [[0, 1]]


def test_a_stray_dot_is_no_digit() -> None:
    assert group_boxes(np.array([[0, 0, 60, 100], [90, 50, 92, 52], [150, 0, 200, 100]], float)) == [[0, 1], [2]]


def test_nothing_is_no_digits_and_a_lone_dot_is_one() -> None:
    assert segment_stroke_rows([]) == []
    assert segment_stroke_rows([Stroke([])]) == []
    dot = Stroke([(5, 5)])
    assert segment_stroke_rows([dot]) == [[[dot]]]
    assert segment_ink_rows(np.zeros((28, 28), np.uint8)) == []


def test_a_scribble_of_thousands_of_strokes_is_sorted_at_once() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 1000, (5000, 2))
    groups = group_boxes(np.concatenate([corner, corner + rng.uniform(0, 200, (5000, 2))], axis=1))
    assert sorted(index for group in groups for index in group) == list(range(5000))


def test_a_short_piece_goes_to_the_row_of_the_pieces_that_it_continues() -> None:
    upper, lower = [0, 0, 40, 100], [0, 160, 40, 260]
    trail = [[50, top, 60, top + 10] for top in range(90, 150, 15)]  # from the upper row down to the lower one
    alone = [50, 145, 60, 155]
    assert split_rows(np.array([upper, lower, *trail], float)) == [[0, 2, 3, 4, 5], [1]]
    assert split_rows(np.array([upper, lower, alone], float)) == [[0], [1, 2]]


def test_tens_of_thousands_of_dots_are_sorted_into_rows_at_once() -> None:
    upper, lower = [0, 0, 40, 100], [0, 400, 40, 500]
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(50, 450, 2), np.arange(0, 500, 5)))
    boxes = np.array([upper, lower, *zip(x, y, x + 1, y + 1, strict=True)], float)
    assert len(boxes) > 20_000
    began = time.process_time()
    rows = split_rows(boxes)
    assert time.process_time() - began < 3
    wanted = [np.flatnonzero(boxes[:, 1] <= 249), np.flatnonzero(boxes[:, 1] > 249)]
    assert [sorted(row) for row in rows] == [each.tolist() for each in wanted]


@pytest.mark.parametrize("gap", [2, 6])
@pytest.mark.parametrize("labels", [[2, 0, 2, 6], [4, 5, 7], [9, 8, 3, 1, 0]], ids=str)
def test_a_number_in_pixels_gives_each_digit_as_if_it_stood_alone(labels: list[int], gap: int) -> None:
    alone = [normalise(draw_digit(DIGITS[label].strokes)) for label in labels]
    cut = [image[:, np.flatnonzero(image.any(axis=0))] for image in alone]
    space = np.zeros((28, gap), np.uint8)
    picture = np.concatenate([part for image in cut for part in (space, image)] + [space], axis=1)
    (digits,) = segment_ink_rows(picture)
    assert len(digits) == len(labels)
    assert np.array_equal(np.maximum.reduce(digits), picture)
    for digit, expected in zip(digits, alone, strict=True):
        assert np.array_equal(normalise(digit), expected)


def test_the_pieces_of_a_broken_digit_are_put_together() -> None:
    picture = np.zeros((40, 60), np.uint8)
    picture[5:35, 10:13] = picture[5:35, 40:43] = 255
    picture[5:8, 15:25] = picture[20:23, 12:20] = 255  # loose bars at the first stem
    (digits,) = segment_ink_rows(picture)
    assert [np.count_nonzero(digit) for digit in digits] == [np.count_nonzero(picture[:, :30]), 90]
