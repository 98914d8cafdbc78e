"""The end of a sweep: which of its jobs count, and which becomes `latest`."""

import json

import fixtures_search
import pytest

from mnist_lightning.run import folder as runs
from mnist_lightning.sweeps import plots, report


def job(sweep, number, accuracy, status="finished", *, seed=0, lr=0.01, kept=True):
    """A job of a sweep over the learning rate and the seed."""
    folder = sweep / str(number)
    (folder / "checkpoints").mkdir(parents=True)
    if kept:
        (folder / runs.BEST).touch()
    overrides = [f"optimizer.lr={lr}", f"seed={seed}"]
    (folder / "training_metrics.json").write_text(json.dumps({
        "status": status, "seed": seed, "overrides": overrides, "error": "why" if status != "finished" else None,
        "command": " ".join(["python scripts/train.py", *overrides]),
        "hyperparameters": {"seed": seed, "optimizer": {"lr": lr}}, "dataset": {"name": "mnist"},
        "best": accuracy and {"epoch": 1, "val_loss": 0.1, "val_accuracy": accuracy},
        "test": None, "timing": {"fit_seconds": 1.5},
    }))  # fmt: skip


@pytest.fixture
def sweep(tmp_path):
    return tmp_path / "outputs" / "sweeps" / "a-day" / "some-sweep"


def latest(sweep):
    return runs.latest(sweep.parents[2])


UNFINISHED = ["interrupted", "failed", "pruned", "running"]


@pytest.mark.parametrize("status", UNFINISHED)
def test_a_job_that_did_not_finish_is_in_the_table_and_in_no_mean(sweep, capsys, status):
    job(sweep, 0, 0.97, seed=0)
    job(sweep, 1, 0.96, seed=1)
    job(sweep, 2, 0.20, status, seed=2)  # stopped in its first epoch
    report.report(sweep, sweep.parents[2])
    title, table, means = capsys.readouterr().out.strip().split("\n\n")
    assert title.endswith(f": 3 jobs, 2 finished, 1 {status}")
    assert [line.split()[:3] for line in table.splitlines()[1:]] == [
        ["0", "0", "finished"], ["1", "1", "finished"], ["2", "2", status]]  # fmt: skip
    assert means.splitlines()[1].split()[:5] == ["2", "96.50", "±", "0.71", "%"]


@pytest.mark.parametrize("status", UNFINISHED)
def test_a_job_that_did_not_finish_is_not_the_best(sweep, capsys, monkeypatch, status):
    drawn = []
    monkeypatch.setattr(plots, "knobs", lambda shown, *_: drawn.extend(shown))
    job(sweep, 0, 0.99, status, lr=0.1)
    job(sweep, 1, 0.96, lr=0.2)
    job(sweep, 2, 0.97, lr=0.3)
    report.report(sweep, sweep.parents[2])
    _, table, best = capsys.readouterr().out.strip().split("\n\n")
    assert [line.split()[0] for line in table.splitlines()] == ["job", "2", "1", "0"]
    assert best == ("best, validation accuracy 97.00 %\n  python scripts/train.py optimizer.lr=0.3 seed=0")
    assert latest(sweep) == sweep / "2"
    assert [run.folder for run in drawn] == [str(sweep / "1"), str(sweep / "2")]


def test_a_sweep_none_of_whose_jobs_finished_has_a_table_alone(sweep, capsys):
    job(sweep, 0, 0.5, "interrupted", lr=0.1)
    job(sweep, 1, 0.6, "failed", lr=0.2)
    assert report.report(sweep, sweep.parents[2]) == 1
    _, table = capsys.readouterr().out.strip().split("\n\n")
    assert len(table.splitlines()) == 3
    assert latest(sweep) is None
    assert len((sweep / "results.csv").read_text().splitlines()) == 3


def test_latest_is_the_best_job_that_has_a_checkpoint(sweep):
    job(sweep, 0, 0.99, lr=0.1, kept=False)  # callbacks=none
    job(sweep, 1, 0.96, lr=0.2)
    job(sweep, 2, 0.97, lr=0.3)
    report.report(sweep, sweep.parents[2])
    assert latest(sweep) == sweep / "2"


def test_latest_stays_what_it_was_where_no_job_has_a_checkpoint(sweep):
    """As in `-m train=false ckpt=pretrained tta=none,views`."""
    before, outputs = sweep.parents[2] / "train" / "before", sweep.parents[2]
    before.mkdir(parents=True)
    runs.mark_latest(before, outputs)
    job(sweep, 0, None, lr=0.1, kept=False)
    job(sweep, 1, None, lr=0.2, kept=False)
    assert report.report(sweep, outputs) == 0
    assert latest(sweep) == before


def test_latest_stays_what_it_was_where_no_trial_of_a_search_has_a_checkpoint(tmp_path):
    before = tmp_path / "outputs" / "train" / "before"
    before.mkdir(parents=True)
    runs.mark_latest(before, tmp_path / "outputs")
    done = fixtures_search.run(tmp_path, "search.n_trials=1", "callbacks=none")
    assert (done.returncode, fixtures_search.states(tmp_path)) == (0, {"COMPLETE": 1}), done.stderr
    assert runs.latest(tmp_path / "outputs") == before
