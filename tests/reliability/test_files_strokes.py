"""Stroke files and drawings that no person made: refused in one sentence, in under 2 s and 512 MiB."""

import gzip
import json
import os
import time
from pathlib import Path

import pytest
from fixtures_memory import measured

from mnist_lightning.errors import UserError
from mnist_lightning.ink import drawings
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.strokes import Drawing, Stroke, read_digit, read_digits

LINE = json.dumps({"id": "a", "label": 7, "writer": "me", "strokes": [[[0, 0], [9, 9]]]})
MEASURE = """
import sys, time
from fixtures_memory import peak
import mnist_lightning.ink.strokes as strokes
from mnist_lightning.errors import UserError
before = peak()
began = time.process_time()
try:
    print(len(list(strokes.read_digits(sys.argv[1]))))
except UserError as error:
    print(str(error)[:300])
print(time.process_time() - began)
print(peak() - before)
"""


def cost(path: Path) -> tuple[str, float, float]:
    """What reading a file said, and the seconds and MiB that it took."""
    done = measured(MEASURE, path)
    told, seconds, memory = done.stdout.splitlines()
    return told, float(seconds), float(memory)


def packed(path: Path, piece: bytes, times: int, end: bytes = b"") -> Path:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(times):
            file.write(piece)
        file.write(end)
    return path


BOMBS = {
    "blanks in one line": (b" " * 1_000_000, 200),
    "blank lines": (b"\n" * 1_000_000, 200),
    "blank lines of blanks": ((b" " * 999 + b"\n") * 1_000, 200),
    "one line of zeros": (b"\0" * 1_000_000, 200),
    "the same drawing": ((LINE + "\n").encode() * 10_000, 40),
    "brackets": (b"[" * 1_000_000, 100),
    "digits": (b"9" * 1_000_000, 100),
}


def test_the_memory_of_a_process_is_its_own_and_not_that_of_who_started_it():
    held = bytearray(300 << 20)
    assert float(measured("from fixtures_memory import peak; print(peak())").stdout) < len(held) / 2**20
    more = "from fixtures_memory import peak; before = peak(); held = bytearray(200 << 20); print(peak() - before)"
    assert 190 < float(measured(more).stdout) < 250


@pytest.mark.parametrize("kind", BOMBS)
def test_a_small_file_that_is_large_inside_costs_neither_time_nor_memory(tmp_path, kind, within):
    piece, times = BOMBS[kind]
    path = packed(tmp_path / "bomb.jsonl.gz", piece, times)
    for _ in range(3):  # of the processor, which is shared at times
        told, seconds, memory = cost(path)
        assert told.startswith(str(path))
        assert memory < 512
        if seconds < 2:
            break
    assert within(seconds, 2)


@pytest.mark.long
def test_two_gigabytes_of_blanks_are_refused_at_once(tmp_path, within):
    path = packed(tmp_path / "bomb.jsonl.gz", b" " * 1_000_000, 2_000, LINE.encode())
    assert path.stat().st_size < 10_000_000
    told, seconds, memory = cost(path)
    assert "has more than 4,194,304 bytes" in told
    assert within(seconds, 2)
    assert memory < 512


LINES = {
    "100,000 strokes of one point": json.dumps({"label": 1, "strokes": [[[i, i]] for i in range(100_000)]}),
    "a million points": json.dumps({"label": 1, "strokes": [[[1, 1]] * 300_000]}),
    "brackets": "[" * 100_000,
    "deep strokes": '{"label": 1, "strokes": ' + "[" * 50_000 + "]" * 50_000 + "}",
    "a number of 5,000 digits": '{"label": 1, "strokes": [[[' + "9" * 5_000 + ", 1]]]}",
    "infinite": '{"label": 1, "strokes": [[[1e999, 1]]]}',
    "not a number": '{"label": 1, "strokes": [[[NaN, 1]]]}',
    "far away": '{"label": 1, "strokes": [[[1e12, 1]]]}',
    "true": '{"label": true, "strokes": [[[1, 1]]]}',
    "a label in a list": '{"label": [1], "strokes": [[[1, 1]]]}',
    "a label that is a page": json.dumps({"label": "x" * 100_000, "strokes": [[[1, 1]]]}),
    "an infinite label": '{"label": Infinity, "strokes": [[[1, 1]]]}',
    "half a surrogate pair": '{"id": "\\ud800", "label": 1, "strokes": [[[1, 1]]]}',
    "half a pair as the writer": '{"writer": "a\\udfff", "label": 1, "strokes": [[[1, 1]]]}',
    "an escape sequence": '{"writer": "\\u001b[2J", "label": 1, "strokes": [[[1, 1]]]}',
    "a zero byte": '{"writer": "a\\u0000b", "label": 1, "strokes": [[[1, 1]]]}',
    "an endless name": json.dumps({"writer": "x" * 201, "label": 1, "strokes": [[[1, 1]]]}),
    "a name that is a list": '{"writer": ["me"], "label": 1, "strokes": [[[1, 1]]]}',
    "a width of nothing": '{"widths": [0], "label": 1, "strokes": [[[1, 1]]]}',
    "a width of text": '{"widths": ["5"], "label": 1, "strokes": [[[1, 1]]]}',
    "a width of 1e300": '{"widths": [1e300], "label": 1, "strokes": [[[1, 1]]]}',
    "strokes in a mapping": '{"label": 1, "strokes": {"0": [[1, 1]]}}',
    "a text": '"strokes"',
    "no strokes": '{"label": 1}',
    "null strokes": '{"label": 1, "strokes": null}',
    "bytes that are not UTF-8": b'{"label": 1, "writer": "\xff\xfe", "strokes": [[[1, 1]]]}',
}


