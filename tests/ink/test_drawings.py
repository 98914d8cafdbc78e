"""Labelled drawings in a folder: what is added is read back, whoever else writes."""

import subprocess
import sys

import pytest

from mnist_lightning.errors import UserError
from mnist_lightning.ink import drawings
from mnist_lightning.ink.strokes import Stroke, read_digits

SEVEN = [Stroke([(0, 0), (10, 0), (4, 30)], 3.5), Stroke([(2, 15), (8, 15)], 4.0)]


def test_what_is_added_is_read_back(tmp_path):
    folder = tmp_path / "not" / "yet"
    assert drawings.append(folder, SEVEN, 7) == 1
    assert drawings.append(folder, SEVEN[:1], 1, writer="ann") == 2
    first, second = read_digits(folder / drawings.FILE)
    assert (first.label, first.writer, first.strokes) == (7, "me", SEVEN)
    assert (second.label, second.writer, second.strokes) == (1, "ann", SEVEN[:1])
    assert len({first.id, second.id}) == 2


def test_half_a_line_of_a_killed_writer_spoils_nothing(tmp_path):
    drawings.append(tmp_path, SEVEN, 7)
    path = tmp_path / drawings.FILE
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    assert drawings.append(tmp_path, SEVEN, 1) == 2
    assert [digit.label for digit in read_digits(path)] == [7, 1]


def test_several_windows_may_write_at_a_time(tmp_path):
    # Long lines, of more than one page each, so that a write in pieces would show.
    program = f"""
from mnist_lightning.ink import drawings
from mnist_lightning.ink.strokes import Stroke
for label in range(10):
    for _ in range(5):
        drawings.append({str(tmp_path)!r}, [Stroke([(i, label) for i in range(1500)])], label)
"""
    writers = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    digits = list(read_digits(tmp_path / drawings.FILE))
    assert sorted(digit.label for digit in digits) == sorted(list(range(10)) * 15)
    assert all(digit.strokes[0].points == [(i, digit.label) for i in range(1500)] for digit in digits)


def test_a_folder_that_cannot_be_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/drawings\.jsonl cannot be written \(.*\): choose another folder"):
        drawings.append(tmp_path / "file", SEVEN, 7)


def test_a_drawing_is_relabelled_and_removed_in_place_and_the_others_stay(tmp_path):
    for label, identity in ((7, "a"), (1, "b"), (4, "c")):
        drawings.append(tmp_path, SEVEN, label, identity=identity)
    size = (tmp_path / drawings.FILE).stat().st_size
    assert drawings.relabel(tmp_path, "b", 2)
    assert drawings.remove(tmp_path, "a")
    assert [(digit.id, digit.label) for digit in read_digits(tmp_path / drawings.FILE)] == [("b", 2), ("c", 4)]
    assert (tmp_path / drawings.FILE).stat().st_size == size
    assert drawings.append(tmp_path, SEVEN, 9) == 3
    assert not drawings.remove(tmp_path, "a")
    assert not drawings.relabel(tmp_path / "elsewhere", "b", 1)


def test_the_last_drawings_come_newest_first_and_lines_that_cannot_be_read_are_left_out(tmp_path):
    assert drawings.last(tmp_path, 5) == []
    for label in range(6):
        drawings.append(tmp_path, SEVEN, label, identity=str(label))
    with (tmp_path / drawings.FILE).open("a") as file:
        file.write('{"broken\n\n{"label": 3, "strokes": []}\n')
    drawings.remove(tmp_path, "4")
    assert [digit.label for digit in drawings.last(tmp_path, 3)] == [5, 3, 2]
    assert [digit.label for digit in drawings.last(tmp_path, 99)] == [5, 3, 2, 1, 0]
