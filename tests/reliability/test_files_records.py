"""Damaged records, collections of records, and YAML files: one sentence each, and the others are still read."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnist_lightning.errors import UserError
from mnist_lightning.run import untrusted
from mnist_lightning.run.record import METRICS_FILE
from mnist_lightning.run.record_check import check_record, read_record, read_records
from mnist_lightning.sweeps import collect

PROJECT = Path(__file__).parent.parent.parent

RECORD = {
    "schema_version": 1,
    "status": "finished",
    "command": "python scripts/train.py 'model.channels=[8, 16]'",
    "overrides": ["model.channels=[8, 16]"],
    "experiment": None,
    "choices": {"model": "cnn"},
    "dataset": {"name": "mnist", "requested": "auto", "train": 55_000, "val": 5_000, "test": 10_000},
    "seed": 3,
    "history": {"epoch": [1, 2], "train_loss": [0.5, None], "val_loss": [0.4, 0.3], "val_accuracy": [0.9, 0.95]},
    "best": {"epoch": 2, "val_loss": 0.3, "val_accuracy": 0.95, "checkpoint": "checkpoints/best.ckpt"},
    "test": {"accuracy": 0.96, "loss": 0.2, "classes": [{"name": "0"}]},
    "hyperparameters": {"model": {"name": "cnn", "channels": [8, 16]}, "optimizer": {"lr": 0.01}},
    "parameters": 1234,
    "timing": {"startup_seconds": 1.0, "fit_seconds": 9.5, "seconds_per_epoch": [4.0, 5.5]},
    "environment": {"git_commit": "ab" * 20, "git_dirty": False, "device": "cpu", "torch": "2.15.0"},
    "error": "a line\nand another",
}


def nested(key: str, value: object, inner: str) -> dict:
    return {**RECORD, key: {**RECORD[key], inner: value}}


WRONG = {
    "brackets": "[[[[",
    "a hundred thousand brackets": "[" * 100_000,
    "a hundred deep": "[" * 100 + "]" * 100,
    "nothing": "",
    "half": json.dumps(RECORD)[:400],
    "zeros": "\0" * 1000,
    "null": "null",
    "a list": [RECORD],
    "a text": "finished",
    "empty": {},
    "an unknown status": {**RECORD, "status": "done"},
    "a status in a list": {**RECORD, "status": ["finished"]},
    "a status that is a page": {**RECORD, "status": "x" * 100_000},
    "a number of 5,000 digits": '{"status": "finished", "parameters": ' + "9" * 5_000 + "}",
    "a history in a list": {**RECORD, "history": [1, 2]},
    "a history of texts": nested("history", ["0.5", "0.4"], "val_loss"),
    "a history of different lengths": nested("history", [0.5], "val_loss"),
    "a history that is a number": nested("history", 0.5, "val_loss"),
    "an infinite accuracy": '{"status": "finished", "best": {"val_accuracy": Infinity}}',
    "an accuracy that is not a number": '{"status": "finished", "best": {"val_accuracy": NaN}}',
    "an accuracy of 99": nested("best", 99.1, "val_accuracy"),
    "an accuracy of text": nested("test", "0.99", "accuracy"),
    "a best epoch of text": nested("best", "two", "epoch"),
    "best in a list": {**RECORD, "best": [0.9]},
    "test that is true": {**RECORD, "test": True},
    "a checkpoint elsewhere": nested("best", "/etc/passwd", "checkpoint"),
    "a checkpoint above": nested("best", "../../other/best.ckpt", "checkpoint"),
    "a checkpoint on another drive": nested("best", "D:\\best.ckpt", "checkpoint"),
    "timing of text": nested("timing", "long", "fit_seconds"),
    "parameters of text": {**RECORD, "parameters": "many"},
    "parameters of 10 ** 30": {**RECORD, "parameters": 10**30},
    "a seed in a mapping": {**RECORD, "seed": {"a": 1}},
    "a commit that is a number": nested("environment", 7, "git_commit"),
    "an environment of text": {**RECORD, "environment": "linux"},
    "overrides in a text": {**RECORD, "overrides": "model=cnn"},
    "overrides of numbers": {**RECORD, "overrides": [1, 2]},
    "a command that is a list": {**RECORD, "command": ["python"]},
    "a command with half a quotation": {**RECORD, "command": "python 'scripts"},
    "hyperparameters in a list": {**RECORD, "hyperparameters": [1]},
    "choices of text": {**RECORD, "choices": "model"},
    "a data set of text": {**RECORD, "dataset": "mnist"},
    "members of numbers": {**RECORD, "members": [3]},
    "an error that is a mapping": {**RECORD, "error": {"a": 1}},
    "an escape sequence": {**RECORD, "error": "\x1b[2J"},
    "half a surrogate pair": {**RECORD, "choices": {"model": "\ud800"}},
}


def text_of(record: object) -> str:
    return record if isinstance(record, str) and record != "finished" else json.dumps(record)


@pytest.mark.parametrize("kind", WRONG)
def test_a_damaged_record_is_one_sentence(tmp_path, kind):
    path = tmp_path / METRICS_FILE
    path.write_text(text_of(WRONG[kind]))
    began = time.process_time()
    with pytest.raises(UserError, match=r"training_metrics\.json is not ") as caught:
        read_record(path)
    assert time.process_time() - began < 2
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(path)) + 250


@pytest.mark.parametrize("status", ["running", "finished", "interrupted", "failed", "pruned"])
def test_a_record_is_read_as_it_is(tmp_path, status):
    path = tmp_path / METRICS_FILE
    record = {**RECORD, "status": status, "something": ["new"]}
    path.write_text(json.dumps(record))
    assert read_record(path) == record
    assert check_record({"status": status}, "here") == {"status": status}


def test_the_records_that_ship_are_read():
    assert len(read_records(PROJECT / "docs/results.json")) > 30


def test_a_huge_record_is_refused_before_it_is_parsed(tmp_path):
    path = tmp_path / METRICS_FILE
    with path.open("wb") as file:
        file.truncate(10 << 30)  # 10 GiB of nothing on no disk
    began = time.process_time()
    with pytest.raises(UserError, match=r"training_metrics\.json is too large: at most 16,777,216 bytes are read"):
        read_record(path)
    assert time.process_time() - began < 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / METRICS_FILE)
    with pytest.raises(UserError, match="it is not a file"):
        read_record(tmp_path / METRICS_FILE)


def test_a_broken_run_folder_does_not_stop_the_others(tmp_path):
    for number, record in enumerate([RECORD, *WRONG.values(), {**RECORD, "seed": 4}]):
        folder = tmp_path / f"{number:03}"
        folder.mkdir()
        (folder / METRICS_FILE).write_text(text_of(record))
    found, broken = collect.read(collect.find(tmp_path))
    assert [run.metrics["seed"] for run in found] == [3, 4]
    assert len(broken) == len(WRONG)
    for run in found:
        assert run.settings["model.channels"] == [8, 16]
        assert run.number("test_accuracy") == 0.96
    assert [each["seed"] for each in collect.export(found)["runs"]] == [3, 4]


def test_results_goes_on_past_broken_run_folders(tmp_path):
    for name, record in (("whole", RECORD), ("brackets", "[[[["), ("list", [1]), ("wrong", WRONG["timing of text"])):
        (tmp_path / name).mkdir()
        (tmp_path / name / METRICS_FILE).write_text(text_of(record))
    command = [sys.executable, PROJECT / "scripts/results.py", f"runs={tmp_path}"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(PROJECT)}
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert (done.stdout + done.stderr).count("Left out:") == 3
    assert "96.00 %" in done.stdout


@pytest.mark.parametrize(
    "text",
    ["[[[[", "[]", "{}", '{"runs": 3}', '{"runs": [3]}', '{"runs": [{}]}', '{"runs": [{"status": "finished"}]}',
     '{"runs": [{"folder": 3, "status": "finished"}]}', '{"runs": [{"folder": "a", "status": "done"}]}',
     json.dumps({"runs": [{"folder": "a", **WRONG["a seed in a mapping"]}]})],
)  # fmt: skip
def test_a_collection_of_no_records_is_one_sentence(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"results\.json") as caught:
        collect.load(path)
    assert str(caught.value).isprintable()


# --- YAML ---------------------------------------------------------------------------------------

BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))]
)
MERGE_BOMB = "\n".join(
    ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 10))]
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "it stands for more than 1,000,000 values"),
        (MERGE_BOMB, "it stands for more than 1,000,000 values"),
        ("&a [*a]", "nested too deeply"),
        ("a: &a {b: *a}", "nested too deeply"),
        ("[" * 10_000, "is not valid"),
        ("{" * 100_000, "is not valid"),
        ("- " * 5_000 + "x", "nested too deeply"),
        ("a: [", "is not valid YAML"),
        ("a: b: c", "is not valid YAML"),
        ("!!python/object/apply:os.system ['id']", "is not valid YAML"),
        ("!!python/name:os.system", "is not valid YAML"),
        ("a: 9999-99-99", "is not valid YAML"),
        ("? [1]\n: 2", "is not valid YAML"),
        ("a: 1\n---\nb: 2", "is not valid YAML"),
        ("\0", "is not valid YAML"),
        ("a: \ud800", "is not valid YAML"),
        ("x" * 300_000, "is too large: at most 262,144 bytes are read"),
    ],
)
def test_a_yaml_file_that_is_a_trap_is_one_sentence(tmp_path, text, told):
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    began = time.process_time()
    with pytest.raises(UserError, match=r"config\.yaml is") as caught:
        untrusted.read_yaml(path)
    assert time.process_time() - began < 2
    assert told in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_yaml_file_of_ours_is_read_with_its_aliases(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("lr: &lr 0.01\nother: *lr\nlist: [1, two, null, true]\n")
    assert untrusted.read_yaml(path) == {"lr": 0.01, "other": 0.01, "list": [1, "two", None, True]}
    path.write_text("")
    assert untrusted.read_yaml(path) is None


# --- what messages are made of ------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["x" * 10_000, "\ud800", "\x1b[2J", list(range(10_000)), {"a": "b" * 999}, 10**3000, b"\0"]
)
def test_a_value_in_a_message_is_short_and_printable(value):
    assert len(untrusted.short(value)) <= 60
    assert untrusted.short(value).isprintable()


def test_plain_data_that_refers_to_itself_ends():
    data: list = []
    data.append(data)
    assert untrusted.plain_data_fault(data) == "is nested more than 32 levels deep"
    wide: list = [0]
    for _ in range(20):
        wide = [wide, wide]
    assert untrusted.plain_data_fault(wide, most=1000) == "holds more than 1,000 values"
    assert untrusted.plain_data_fault({"a": [1, 2.5, "b", None, True, (3,)]}) is None
