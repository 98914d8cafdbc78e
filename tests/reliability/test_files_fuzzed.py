"""Files from generators: whatever they hold, they are read, or they end in one sentence. Finds of the fuzzers too.

`tests/fuzz/run.py` feeds the same readers for as long as one likes.
"""

import gzip
import json
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parent.parent / "fuzz"))
from targets import TARGETS, one

from mnist_lightning.errors import UserError
from mnist_lightning.ink.raster import draw_digit
from mnist_lightning.ink.strokes import Drawing, read_digit
from mnist_lightning.models.card import check_card
from mnist_lightning.run.record_check import check_record
from mnist_lightning.run.untrusted import plain_data_fault, short, text_fault

# The short form tries the same examples each time; the long one looks for new ones.
QUICK = settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
LONG = settings(QUICK, max_examples=3_000, derandomize=False)

WORDS = st.sampled_from(
    ["strokes", "label", "id", "writer", "widths", "format", "network", "name", "_target_", "members", "class_names",
     "image_size", "settings", "status", "history", "best", "test", "timing", "epoch", "val_loss", "val_accuracy",
     "checkpoint", "hyperparameters", "overrides", "command", "finished", "running", "mlp", "cnn", "ensemble",
     "os.system", "hidden_sizes", "channels", "kernels", "pools", "seed", "dataset", "environment", "git_commit",
     "runs", "folder"]
)  # fmt: skip
NUMBERS = st.integers() | st.integers(0, 30) | st.floats()
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=20) | WORDS
PLAIN = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(WORDS, inner, max_size=6), max_leaves=30
)
MAPPINGS = st.dictionaries(WORDS, PLAIN, max_size=10)
POINTS = st.lists(st.floats(-1e8, 1e8) | st.integers(-1000, 1000), min_size=2, max_size=2)
STROKES = st.lists(st.lists(POINTS, max_size=8), max_size=6)

BINARY = ("checkpoint", "pickle", "safetensors", "onnx", "idx")
FINDS = [
    ("idx", b"\0\0"),  # was an IndexError
    ("idx", b"\0\0\x08"),
    ("card_text", b"\n\xd6\nB"),
    ("strokes", b'{"label": 1, "strokes": [[[1, 2]]], "id": "\\ud800"}'),  # was a segmentation fault in OpenCV
    ("yaml", b"[" * 10_000),  # was a crash of libyaml
    ("yaml", b"{" * 100_000),
    ("pickle", b"\x80\x02}q\x00(X\x0a\x00\x00\x00state_dictq\x01]q\x02u."),
]


@pytest.mark.parametrize(("target", "data"), FINDS)
def test_what_a_fuzzer_once_found_is_one_sentence(target, data):
    one(target, data)


def structured(target: str, data: object) -> bytes:
    text = json.dumps(data).encode()
    return gzip.compress(text) if target == "strokes_gz" else text


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.parametrize("target", TARGETS)
@given(data=st.binary(max_size=300))
@QUICK
def test_any_bytes_are_read_or_refused(target, data):
    one(target, data)


@pytest.mark.parametrize("target", [name for name in TARGETS if name not in BINARY])
@given(data=MAPPINGS | PLAIN)
@QUICK
def test_any_json_is_read_or_refused(target, data):
    one(target, structured(target, data))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
@pytest.mark.parametrize("target", TARGETS)
@given(data=st.binary(max_size=300) | (MAPPINGS | PLAIN).map(lambda data: json.dumps(data).encode()))
@LONG
def test_any_bytes_are_read_or_refused_many_times(target, data):
    one(target, data)


@given(strokes=STROKES, widths=st.floats(1e-6, 1e6))
@QUICK
def test_any_drawing_comes_back_from_its_data_and_is_drawn(strokes, widths):
    drawing = Drawing.from_data({"strokes": strokes, "widths": [widths] * len(strokes)})
    again = Drawing.from_data(json.loads(json.dumps(drawing.to_data()))) if widths > 0.01 else drawing
    assert [len(stroke.points) for stroke in again.strokes] == [len(points) for points in strokes if points]
    if drawing.strokes:
        assert draw_digit(drawing.strokes).size < 1_000_000


@given(name=st.text(max_size=300), label=st.integers(-5, 15))
@QUICK
def test_a_name_is_read_as_it_is_or_refused(name, label):
    line = json.dumps({"writer": name, "label": label, "strokes": [[[0, 0]]]})
    fits = text_fault(name, 200) is None and 0 <= label <= 9
    if fits:
        assert read_digit(line, "here").writer == name
    else:
        with pytest.raises(UserError):
            read_digit(line, "here")


@given(card=MAPPINGS)
@QUICK
def test_a_card_that_is_taken_is_plain_and_named(card):
    try:
        check_card(card, "here")
    except UserError:
        return
    assert plain_data_fault(card) is None
    assert len(card["class_names"]) >= 2


@given(record=MAPPINGS)
@QUICK
def test_a_record_that_is_taken_has_a_status_and_numbers(record):
    try:
        check_record(record, "here")
    except UserError:
        return
    assert record["status"] in ("finished", "running")
    assert isinstance(record.get("best") or {}, dict)


@given(value=PLAIN | st.binary() | st.text())
@QUICK
def test_any_value_is_shown_short_and_printable(value):
    assert len(short(value)) <= 60
    assert short(value).isprintable()
