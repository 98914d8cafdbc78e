"""Files are written whole or not at all: a reader or a killed process sees the old one or the new one."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_lightning.errors import UserError
from mnist_lightning.run import files


def test_json_has_null_where_numbers_are_not_finite(tmp_path):
    path = tmp_path / "metrics.json"
    files.write_json(path, {"loss": [1.5, float("nan")], "deep": {"worst": float("-inf"), "name": "nan"}, "t": (1, 2)})
    text = path.read_text()
    assert json.loads(text) == {"loss": [1.5, None], "deep": {"worst": None, "name": "nan"}, "t": [1, 2]}
    assert "NaN" not in text
    assert text.endswith("}\n")


def test_a_list_of_numbers_stands_on_one_line_and_a_matrix_has_a_line_per_row(tmp_path):
    path = tmp_path / "metrics.json"
    files.write_json(
        path, {"loss": [1.5, 0.5], "matrix": [[1, 2], [3, 4]], "empty": {}, "none": [], "deep": {"a": [1]}}
    )
    assert path.read_text() == (
        '{\n  "loss": [1.5, 0.5],\n  "matrix": [\n    [1, 2],\n    [3, 4]\n  ],\n  "empty": {},\n  "none": [],\n'
        '  "deep": {\n    "a": [1]\n  }\n}\n'
    )


def fill_the_disk(monkeypatch):
    """Let every write fail after five bytes, as on a full disk."""
    whole = Path.open

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            self.file.write(data[:5])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(
        Path,
        "open",
        lambda self, mode="r", *more, **also: Full(whole(self, mode)) if "w" in mode else whole(self, mode),
    )


def test_a_full_disk_is_said_in_one_sentence_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    files.write_json(path, {"epoch": 1})
    with monkeypatch.context() as patch:
        fill_the_disk(patch)
        with pytest.raises(
            UserError, match=r"metrics\.json cannot be written \(No space left on device\); what was the"
        ):
            files.write_json(path, {"epoch": 2})
    assert json.loads(path.read_text()) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]  # no half file stays behind


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "metrics.json"
    files.write_json(path, {"epoch": 1})
    with pytest.raises(TypeError):
        files.write_json(path, {"epoch": object()})

    def stumble(file):
        file.write(b"half")
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        files.write_atomically(path, stumble)
    assert json.loads(path.read_text()) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]
    files.write_json(path, {"epoch": 3})
    assert json.loads(path.read_text()) == {"epoch": 3}


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UserError, match=r"cannot be written \(No such file or directory\)"):
        files.write_text(tmp_path / "nowhere" / "a.txt", "a")


def test_content_is_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda handle: done.append("fsync"))
    rename = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: done.append("rename") or rename(self, target))
    files.write_text(tmp_path / "a.txt", "ä")
    assert done[:2] == ["fsync", "rename"]
    assert (tmp_path / "a.txt").read_bytes() == "ä".encode()


def test_a_disk_that_flushes_no_folders_takes_files_all_the_same(tmp_path, monkeypatch):
    flush = os.fsync

    def refuse_folders(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        flush(handle)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    files.write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


KILLED = """
import os, signal, sys
from pathlib import Path
from mnist_lightning.run import files

def die(file):
    file.write(b"half of the new")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

files.write_atomically(Path(sys.argv[1]), die)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_process_killed_in_the_midst_leaves_the_old_file(tmp_path):
    path = tmp_path / "best.ckpt"
    path.write_bytes(b"the old one")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"the old one"
