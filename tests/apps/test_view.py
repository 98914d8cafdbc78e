"""How the canvas looks: what is drawn where, and that drawing a part gives the picture drawn anew."""

from pathlib import Path

import numpy as np
import pytest

from mnist_lightning.apps import chrome_view, panel_view, places, text, why
from mnist_lightning.apps.canvas import Canvas
from mnist_lightning.apps.layout import BASE_HEIGHT, BASE_WIDTH, Layout, fitting
from mnist_lightning.apps.theme import DARK, LIGHT
from mnist_lightning.apps.view import View
from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.inference.reader import Reader
from mnist_lightning.inference.reading import DigitReading, Reading
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
    panel, px = part(picture, canvas.layout.panel), canvas.layout.px
    lines = [panel[px(374 + 25 * row) + px(7)] for row in range(10)]
    ends = {LIGHT.track, LIGHT.blue, LIGHT.orange, LIGHT.other}
    tracks = [[pixel for pixel in map(tuple, line.tolist()) if pixel in ends] for line in lines]
    return [1 - track.count(LIGHT.track) / len(track) for track in tracks]


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

    canvas.resize(900, 580)
    same()
    for first, *rest in events("42", scale=0.8, left=40, top=120):
        canvas.press(*first)
        same()
        for point in rest:
            canvas.move(*point)
            same()
        canvas.release()
        same()
    actions = "why help thicker help theme why undo help undo redo save close 4 undo redo theme clear undo"
    for action in actions.split():
        canvas.act(action)
        if action != "save":  # its message holds the time
            same()
    for place in (places.thumbs(canvas.layout, 2).rects[0], places.strip(canvas.layout, 1)[0]):
        canvas.press(place.left + 3, place.top + 3)
        canvas.release()
        same()
    canvas.hover(*(side + 5 for side in (canvas.layout.toolbar.left, canvas.layout.toolbar.top)))
    same()
    canvas.press_eraser(60, 160)
    same()
    canvas.move(160, 160)
    same()
    canvas.release()
    same()
    canvas.resize(500, 400)
    same()
    canvas.resize(260, 240)
    same()


def test_ink_is_dark_on_a_white_sheet_where_the_mouse_went(canvas):
    canvas.press(200, 300)
    canvas.move(400, 300)
    picture = View().picture(canvas)
    assert picture.shape == (BASE_HEIGHT, BASE_WIDTH, 3)
    assert picture[300, 200:401].max() == 0x22
    sheet = part(picture, canvas.layout.sheet)
    dark = (sheet.max(axis=2) < 128).sum()
    assert dark == pytest.approx(200 * 20 + np.pi * 100, rel=0.1)
    assert count(sheet, LIGHT.paper) > 0.98 * sheet.shape[0] * sheet.shape[1]


def test_the_bars_are_the_probabilities(canvas):
    view = View()
    assert bars(canvas, view.picture(canvas)) == [0] * 10
    draw(canvas, "3")
    picture = view.picture(canvas)
    assert bars(canvas, picture) == pytest.approx(canvas.focus.probabilities.tolist(), abs=0.012)
    panel = part(picture, canvas.layout.panel)
    assert count(panel, LIGHT.blue) > 2000
    assert count(panel, LIGHT.orange) == 0


def test_not_sure_is_said_in_words_and_in_another_colour(canvas, predictor):
    canvas.reader = Reader(predictor, sure=1.0)
    draw(canvas, "3")
    panel = part(View().picture(canvas), canvas.layout.panel)
    assert panel_view.verdict(canvas) == f"not sure: perhaps 3, {panel_view.percent(canvas.focus.confidence)}"
    assert count(panel, LIGHT.orange) > 1500  # the bar
    assert count(panel, LIGHT.rust) > 200  # "?"
    assert count(panel, LIGHT.blue) == 0
    draw(canvas, "7", left=300)
    assert panel_view.verdict(canvas) == "not sure of 2 of 2: perhaps 37"


def test_what_the_network_sees_is_shown(canvas):
    draw(canvas, "5")
    panel = part(View().picture(canvas), canvas.layout.panel)
    shown = panel[194 : 194 + 112, :112].reshape(28, 4, 28, 4, 3)
    assert np.array_equal(shown[:, 1, :, 2, 0], canvas.focus.image)
    draw(canvas, "1", left=400)
    panel = part(View().picture(canvas), canvas.layout.panel)
    first, second = (panel[194 : 194 + 112, left : left + 112] for left in (0, 120))
    for shown, digit in ((first, canvas.reading.digits[0]), (second, canvas.reading.digits[1])):
        assert np.array_equal(shown[6:-4:4, 6:-4:4, 0], digit.image[1:-1, 1:-1])  # within the rim of the focus


