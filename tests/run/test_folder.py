import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnist_lightning.errors import UserError
from mnist_lightning.run import folder as runs


@pytest.fixture
def latest_run(tmp_path):
    """A finished run under tmp_path, marked as the latest."""
    run = tmp_path / "train" / "2026-01-02" / "03-04-05-abcdef"
    (run / "checkpoints").mkdir(parents=True)
    (run / runs.BEST).write_bytes(b"weights")
    runs.mark_latest(run, tmp_path)
    return run


def test_a_run_folder_is_named_after_its_moment_and_made(tmp_path):
    before = time.strftime("%Y-%m-%d %H-%M-%S")
    folder = Path(runs.new_run_folder(str(tmp_path / "deep" / "outputs")))
    after = time.strftime("%Y-%m-%d %H-%M-%S")
    clock, short_id = folder.name.rsplit("-", 1)
    assert folder.is_dir()
    assert folder.parent.parent == tmp_path / "deep" / "outputs"
    assert before <= f"{folder.parent.name} {clock}" <= after
    assert len(short_id) == 6
    assert int(short_id, 16) >= 0


def test_a_process_and_its_workers_keep_their_run_folder_until_it_is_forgotten(tmp_path):
    first = runs.new_run_folder(str(tmp_path))
    assert runs.new_run_folder(str(tmp_path)) == first
    command = f"from mnist_lightning.run import folder; print(folder.new_run_folder({str(tmp_path)!r}))"
    assert subprocess.check_output([sys.executable, "-c", command], text=True).strip() == first
    runs.forget_run_folder()
    assert runs.new_run_folder(str(tmp_path)) != first


def test_a_name_that_is_taken_is_never_shared(tmp_path, monkeypatch):
    monkeypatch.setattr(runs.time, "strftime", lambda form: "now")
    ids = iter(["aaaaaa", "aaaaaa", "aaaaaa", "bbbbbb"])
    monkeypatch.setattr(runs.secrets, "token_hex", lambda count: next(ids))
    first = runs.new_run_folder(str(tmp_path))
    runs.forget_run_folder()
    second = runs.new_run_folder(str(tmp_path))
    assert [Path(first).name, Path(second).name] == ["now-aaaaaa", "now-bbbbbb"]


