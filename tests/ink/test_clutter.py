"""Frames, lines and dirt: the digit comes out as if it stood alone."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mnist_lightning.ink.extract import find_ink
from mnist_lightning.ink.frame import inside_frame
from mnist_lightning.ink.normalise import normalise
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.strokes import read_digits

DIGITS = list(read_digits(Path(__file__).with_name("pen_digits.jsonl")))


def picture(index: int, side: int = 120) -> np.ndarray:
    ink = draw_digit(DIGITS[index].strokes)
    sheet = np.full((side, side), 255, np.uint8)
    top, left = (side - ink.shape[0]) // 2, (side - ink.shape[1]) // 2
    sheet[top : top + ink.shape[0], left : left + ink.shape[1]] = 255 - ink
    return sheet


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(normalise(a).astype(int) - normalise(b)).mean())


@pytest.mark.parametrize("sides", [(1, 1, 1, 1), (1, 0, 0, 0), (0, 1, 1, 0), (0, 0, 0, 1), (1, 1, 0, 1)])
@pytest.mark.parametrize("width", [1, 2, 5, 20])
@pytest.mark.parametrize("level", [0, 128])
def test_a_frame_makes_no_difference(sides: tuple[int, ...], width: int, level: int) -> None:
    for index in range(10):
        alone = picture(index)
        margins = [width * side for side in sides]
        framed = cv2.copyMakeBorder(alone, *margins, cv2.BORDER_CONSTANT, value=level)
        assert inside_frame(framed) == (margins[2], margins[0], margins[2] + 120, margins[0] + 120)
        assert np.array_equal(normalise(framed), normalise(alone))


def test_ink_is_never_taken_for_a_frame() -> None:
    bar = np.full((60, 60), 255, np.uint8)
    bar[10:50, 20:40] = 0  # a thick 1 is a rectangle
    assert inside_frame(bar) == (0, 0, 60, 60)
    for index in range(10):
        ink = 255 - draw_digit(DIGITS[index].strokes, 4.5)[1:-1, 1:-1]  # cut close, thick
        assert inside_frame(ink) == (0, 0, ink.shape[1], ink.shape[0])


def test_a_zero_of_straight_bars_is_no_frame() -> None:
    zero = np.full((90, 70), 255, np.uint8)
    zero[15:75, 15:55] = 0
    zero[23:67, 23:47] = 255
    assert inside_frame(zero) == (0, 0, 70, 90)


@pytest.mark.parametrize(
    "holes",
    [
        [(23, 41), (49, 67)],  # an 8, two thirds of it ink
        [(23, 67)],  # a 0 of very thick bars
    ],
)
def test_a_digit_of_thick_straight_bars_is_no_frame(holes: list[tuple[int, int]]) -> None:
    digit = np.full((90, 70), 255, np.uint8)
    digit[15:75, 15:55] = 0
    for top, bottom in holes:
        digit[top:bottom, 25:45] = 255
    assert inside_frame(digit) == (0, 0, 70, 90)
    card = 255 - np.pad(picture(4), 8)  # white on black in a white frame, as the holes are
    assert inside_frame(card) == (8, 8, 128, 128)


def test_where_the_ink_stood_in_a_framed_picture_is_known() -> None:
    framed = cv2.copyMakeBorder(picture(3), 7, 3, 11, 5, cv2.BORDER_CONSTANT, value=0)
    ink = find_ink(framed)
    assert (ink.left, ink.top, ink.shrunk) == (11, 7, 1.0)


def lined(sheet: np.ndarray, level: int = 150, squared: bool = True) -> np.ndarray:
    paper = sheet.copy()
    for lines in (paper[13::24], paper[:, 5::24])[: 1 + squared]:
        np.minimum(lines, level, out=lines)
    return paper


@pytest.mark.parametrize("squared", [False, True])
def test_ruled_paper_makes_little_difference(squared: bool) -> None:
    for index in range(10):
        assert difference(lined(picture(index), squared=squared), picture(index)) < 2


def test_squares_are_left_out_where_the_digit_reaches_the_rim() -> None:
    for index in range(10):
        alone = picture(index)
        rows = np.flatnonzero((alone < 255).any(axis=1))
        cut = alone[rows[0] : rows[-1] + 1]
        assert difference(lined(cut), cut) < 8


@pytest.mark.parametrize("level", [215, 190])  # of 255: nearly as bright as the paper
def test_faint_lines_are_left_out(level: int) -> None:
    for index in range(10):
        assert difference(lined(picture(index), level), picture(index)) < 8


@pytest.mark.parametrize("margin", [3, 20])
def test_squared_paper_with_a_white_margin_makes_little_difference(margin: int) -> None:
    for index in range(10):
        pasted = cv2.copyMakeBorder(lined(picture(index)), *[margin] * 4, cv2.BORDER_CONSTANT, value=255)
        assert difference(pasted, picture(index)) < 8


@pytest.mark.parametrize("margin", [2, 20])
def test_a_line_across_a_sheet_with_a_white_margin_is_left_out(margin: int) -> None:
    for index in (0, 1, 3, 6, 8):
        crossed = picture(index, 200)
        crossed[90:92] = 0
        pasted = cv2.copyMakeBorder(crossed, *[margin] * 4, cv2.BORDER_CONSTANT, value=255)
        assert difference(pasted, picture(index, 200)) < 8


def test_the_bar_of_a_four_stays_where_it_is_its_longest_stroke() -> None:
    four = np.full((100, 120), 255, np.uint8)
    cv2.polylines(four, [np.array([[60, 15], [30, 60], [95, 60]])], False, 0, 4)
    cv2.line(four, (70, 40), (70, 85), 0, 4)
    assert np.array_equal(find_ink(four).pixels, 255 - four)


@pytest.mark.parametrize("margin", [2, 20])
def test_the_corner_of_an_outline_with_a_white_margin_is_left_out(margin: int) -> None:
    for index in range(10):
        cut = picture(index)
        cut[-1:, :90] = 0
        cut[30:, :1] = 0
        pasted = cv2.copyMakeBorder(cut, *[margin] * 4, cv2.BORDER_CONSTANT, value=255)
        assert difference(pasted, picture(index)) < 1


def test_a_row_of_ones_is_no_ruled_paper() -> None:
    ones = np.full((80, 200), 255, np.uint8)
    ones[20:60, 30:180:30] = ones[20:60, 31:180:30] = ones[20:60, 32:180:30] = 0
    assert np.array_equal(find_ink(ones).pixels, 255 - ones)


def test_a_dark_line_across_the_digit_leaves_its_strokes_whole() -> None:
    for index in (0, 1, 3, 6, 8):
        crossed = picture(index)
        crossed[50:52] = 0
        assert difference(crossed, picture(index)) < 8


def test_specks_underlines_and_slivers_at_the_rim_are_left_out() -> None:
    for index in range(10):
        dirty = picture(index, 160)
        dirty[8:11, 140:143] = 0
        dirty[150:153, 30:130] = 0
        dirty[-1:, :70] = 0
        dirty[90:, :1] = 0
        assert difference(dirty, picture(index, 160)) < 1


def test_thousands_of_specks_around_a_digit_are_left_out() -> None:
    for index in range(0, 10, 3):
        dirty = picture(index, 280)
        dots = np.zeros(dirty.shape, bool)
        dots[4:-4:4, 4:-4:4] = True
        dots[66:214, 66:214] = False  # what is close to the writing may belong to it
        dirty[dots] = 0
        assert dots.sum() > 3000
        assert np.array_equal(find_ink(dirty).pixels, find_ink(picture(index, 280)).pixels)


@pytest.mark.parametrize("margin", [0, 5, 20])
def test_only_the_sheet_is_read_in_a_photograph_of_a_desk(margin: int) -> None:
    random = np.random.default_rng(0)
    for index in (0, 2, 4, 7):
        desk = np.full((240, 240), 90.0)
        desk[35:195, 40:200] = picture(index, 160)
        photo = np.clip(desk + random.normal(0, 3, desk.shape), 0, 255).astype(np.uint8)
        photo = cv2.copyMakeBorder(photo, *[margin] * 4, cv2.BORDER_CONSTANT, value=255)  # as white as the sheet
        assert difference(photo, picture(index, 160)) < 10


@pytest.mark.parametrize("sides", [(1, 1, 1, 1), (1, 0, 0, 0), (0, 1, 1, 0)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_frame_around_a_shadow_makes_no_difference(sides: tuple[int, ...], level: int) -> None:
    random = np.random.default_rng(0)
    x = np.arange(240)
    for index in (0, 2, 4, 7):
        light = 1 - 0.25 / (1 + np.exp(-(x - 130) / 6))
        grey = picture(index, 240) * light + random.normal(0, 3, (240, 240))
        photo = np.clip(grey, 0, 255).astype(np.uint8)
        framed = cv2.copyMakeBorder(photo, *[20 * side for side in sides], cv2.BORDER_CONSTANT, value=level)
        assert difference(framed, photo) < 2
        if level < 255:
            ink = find_ink(framed)
            assert (ink.left, ink.top) == (20 * sides[2], 20 * sides[0])


def test_a_turned_sheet_in_a_drawing_of_two_levels_is_read() -> None:
    for index in (0, 2, 4, 7):
        sheet = cv2.threshold(picture(index, 160), 127, 255, cv2.THRESH_BINARY)[1]
        turn = cv2.getRotationMatrix2D((80, 80), 7, 1)
        turn[:, 2] += 40
        desk = cv2.warpAffine(sheet, turn, (240, 240), flags=cv2.INTER_NEAREST)
        on_white = cv2.warpAffine(
            sheet, turn, (240, 240), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=255
        )
        assert difference(desk, on_white) < 4
