import subprocess
import sys

import torch

from mnist_lightning.run import provenance


def test_the_record_names_versions_device_and_threads():
    found = provenance.describe("cpu", "32-true")
    assert torch.__version__.startswith(found["versions"]["torch"])
    assert set(found["versions"]) == {"torch", "torchvision", "lightning", "hydra-core", "torchmetrics", "numpy"}
    assert found["python"] == sys.version.split()[0]
    assert (found["precision"], found["threads"]) == ("32-true", torch.get_num_threads())
    assert found["device"] == provenance._cpu_name()
    assert provenance.describe("mps", "32-true")["device"] == "mps"


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_record_names_the_commit_and_whether_files_in_it_were_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "package" / "provenance.py"))
    (tmp_path / "package").mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance._git() == {"git_commit": None, "git_dirty": None}
    git(tmp_path, "init")
    (tmp_path / "tracked").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert provenance._git() == {"git_commit": commit, "git_dirty": False}
    (tmp_path / "notes").write_text("untracked")
    assert provenance._git() == {"git_commit": commit, "git_dirty": False}
    (tmp_path / "tracked").write_text("2")
    assert provenance._git() == {"git_commit": commit, "git_dirty": True}


def test_without_git_the_record_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance._git() == {"git_commit": None, "git_dirty": None}