FORTY = """
import os, random, sys, time
from mnist_lightning.run import folder as runs

# Of 60 possible names in a second, 40 processes are bound to want the same ones.
runs.secrets.token_hex = lambda count: f"{random.randrange(60):06x}"
begin = time.time() + 0.5
for child in range(40):
    if os.fork() == 0:
        random.seed(child)
        while time.time() < begin:
            pass
        os.write(1, (runs.new_run_folder(sys.argv[1]) + "\\n").encode())
        os._exit(0)
for child in range(40):
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its processes")
def test_forty_runs_started_in_the_same_second_get_forty_folders(tmp_path):
    made = subprocess.check_output([sys.executable, "-c", FORTY, str(tmp_path)], text=True).split()
    assert len(made) == 40
    assert set(made) == {str(folder) for folder in tmp_path.glob("*/*")}
    assert len(set(made)) == 40


@pytest.mark.parametrize("outputs", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_said(tmp_path, outputs):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"run folder .*file.* cannot be made \(Not a directory\).*outputs="):
        runs.new_run_folder(str(tmp_path / outputs))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that refuses folders")
def test_a_file_system_that_refuses_folders_is_said():
    with pytest.raises(UserError, match=r"cannot be made \(.*\): choose another with `outputs=`\."):
        runs.new_run_folder("/proc/self/outputs")


def test_a_file_in_place_of_the_days_folder_is_said(tmp_path):
    (tmp_path / time.strftime("%Y-%m-%d")).write_text("")
    with pytest.raises(UserError, match=r"is not a folder: move it away"):
        runs.new_run_folder(str(tmp_path))


def test_latest_is_a_relative_link_to_the_last_marked_run(tmp_path, latest_run):
    assert runs.latest(tmp_path) == latest_run
    assert os.readlink(tmp_path / "latest") == "train/2026-01-02/03-04-05-abcdef"  # noqa: PTH115
    newer = latest_run.with_name("04-00-00-000000")
    newer.mkdir()
    runs.mark_latest(newer, tmp_path)
    assert runs.latest(tmp_path) == newer
    assert {path.name for path in tmp_path.iterdir()} == {"train", "latest"}


def test_latest_survives_moving_the_outputs(tmp_path):
    run = tmp_path / "outputs" / "train" / "run"
    run.mkdir(parents=True)
    runs.mark_latest(run, tmp_path / "outputs")
    (tmp_path / "outputs").rename(tmp_path / "elsewhere")
    assert runs.latest(tmp_path / "elsewhere") == tmp_path / "elsewhere" / "train" / "run"


def test_latest_is_a_text_file_where_links_cannot_be_made(tmp_path, latest_run, monkeypatch):
    def refused(self, *args, **kwargs):
        raise OSError(1314, "A required privilege is not held by the client")

    newer = latest_run.with_name("04-00-00-000000")
    newer.mkdir()
    monkeypatch.setattr(Path, "symlink_to", refused)
    runs.mark_latest(newer, tmp_path)
    assert (tmp_path / "latest").read_text() == "train/2026-01-02/04-00-00-000000"
    assert runs.latest(tmp_path) == newer
    runs.mark_latest(latest_run, tmp_path)
    assert runs.latest(tmp_path) == latest_run


def test_without_a_finished_run_there_is_no_latest(tmp_path, latest_run):
    assert runs.latest(tmp_path / "nowhere") is None
    for path in (latest_run / runs.BEST, latest_run / "checkpoints", latest_run):
        path.unlink() if path.is_file() else path.rmdir()
    assert runs.latest(tmp_path) is None  # the link dangles


def test_ckpt_takes_a_file_a_run_folder_latest_or_pretrained(tmp_path, latest_run):
    best = latest_run / runs.BEST
    assert runs.find_checkpoint(str(best), tmp_path) == (best, str(best))
    assert runs.find_checkpoint(str(latest_run), tmp_path) == (best, str(latest_run))
    assert runs.find_checkpoint("latest", tmp_path) == (best, f"latest, {latest_run}")
    path, word = runs.find_checkpoint("pretrained", tmp_path)
    assert path == runs.PRETRAINED
    assert word.startswith("pretrained, ")


def test_a_home_folder_may_be_shortened(tmp_path, latest_run, monkeypatch):
    monkeypatch.setenv("HOME", str(latest_run))
    monkeypatch.setenv("USERPROFILE", str(latest_run))
    assert runs.find_checkpoint(f"~/{runs.BEST}", tmp_path)[0] == latest_run / runs.BEST


def test_without_ckpt_the_latest_run_is_taken_and_else_the_pretrained_network(tmp_path, latest_run):
    assert runs.find_checkpoint(None, tmp_path)[0] == latest_run / runs.BEST
    assert runs.find_checkpoint(None, tmp_path / "elsewhere")[0] == runs.PRETRAINED


def test_a_checkpoint_that_is_not_there_is_said(tmp_path, latest_run):
    with pytest.raises(UserError, match=r"^There is no checkpoint nowhere\.ckpt: give a \.ckpt file, a run folder, "):
        runs.find_checkpoint("nowhere.ckpt", tmp_path)
    with pytest.raises(UserError, match=r"^There is no finished run under .*elsewhere yet: train one with "):
        runs.find_checkpoint("latest", tmp_path / "elsewhere")
    (latest_run / runs.BEST).unlink()
    for ckpt in (str(latest_run), "latest", None):
        with pytest.raises(UserError, match=r"run folder .*03-04-05-abcdef holds no checkpoints/best\.ckpt"):
            runs.find_checkpoint(ckpt, tmp_path)


def test_a_file_system_that_has_become_read_only_is_one_sentence(tmp_path, monkeypatch):
    import errno

    from mnist_lightning.errors import UserError
    from mnist_lightning.run import files

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)  # which Linux refuses before it looks whether there is such a file
    with pytest.raises(UserError, match=r"cannot be written \(Read-only file system\); what was there before"):
        files.write_text(tmp_path / "a.txt", "b")


def test_the_folder_that_one_stands_in_is_not_removed_with_what_was_in_it(tmp_path, monkeypatch):
    here = tmp_path / "empty" / "here"
    (here / "mine").mkdir(parents=True)
    monkeypatch.chdir(here)
    runs.remove_with_empty_parents(Path("mine").absolute())
    assert list(here.iterdir()) == []
    (here / "outputs" / "train" / "a-day" / "a-run").mkdir(parents=True)
    runs.remove_with_empty_parents(Path("outputs/train/a-day/a-run"))
    assert [path.name for path in here.rglob("*")] == ["outputs"]
