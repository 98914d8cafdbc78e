"""A plain sweep as a user meets it: no job twice, no folder written over, no failure hidden, `latest` the best."""

import json
import os
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

sys.path.insert(0, str(Path(__file__).parent.parent))
from fixtures_sweeps import run, sweep

from mnist_lightning.cli import multirun
from mnist_lightning.errors import UserError
from mnist_lightning.run import folder as runs


def records(folder):
    """Path of the job below the sweep -> its record."""
    return {
        str(path.parent.relative_to(folder)): json.loads(path.read_text())
        for path in sorted(folder.rglob("training_metrics.json"))
    }


def one_sentence(done, text, code=2):
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert done.stderr.startswith(text), done.stderr


def test_equal_jobs_run_once(tmp_path):
    done, folder = sweep(tmp_path, "seed=0,0,1")
    assert [each["seed"] for each in records(folder).values()] == [0, 1]
    assert "1 of 3 jobs repeat another one: each runs once." in done.stdout
    assert done.stdout.splitlines()[-1].split()[:2] == ["2", "92.05"]  # seeds, and their mean


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("hydra.sweep.subdir='${hydra.runtime.choices.model}/${hydra.job.num}'", ["mlp/0", "mlp/1"]),
        ("hydra.sweep.subdir='all/${hydra.job.override_dirname}'", ["all/optimizer.lr=0.25", "all/optimizer.lr=0.5"]),
    ],
)
def test_jobs_that_lie_deeper_are_added_up_and_their_failures_told(tmp_path, asked, names):
    more = ["hydra.job.config.override_dirname.exclude_keys=[model]"] if "dirname" in asked else []
    done, folder = sweep(tmp_path, "optimizer.lr=0.25,0.5", "model=mlp", asked, *more)
    assert {name: each["status"] for name, each in records(folder).items()} == dict.fromkeys(names, "failed")
    assert done.returncode == 1
    assert ": 2 jobs, 2 failed" in done.stdout
    assert f"job {names[1]} failed (optimizer.lr=0.5): ZeroDivisionError: the wheel came off (" in done.stderr


def test_fail_fast_holds_for_jobs_that_lie_deeper(tmp_path):
    asked = ["sweep.fail_fast=true", "hydra.sweep.subdir='${optimizer.lr}/${seed}'"]
    _, folder = sweep(tmp_path, "optimizer.lr=0.5,0.01", *asked)
    assert [each["status"] for each in records(folder).values()] == ["interrupted", "failed"]


@pytest.mark.parametrize(
    ("subdir", "told"),
    [
        ("same", "hydra.sweep.subdir=same gives jobs 0 and 1 the same folder same: put ${hydra.job.num} into it."),
        ("'${data.name}'", "hydra.sweep.subdir=${data.name} gives jobs 0 and 1 the same folder auto: put"),
        ("../x", "hydra.sweep.subdir=../x puts job 0 into ../x, which is not below the sweep's folder: name a"),
        (".", "hydra.sweep.subdir=. puts job 0 into ., which is not below the sweep's folder"),
    ],
)
def test_two_jobs_never_share_a_folder(tmp_path, subdir, told):
    done, folder = sweep(tmp_path, "seed=0,1", f"hydra.sweep.subdir={subdir}")
    one_sentence(done, told)
    assert folder is None


def test_a_sweep_is_not_written_over_another(tmp_path):
    asked = ["hydra.sweep.dir=mine", "optimizer.lr=0.01,0.02"]
    done, _ = sweep(tmp_path, *asked)
    assert done.returncode == 0
    before = {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    done, _ = sweep(tmp_path, "hydra.sweep.dir=mine", "optimizer.lr=0.03")
    one_sentence(done, "hydra.sweep.dir=mine holds a sweep already: name another folder, or leave hydra.sweep.dir out")
    assert {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()} == before


def test_a_run_is_not_written_over_another(tmp_path):
    assert run(tmp_path, "hydra.run.dir=mine").returncode == 0
    before = {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    one_sentence(run(tmp_path, "hydra.run.dir=mine", "seed=1"), "hydra.run.dir=mine holds a run already: name another")
    assert {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()} == before


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    one_sentence(run(tmp_path, "hydra.run.dir=file/x"), "hydra.run.dir=file/x cannot be made (Not a directory): name")
    done, _ = sweep(tmp_path, "seed=0,1", "hydra.sweep.dir=file/x")
    one_sentence(done, "hydra.sweep.dir=file/x cannot be made (Not a directory): name another folder, or leave")


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_latest_is_the_best_finished_job(tmp_path, launcher):
    done, folder = sweep(tmp_path, "optimizer.lr=0.01,0.03,0.5,0.02", f"hydra/launcher={launcher}")
    assert (tmp_path / "outputs/latest").resolve() == folder / "1", done.stderr


def test_latest_stays_what_it_was_where_no_job_finished(tmp_path):
    (tmp_path / "outputs/train/before").mkdir(parents=True)
    runs.mark_latest(tmp_path / "outputs/train/before", tmp_path / "outputs")
    sweep(tmp_path, "optimizer.lr=0.25,0.5")
    assert (tmp_path / "outputs/latest").resolve().name == "before"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("hydra.sweeper.max_batch_size=0", "hydra.sweeper.max_batch_size=0 is not allowed: expected a whole number, 1"),
        ("hydra.sweeper.max_batch_size=many", "hydra.sweeper.max_batch_size=many is not allowed: expected a whole"),
        ("hydra/launcher=joblib hydra.launcher.n_jobs=0", "hydra.launcher.n_jobs=0 is not allowed: expected a whole"),
        ("hydra/launcher=joblib hydra.launcher.n_jobs=-3", "hydra.launcher.n_jobs=-3 is not allowed: expected a whole"),
        ("hydra/launcher=joblib hydra.launcher.n_jobs=x", "hydra.launcher.n_jobs=x is not allowed: expected a whole n"),
        (
            "optimizer.lr=interval(0.1,0.2)",
            "optimizer.lr=interval(0.1,0.2) has no list of values: write",
        ),
    ],
)
def test_what_cannot_be_swept_is_one_sentence_and_leaves_nothing(tmp_path, asked, told):
    done, folder = sweep(tmp_path, "seed=0,1", *asked.split())
    one_sentence(done, told)
    assert folder is None


