import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys

import pytest
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
    assert found["host"] == platform.node()
    assert found["cpu_capability"] == torch.backends.cpu.get_cpu_capability()


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def package(project, monkeypatch):
    """Let the package lie in the folder `project`."""
    path = project / "package" / "provenance.py"
    path.parent.mkdir(parents=True)
    path.touch()
    monkeypatch.setattr(provenance, "__file__", str(path))


@pytest.mark.parametrize("ignored", [True, False])
def test_a_package_installed_within_a_foreign_repository_takes_nothing_from_it(tmp_path, monkeypatch, ignored):
    package(tmp_path, monkeypatch)
    git(tmp_path, "init")
    (tmp_path / "theirs").write_text("1\n")
    (tmp_path / ".gitignore").write_text("package\n" * ignored)
    git(tmp_path, "add", "theirs", ".gitignore")
    git(tmp_path, "commit", "-m", "theirs")
    (tmp_path / "theirs").write_text("secret\n")
    run = tmp_path / "run"
    run.mkdir()
    assert provenance.checkout() == {"git_commit": None, "git_dirty": None, "changes_sha256": None}
    assert provenance.keep(run)["changes_sha256"] is None
    assert not (run / provenance.CHANGES).exists()


def test_the_record_names_the_commit_and_whether_files_in_it_were_changed(tmp_path, monkeypatch):
    package(tmp_path, monkeypatch)
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


def test_the_uncommitted_changes_lie_in_the_run_folder_where_there_are_any(tmp_path, monkeypatch):
    package(tmp_path / "project", monkeypatch)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    project, run = tmp_path / "project", tmp_path / "run"
    run.mkdir()
    assert provenance.keep(run)["changes_sha256"] is None  # no git
    git(project, "init")
    (project / "tracked").write_text("1\n")
    git(project, "add", ".")
    git(project, "commit", "-m", "first")
    assert provenance.keep(run)["changes_sha256"] is None
    assert not (run / provenance.CHANGES).exists()
    (project / "tracked").write_text("2\n")
    kept = provenance.keep(run)
    diff = (run / provenance.CHANGES).read_bytes()
    assert b"-1\n+2\n" in diff
    assert kept["changes_sha256"] == hashlib.sha256(diff).hexdigest() == provenance.checkout()["changes_sha256"]
    git(project, "checkout", "tracked")
    subprocess.run(["git", "-C", str(project), "apply"], input=diff, check=True)
    assert (project / "tracked").read_text() == "2\n"  # what was recorded brings the changes back
    (project / "tracked").write_text("line\n" * 1_000_000)
    for _ in range(20):
        provenance.keep(run)
        assert not list((project / ".git").glob("*.lock"))
    assert (run / provenance.CHANGES).stat().st_size == provenance.LARGEST_CHANGES


def test_all_installed_packages_lie_in_the_run_folder_with_their_versions(tmp_path):
    kept = provenance.keep(tmp_path)
    found = dict(line.split("==") for line in (tmp_path / kept["packages"]).read_text().splitlines())
    assert list(found) == sorted(found)
    own = [each for each in sys.path if not each.endswith("_vendor")]  # what setuptools brings is no installed package
    versions: dict[str, str] = {}
    for each in importlib.metadata.distributions(path=own):
        versions.setdefault(each.metadata["Name"].replace("_", "-").lower(), each.version)
    for name, version in versions.items():
        assert found.get(name, found.get(name.replace(".", "-"))) == version, name


def test_it_costs_next_to_nothing(tmp_path, within):
    provenance.describe("cpu", "32-true")

    def seconds():
        before = os.times()  # of the processor, with the commands of git: the machine may be busy with other things
        provenance.keep(tmp_path)
        return sum(after - began for began, after in zip(before[:4], os.times()[:4], strict=True))

    assert within(min(seconds() for _ in range(5)), 0.1)


def test_a_file_that_is_not_there_has_no_digest(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    assert provenance.sha256(tmp_path / "a") == hashlib.sha256(b"a").hexdigest()
    assert provenance.sha256(tmp_path / "b") is None