def test_why_colours_the_ink_and_the_gaps_that_decide_and_says_what_the_colours_mean(canvas):
    view = View()
    draw(canvas, "8")
    plain = part(view.picture(canvas), canvas.layout.sheet).copy()
    canvas.act("why")
    coloured = part(view.picture(canvas), canvas.layout.sheet).copy()
    ink = coloured[plain.max(axis=2) < 0x30].astype(int)
    assert (ink[:, 2] - ink[:, 0] > 60).mean() > 0.1  # orange: speaks for the 8
    paper = coloured[(plain == 255).all(axis=2)].astype(int)
    assert 0.002 < (paper[:, 1] - paper[:, 2] > 40).mean() < 0.3  # green: has to stay empty
    canvas.key(ord("t"))  # the legend stays whatever else is pressed
    legend = part(view.picture(canvas), canvas.layout.sheet)[-40:, :500]
    assert count(legend, LIGHT.ink) > 50
    canvas.act("why")
    assert np.array_equal(part(view.picture(canvas), canvas.layout.sheet), plain)


def test_each_digit_that_was_found_has_a_box_and_the_one_in_focus_a_blue_one(canvas):
    view = View()
    draw(canvas, "27", scale=1.2)
    sheet = part(view.picture(canvas), canvas.layout.sheet)
    for digit, colour in zip(canvas.reading.digits, (LIGHT.other, LIGHT.blue), strict=True):
        left, top, right, _ = (round(side) for side in digit.box)
        rim = 9 + 10
        row = sheet[top - rim, left - rim : right + rim]
        assert (row == colour).all(axis=1).mean() > 0.85  # its tag covers some
    press_thumb = places.thumbs(canvas.layout, 2).rects[0]
    canvas.press(press_thumb.left + 3, press_thumb.top + 3)
    canvas.release()
    sheet = part(view.picture(canvas), canvas.layout.sheet)
    left, top, right, _ = (round(side) for side in canvas.reading.digits[0].box)
    assert (sheet[top - 19, left - 19 : right + 19] == LIGHT.blue).all(axis=1).mean() > 0.85


def test_the_dark_theme_draws_light_on_dark_everywhere(canvas):
    view = View()
    draw(canvas, "5")
    light = view.picture(canvas).copy()
    canvas.act("theme")
    dark = view.picture(canvas)
    assert light.mean() > 200
    assert dark.mean() < 80
    assert count(part(dark, canvas.layout.sheet), DARK.ink) > 1000
    panel = part(dark, canvas.layout.panel)
    assert count(panel, LIGHT.desk) == 0


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_texts_stand_out_from_what_they_are_written_on(theme):
    def luminance(colour):
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
                  for share in (each / 255 for each in colour)]  # fmt: skip
        return 0.0722 * linear[0] + 0.7152 * linear[1] + 0.2126 * linear[2]

    def contrast(one, other):
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    for behind in (theme.desk, theme.card, theme.paper):
        for colour in (theme.ink, theme.grey, theme.blue, theme.rust):
            assert contrast(colour, behind) >= 4.5  # WCAG 2.1, level AA


@pytest.mark.parametrize("size", [(200, 200), (640, 400), (900, 580), (1120, 720), (1280, 800), (3840, 2160)])
def test_no_text_is_smaller_than_11_pixels_or_leaves_the_window(canvas, monkeypatch, size):
    written = []
    real = text.write

    def note(image, words, at, letters, *rest, **options):
        written.append((words, at, letters, image.shape))
        real(image, words, at, letters, *rest, **options)

    for module in (text, chrome_view, panel_view, why):  # the sheet's words go through `text.write_centred`
        monkeypatch.setattr(module, "write", note)
    canvas.resize(*size)
    draw(
        canvas,
        "27",
        scale=0.8 * canvas.layout.scale,
        left=canvas.layout.sheet.left + 20,
        top=canvas.layout.sheet.top + 20,
    )
    canvas.act("why")
    View().picture(canvas)
    canvas.act("help")
    View().picture(canvas)
    assert len(written) > 10
    assert min(letters for _, _, letters, _ in written) >= 11
    if size[0] > 800:
        assert [
            words for words, (x, y), _, (height, width, _) in written if not (0 <= x <= width and 0 < y <= height)
        ] == []


