import gzip
import json
from pathlib import Path

import pytest

from mnist_lightning.errors import UserError
from mnist_lightning.ink.strokes import MOST_UNDOS, Drawing, Stroke, bounds, read_digits, transformed

PEN_DIGITS = Path(__file__).with_name("pen_digits.jsonl")


def drawing_of(*paths: list[tuple[float, float]], width: float = 10) -> Drawing:
    drawing = Drawing()
    for path in paths:
        drawing.begin(*path[0], width)
        for point in path[1:]:
            drawing.move(*point)
        drawing.end()
    return drawing


def test_a_gesture_becomes_one_stroke_without_repeated_points() -> None:
    drawing = drawing_of([(0, 0), (0, 0), (5, 0), (5, 0), (9, 1)])
    drawing.move(50, 50)  # the pen is up
    assert drawing.strokes == [Stroke([(0, 0), (5, 0), (9, 1)], 10)]


def test_undo_and_redo_walk_through_strokes_and_clearing() -> None:
    drawing = drawing_of([(0, 0), (5, 0)], [(0, 9)])
    drawing.clear()
    counts = [len(drawing.strokes)]
    for step in (drawing.undo, drawing.undo, drawing.redo, drawing.redo, drawing.undo):
        assert step()
        counts.append(len(drawing.strokes))
    assert counts == [0, 2, 1, 2, 0, 2]


def test_undo_of_nothing_and_redo_after_a_new_stroke_say_no() -> None:
    drawing = Drawing()
    assert not drawing.undo()
    drawing = drawing_of([(0, 0)])
    drawing.undo()
    drawing.begin(1, 1)
    assert not drawing.redo()
    assert len(drawing.strokes) == 1


def test_undo_in_the_middle_of_a_stroke_takes_that_stroke_back() -> None:
    drawing = drawing_of([(0, 0), (5, 0)])
    drawing.begin(20, 20)
    drawing.move(30, 30)
    drawing.undo()
    drawing.move(40, 40)
    assert drawing.strokes == [Stroke([(0, 0), (5, 0)], 10)]


def test_the_eraser_cuts_a_line_in_two_with_a_gap_as_wide_as_itself() -> None:
    drawing = drawing_of([(0, 0), (100, 0)], [(0, 80), (100, 80)])
    untouched = drawing.strokes[1]
    drawing.begin_erase(50, -30, radius=15)
    drawing.move(50, 30)
    drawing.end()
    left, right, below = drawing.strokes
    # Ink reaches half a pen (5) beyond its path, so the path ends 20 from the eraser's way.
    assert 26 <= max(x for x, _ in left.points) <= 30
    assert 70 <= min(x for x, _ in right.points) <= 74
    assert below is untouched
    assert drawing.undo()
    assert [len(stroke.points) for stroke in drawing.strokes] == [2, 2]


def test_a_fast_eraser_misses_nothing_on_its_way() -> None:
    drawing = drawing_of([(50, 50), (52, 50)])
    drawing.begin_erase(0, 50, radius=3)
    drawing.move(200, 50)
    drawing.end()
    assert drawing.strokes == []


def test_erasing_blank_paper_is_nothing_to_undo() -> None:
    drawing = drawing_of([(0, 0), (5, 0)])
    drawing.begin_erase(500, 500, radius=10)
    drawing.move(400, 500)
    drawing.end()
    drawing.undo()
    assert drawing.strokes == []


def test_erasing_blank_paper_leaves_what_can_be_redone() -> None:
    drawing = drawing_of([(0, 0), (5, 0)], [(0, 50), (5, 50)])
    drawing.undo()
    drawing.begin_erase(500, 500, radius=10)
    drawing.move(400, 500)
    assert drawing.can_redo
    drawing.end()
    assert drawing.redo()
    assert len(drawing.strokes) == 2


