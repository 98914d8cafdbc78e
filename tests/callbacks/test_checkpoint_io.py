"""Lightning's checkpoints reach the disk whole or not at all."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from mnist_lightning.callbacks.checkpoint_io import AtomicCheckpointIO
from mnist_lightning.errors import UserError

KEPT = {"weight": torch.arange(6.0), "epoch": 3}


@pytest.fixture
def path(tmp_path):
    """A checkpoint on disk."""
    path = tmp_path / "checkpoints" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(KEPT, path)
    return path


def is_whole(path):
    content = torch.load(path, weights_only=True)
    return content["epoch"] == 3 and torch.equal(content["weight"], KEPT["weight"])


def test_it_makes_the_folder_and_what_it_writes_is_read_by_lightnings_own_way(path):
    assert is_whole(path)
    assert AtomicCheckpointIO().load_checkpoint(path)["epoch"] == 3
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def test_a_full_disk_is_said_in_one_sentence_and_leaves_the_old_checkpoint(path, monkeypatch):
    """A real file system that refuses every byte."""
    if not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("needs /dev/full")
    from pathlib import Path

    whole = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda self, mode="r", *more, **also: whole(Path("/dev/full"), mode) if "w" in mode else whole(self, mode),
    )
    with pytest.raises(UserError, match=r"last\.ckpt cannot be written \(No space left on device\)"):
        AtomicCheckpointIO().save_checkpoint({"epoch": 4, "weight": torch.zeros(1000)}, path)
    assert is_whole(path)
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "file" / "last.ckpt")


KILLED = """
import os, signal, sys
from mnist_lightning.callbacks.checkpoint_io import AtomicCheckpointIO

os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
AtomicCheckpointIO().save_checkpoint({"epoch": 4}, sys.argv[1])
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_process_killed_in_the_midst_leaves_the_old_checkpoint(path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL
    assert is_whole(path)