@pytest.mark.parametrize("screen", [(1280, 800), (1366, 768), (1920, 1080), (3840, 2160), (7680, 2160), (800, 600)])
def test_the_window_opens_at_a_size_that_fits_the_screen(screen):
    width, height = fitting(screen)
    assert width <= 0.93 * screen[0]
    assert height <= 0.85 * screen[1]
    assert width / height == pytest.approx(BASE_WIDTH / BASE_HEIGHT, rel=0.01)
    assert height >= 0.6 * screen[1]
    assert fitting(None) == (BASE_WIDTH, BASE_HEIGHT)


def test_two_rows_are_two_lines_in_the_card_and_two_numbers_in_the_title(canvas, monkeypatch):
    written = []
    monkeypatch.setattr(panel_view, "write", lambda image, words, at, *rest, **options: written.append((words, at)))
    draw(canvas, "27", scale=0.9, left=120, top=90)
    draw(canvas, "314", scale=0.9, left=120, top=380)
    assert [[digit.label for digit in row] for row in canvas.reading.rows] == [["2", "7"], ["3", "1", "4"]]
    assert canvas.title == "27 314 - MNIST Lightning"
    View().picture(canvas)
    lines = {words: at[1] for words, at in written if words in ("2", "7", "3", "4") and at[1] < 120}
    assert lines["2"] == lines["7"] < lines["3"] == lines["4"]


def test_what_is_no_digit_is_said_to_be_none(canvas):
    class Doubting:
        predictor = canvas.reader.predictor

        def read(self, strokes):
            nothing = np.full(10, 0.1, np.float32)
            digit = DigitReading("4", 0.1, nothing, False, np.zeros((28, 28), np.uint8), (0, 0, 9, 9), (), False)
            return Reading((digit,))

    canvas.reader = Doubting()
    canvas.press(300, 300)
    canvas.move(400, 400)
    assert panel_view.verdict(canvas) == "no digit that I know"
    View().picture(canvas)


def test_a_message_stands_in_the_status_line_and_is_cut_to_fit(canvas):
    view = View()
    before = part(view.picture(canvas), canvas.layout.status).copy()
    canvas.message = "x" * 1000
    after = part(view.picture(canvas), canvas.layout.status)
    written = (after < 100).all(axis=2).any(axis=0)
    assert written[:500].any()
    assert not written[canvas.layout.status.width - 3 :].any()
    assert not np.array_equal(before, after)


@pytest.mark.parametrize("size", [(200, 200), (640, 360), (1120, 720), (1800, 1000), (300, 1000), (3840, 2160)])
def test_any_window_size_gives_a_picture_of_it(canvas, size):
    canvas.resize(*size)
    draw(canvas, "8", scale=0.2 * canvas.layout.scale, left=20, top=20)
    for key in "h?":
        canvas.key(ord(key))
    assert View().picture(canvas).shape == (size[1], size[0], 3)


def test_everything_grows_with_the_window_and_what_is_left_over_is_sheet():
    base, double, wide = Layout(1120, 720), Layout(2240, 1440), Layout(1520, 720)
    assert [layout.ui for layout in (base, double, wide)] == [1, 2, 1]
    assert [layout.scale for layout in (base, double, wide)] == [1, 2, 1]
    assert double.panel.width == 2 * base.panel.width
    assert wide.sheet.width == base.sheet.width + 400
    for layout in (base, double, wide):
        assert layout.sheet.right < layout.panel.left < layout.panel.right < layout.width
        assert layout.toolbar.bottom < layout.sheet.top
        assert layout.sheet.bottom < layout.strip.top
        assert layout.strip.bottom <= layout.status.top
        assert layout.status.bottom <= layout.height


@pytest.mark.parametrize("size", [(200, 200), (300, 1000), (500, 400), (640, 480), (800, 600)])
def test_in_a_small_window_the_sheet_stays_and_what_has_no_room_is_left_out(size):
    layout = Layout(*size)
    assert layout.ui == 11 / 14
    assert layout.sheet.width >= 150
    assert layout.sheet.height >= 100
    assert layout.sheet.bottom <= layout.status.top
    if layout.has_panel:
        assert layout.panel.right < layout.width


def test_percent_never_says_all_of_it():
    assert [panel_view.percent(share) for share in (0.0, 0.004, 0.126, 0.994, 0.9999, 1.0)] == [
        "0 %", "0 %", "13 %", "99 %", "99 %", "100 %"
    ]  # fmt: skip