@pytest.mark.parametrize("kind", LINES)
def test_a_line_that_is_no_drawing_is_one_short_sentence(tmp_path, kind):
    line = LINES[kind]
    path = tmp_path / "bad.jsonl"
    path.write_bytes(LINE.encode() + b"\n" + (line if isinstance(line, bytes) else line.encode()))
    for _ in range(3):  # of the processor, which is shared at times
        began = time.process_time()
        with pytest.raises(UserError, match=r"bad\.jsonl, line 2") as caught:
            list(read_digits(path))
        if (seconds := time.process_time() - began) < 2:
            break
    assert seconds < 2
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(path)) + 250


def test_ids_and_writers_that_people_have_are_read_as_they_are():
    for name in ("Ann", "Zoë", "李", "👩‍🎓", "a b", ""):
        digit = read_digit(json.dumps({"id": name, "writer": name, "label": 3.0, "strokes": [[[1, 1]]]}), "here")
        assert (digit.id, digit.writer, digit.label) == (name, name, 3)
    assert read_digit('{"id": 17, "label": 3, "strokes": [[[1, 1]]]}', "here").id == "17"


def test_a_truncated_archive_is_one_sentence(tmp_path):
    whole = gzip.compress((LINE + "\n").encode() * 100)
    for cut in (5, len(whole) // 2, len(whole) - 4):
        path = tmp_path / "cut.jsonl.gz"
        path.write_bytes(whole[:cut])
        with pytest.raises(UserError, match=r"cut\.jsonl\.gz is not a stroke file that can be read"):
            list(read_digits(path))
    damaged = bytearray(whole)
    damaged[20:40] = bytes(20)
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r"cut\.jsonl\.gz"):
        list(read_digits(path))


@pytest.mark.parametrize("kind", ["far apart", "wide pen", "thin pen", "one point", "many points", "a spiral"])
def test_whatever_is_accepted_is_drawn_in_a_moment(kind, within):
    strokes, widths = {
        "far apart": ([[[-9e8, -9e8]], [[9e8, 9e8]]], [20, 20]),
        "wide pen": ([[[0, 0], [1, 1]]], [9e8]),
        "thin pen": ([[[0, 0], [9e8, 1]]], [1e-300]),
        "one point": ([[[0, 0]]], [1e-9]),
        "many points": ([[[i % 700, i % 611] for i in range(100_000)]], [20]),
        "a spiral": ([[[i, (i * i) % 997] for i in range(99)] for _ in range(1_000)], [3] * 1_000),
    }[kind]
    drawing = Drawing.from_data({"strokes": strokes, "widths": widths})
    began = time.process_time()
    picture = draw_digit(drawing.strokes)
    assert within(time.process_time() - began, 2)
    assert picture.dtype == "uint8"
    assert picture.size < 1_000_000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system")
def test_drawings_are_added_to_files_alone(tmp_path):
    os.mkfifo(tmp_path / drawings.FILE)
    with pytest.raises(UserError, match=r"drawings\.jsonl cannot be written \(not a file\)"):
        drawings.append(tmp_path, [Stroke([(0, 0)])], 1)


def test_half_a_line_of_a_full_disk_is_said_and_wiped_out(tmp_path, monkeypatch):
    seven = [Stroke([(0, 0), (10, 0)])]
    drawings.append(tmp_path, seven, 7)
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, content: real(file, content[: len(content) // 2]))
    with pytest.raises(UserError, match=r"drawings\.jsonl cannot be written \(No space left on device\)"):
        drawings.append(tmp_path, seven, 8)
    monkeypatch.setattr(os, "write", real)
    assert drawings.append(tmp_path, seven, 9) == 2
    assert [digit.label for digit in read_digits(tmp_path / drawings.FILE)] == [7, 9]
    assert (tmp_path / drawings.FILE).read_bytes().count(b"\n") == 3


def test_a_file_of_older_drawings_with_wiped_out_lines_is_read(tmp_path):
    path = tmp_path / "old.jsonl"
    path.write_text(LINE + "\n" * 500_000 + LINE + "\n")
    assert [digit.label for digit in read_digits(path)] == [7, 7]