def test_erasing_ink_leaves_nothing_to_redo_and_is_one_gesture() -> None:
    drawing = drawing_of([(0, 0), (5, 0)], [(0, 50), (5, 50)], [(0, 90), (5, 90)])
    drawing.undo()
    drawing.begin_erase(0, 200, radius=3)
    drawing.move(2, 60)
    assert drawing.can_redo
    drawing.move(2, 40)
    assert not drawing.can_redo
    drawing.move(2, -10)
    drawing.end()
    assert drawing.strokes == []
    assert drawing.undo()
    assert [stroke.points[0] for stroke in drawing.strokes] == [(0, 0), (0, 50)]


def test_erasing_blank_paper_forgets_no_gesture_of_a_long_history() -> None:
    drawing = Drawing()
    for place in range(MOST_UNDOS):
        drawing.begin(place, 0)
    drawing.begin_erase(0, 500, radius=10)
    drawing.end()
    while drawing.undo():
        pass
    assert drawing.strokes == []


def test_a_drawing_survives_json() -> None:
    drawing = drawing_of([(0.5, 1.25), (3, 4)], [(7, 8)], width=12.5)
    data = json.loads(json.dumps(drawing.to_data()))
    assert data == {"strokes": [[[0.5, 1.25], [3, 4]], [[7, 8]]], "widths": [12.5, 12.5]}
    assert Drawing.from_data(data).strokes == drawing.strokes


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ([], "strokes"),
        ({"strokes": 3}, "lists"),
        ({"strokes": [[[1, 2, 3]]]}, r"\[1, 2, 3\]"),
        ({"strokes": [[[1, float("nan")]]]}, "finite"),
        ({"strokes": [[["1", 2]]]}, "finite"),
        ({"strokes": [[[1, 2]]], "widths": []}, "0 widths"),
        ({"strokes": [[[1, 2]]], "widths": [-1]}, "positive"),
        ({"strokes": [[[1, 2]] * 100_001]}, "100,000 points"),
        ({"strokes": [[[1, 2]]] * 1_001}, "1,000 strokes, not 1,001"),
    ],
)
def test_what_is_no_drawing_is_named(data: object, named: str) -> None:
    with pytest.raises(UserError, match=named):
        Drawing.from_data(data)


def test_a_stroke_file_is_read_plain_and_compressed(tmp_path: Path) -> None:
    digits = list(read_digits(PEN_DIGITS))
    packed = tmp_path / "digits.jsonl.gz"
    packed.write_bytes(gzip.compress(PEN_DIGITS.read_bytes()))
    assert [digit.label for digit in digits] == list(range(10))
    assert len({digit.writer for digit in digits}) == 10
    assert list(read_digits(packed)) == digits
    first = json.loads(PEN_DIGITS.read_text().splitlines()[0])
    assert digits[0].strokes[0].points == [tuple(point) for point in first["strokes"][0]]


@pytest.mark.parametrize("line", ["{", '{"strokes": []}', '{"strokes": [], "label": 10}', "[1]"])
def test_a_wrong_line_is_named_with_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"strokes": [[[1, 2]]], "label": 3}\n\n' + line + "\n")
    with pytest.raises(UserError, match=r"bad\.jsonl, line 3"):
        list(read_digits(path))


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no stroke file .*none\.jsonl"):
        list(read_digits(tmp_path / "none.jsonl"))
    (tmp_path / "broken.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(UserError, match=r"broken\.jsonl\.gz"):
        list(read_digits(tmp_path / "broken.jsonl.gz"))


def test_transformed_moves_scales_and_thickens() -> None:
    (stroke,) = transformed([Stroke([(1, 2), (3, 6)], 4)], scale=2, dx=10, dy=-1)
    assert stroke == Stroke([(12, 3), (16, 11)], 8)
    assert bounds([stroke]) == (12, 3, 16, 11)
    assert bounds([]) is None


def test_the_history_says_whether_there_is_something_and_forgets_what_is_long_ago():
    drawing = Drawing()
    assert (drawing.can_undo, drawing.can_redo) == (False, False)
    for place in range(MOST_UNDOS + 20):
        drawing.begin(place, 0)
        drawing.end()
    for _ in range(MOST_UNDOS):
        assert drawing.can_undo
        assert drawing.undo()
    assert (drawing.can_undo, drawing.can_redo) == (False, True)
    assert len(drawing.strokes) == 20