def test_jobs_in_batches_keep_their_numbers(tmp_path):
    _, folder = sweep(tmp_path, "seed=range(5)", "hydra.sweeper.max_batch_size=2")
    assert {name: each["seed"] for name, each in records(folder).items()} == {str(n): n for n in range(5)}


@pytest.mark.parametrize(("launcher", "workers"), [("joblib", "n_jobs=2"), ("ray", "init.num_cpus=2")])
def test_of_workers_one_that_is_killed_takes_no_other_job_with_it(tmp_path, launcher, workers):
    """0.125 kills its own process, as the system does where memory is short."""
    pytest.importorskip(launcher)
    asked = ["optimizer.lr=0.01,0.125,0.02,0.03,0.04", f"hydra/launcher={launcher}", f"hydra.launcher.{workers}"]
    done, folder = sweep(tmp_path, *asked)
    found = {name: each["status"] for name, each in records(folder).items()}
    assert found == {"0": "finished", "1": "interrupted", "2": "finished", "3": "finished", "4": "finished"}
    assert done.stderr.splitlines()[-1] == f"job 1 interrupted (optimizer.lr=0.125): {multirun.DIED}"
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            "seed=0,1 callbacks=none",
            "the best checkpoints of the jobs, and seed=0 callbacks=none ",
        ),
        ("seed=0,1 ~callbacks.checkpoint", "the best checkpoints of the jobs, and seed=0 ~callbacks.checkpoint"),
        ("seed=0,1 callbacks.checkpoint=null", "the best checkpoints of the jobs, and seed=0 callbacks.checkpoint=nu"),
        ("seed=0,1 trainer.fast_dev_run=true", "the best checkpoints of the jobs, and seed=0 trainer.fast_dev_run="),
        ("callbacks=default,none", "the best checkpoints of the jobs, and callbacks=none "),
        ("seed=0", "the networks of several jobs, and there is one: add seed=0,1,2."),
    ],
)
def test_an_ensemble_of_jobs_that_leave_nothing_for_it_is_refused_before_the_first(tmp_path, asked, told):
    done, folder = sweep(tmp_path, *asked.split(), "sweep.ensemble=true")
    one_sentence(done, f"sweep.ensemble=true joins {told}")
    assert folder is None


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ("data.fold=0,1 data.num_folds=5", "data.fold"),
        ("seed=0,1 data.split_seed=0,1", "data.split_seed"),
        ("data=mnist,fashion_mnist", "data.name"),
        ("data=mnist,digits seed=0,1", "data.name, data.val_size"),
    ],
)
def test_an_ensemble_of_networks_that_validate_on_different_images_is_refused_before_the_first(tmp_path, asked, key):
    done, folder = sweep(tmp_path, *asked.split(), "sweep.ensemble=true")
    one_sentence(
        done, f"sweep.ensemble=true joins networks that validate on the same images, and these differ in {key}:"
    )
    assert folder is None


@pytest.mark.parametrize("asked", ["data=auto,mnist", "seed=0,1 data.fold=1 data.num_folds=5"])
def test_an_ensemble_of_networks_that_may_validate_on_the_same_images_is_begun(tmp_path, asked):
    done, folder = sweep(tmp_path, *asked.split(), "sweep.ensemble=true")
    assert {each["status"] for each in records(folder).values()} == {"finished"}, done.stderr


def test_an_ensemble_of_jobs_with_a_checkpoint_callback_of_ones_own_is_begun(tmp_path):
    own = "+callbacks.mine._target_=lightning.pytorch.callbacks.ModelCheckpoint"
    done, folder = sweep(tmp_path, "seed=0,1", "callbacks=none", own, "sweep.ensemble=true")
    assert {each["status"] for each in records(folder).values()} == {"finished"}, done.stderr


def test_the_sentence_of_an_error_is_its_innermost_cause():
    def caught(program):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            exec(program)
        return multirun.sentence_of(caught.value)

    assert caught("raise ValueError('outer') from KeyError('inner')") == "KeyError: 'inner'"
    assert (
        caught("try:\n  1 / 0\nexcept Exception:\n  raise RuntimeError('x')") == "ZeroDivisionError: division by zero"
    )
    assert caught("try:\n  1 / 0\nexcept Exception:\n  raise RuntimeError('x') from None") == "RuntimeError: x"
    assert multirun.sentence_of(UserError("plain")) == "plain"


@pytest.mark.parametrize("search", [None, {"study": "any"}])
def test_what_latest_is_for_the_jobs_ends_with_the_sweep(tmp_path, search):
    sweep = {"dir": str(tmp_path / "sweep")}
    overrides = {"hydra": ["hydra.sweep.subdir='${hydra.job.num}'"]}
    config = OmegaConf.create(
        {"outputs": str(tmp_path), "search": search, "hydra": {"sweep": sweep, "overrides": overrides}}
    )
    with multirun.summed_up(None, "train -m"):
        multirun.RunFolders().on_multirun_start(config)
        assert runs.LATEST in os.environ
    assert runs.LATEST not in os.environ
