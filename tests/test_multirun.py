"""A sweep as a user meets it: what fails is written down, the others go on, the end says all; with every launcher."""

import json
import os
import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from omegaconf import OmegaConf

sys.path.insert(0, str(Path(__file__).parent))
from fixtures_sweeps import run, sweep

from mnist_lightning.cli import multirun
from mnist_lightning.run import folder as runs


def records(folder):
    """Job -> its `training_metrics.json`."""
    return {int(p.parent.name): json.loads(p.read_text()) for p in folder.glob("*/training_metrics.json")}


def statuses(folder):
    return {job: record["status"] for job, record in sorted(records(folder).items())}


@pytest.fixture(scope="module")
def third_of_six(tmp_path_factory):
    """Six jobs, of which the third raises."""
    return sweep(tmp_path_factory.mktemp("six"), "optimizer.lr=0.01,0.5,0.03", "seed=0,1", "model=mlp")


def test_a_job_that_raises_is_written_down_and_the_others_go_on(third_of_six):
    done, folder = third_of_six
    assert statuses(folder) == {0: "finished", 1: "finished", 2: "failed", 3: "failed", 4: "finished", 5: "finished"}
    failed = records(folder)[2]
    assert failed["error"] == "ZeroDivisionError: the wheel came off"
    assert failed["overrides"] == ["optimizer.lr=0.5", "seed=0", "model=mlp"]
    assert failed["hyperparameters"]["optimizer"]["lr"] == 0.5
    assert 'raise ZeroDivisionError("the wheel came off' in (folder / "2" / "traceback.txt").read_text()
    assert done.returncode == 1


def test_the_last_lines_say_which_failed(third_of_six):
    done, folder = third_of_six
    shown = folder.relative_to(folder.parents[3])
    assert done.stderr.splitlines() == [
        f"job {job} failed (optimizer.lr=0.5 seed={job - 2}): ZeroDivisionError: the wheel came off "
        f"({shown}/{job}/traceback.txt)"
        for job in (2, 3)
    ]
    assert "Error executing job" not in done.stdout


def test_the_end_of_a_sweep_is_a_table_means_and_the_best_command(third_of_six):
    done, folder = third_of_six
    table = done.stdout.split("\n\n")
    assert table[-4].endswith(": 6 jobs, 4 finished, 2 failed")
    assert [line.split()[:4] for line in table[-3].splitlines()] == [
        ["job", "optimizer.lr", "seed", "status"], ["5", "0.03", "1", "finished"], ["4", "0.03", "0", "finished"],
        ["1", "0.01", "1", "finished"], ["0", "0.01", "0", "finished"], ["2", "0.5", "0", "failed"],
        ["3", "0.5", "1", "failed"],
    ]  # fmt: skip
    assert [line.split()[:6] for line in table[-2].splitlines()[1:]] == [
        ["0.03", "2", "93.05", "±", "0.07", "%"], ["0.01", "2", "91.05", "±", "0.07", "%"]]  # fmt: skip
    assert table[-1] == (
        "best on average, validation accuracy 93.05 ± 0.07 %\n"
        "  python -m mnist_lightning train optimizer.lr=0.03 model=mlp\n"
    )
    assert {"results.csv", "results.md", "results.png"} <= {path.name for path in folder.iterdir()}
    assert (folder / "results.csv").read_text().splitlines()[1].startswith("5,0.03,1,finished,0.931,0.1,1,0.921")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["optimizer.lr=0.25", "seed=0,1"], 2, "job 1 failed (seed=1): optimizer.lr=0.25 does not fit."),
        (["optimizer.lr=0.25,-1"], 2, "job 1 failed (optimizer.lr=-1): optimizer.lr=-1 is not allowed: "),
        (["optimizer.lr=0.25,0.5"], 1, "job 1 failed (optimizer.lr=0.5): ZeroDivisionError: the wheel came off"),
    ],
)
def test_the_exit_code_is_2_where_the_user_can_put_all_of_it_right(tmp_path, arguments, code, told):
    done, folder = sweep(tmp_path, *arguments)
    assert (done.returncode, set(statuses(folder).values())) == (code, {"failed"})
    assert done.stderr.splitlines()[-1].startswith(told)


def test_a_setting_that_is_not_there_starts_nothing_and_leaves_nothing(tmp_path):
    done, folder = sweep(tmp_path, "optimizer.rl=0.1,0.2")
    assert (done.returncode, done.stdout, folder) == (2, "", None)
    assert done.stderr.startswith("There is no setting optimizer.rl: did you mean optimizer.lr?")
    assert done.stderr.count("\n") == 1


def test_fail_fast_starts_no_further_job(tmp_path):
    done, folder = sweep(tmp_path, "optimizer.lr=0.01,0.5,0.03", "sweep.fail_fast=true")
    assert statuses(folder) == {0: "finished", 1: "failed", 2: "interrupted"}
    assert records(folder)[2]["error"] == "not started: sweep.fail_fast=true, and job 1 failed"
    assert done.returncode == 1


def test_ctrl_c_ends_the_sweep_with_the_table_so_far(tmp_path):
    done, folder = sweep(tmp_path, "optimizer.lr=0.01,0.75,0.03")
    assert statuses(folder) == {0: "finished", 1: "interrupted"}
    assert ": 2 jobs, 1 finished, 1 interrupted\n" in done.stdout
    assert (done.returncode, done.stderr.splitlines()[-1]) == (130, "Interrupted.")


def test_seeds_alone_end_in_mean_and_spread(tmp_path):
    done, _ = sweep(tmp_path, "seed=range(3)")
    assert done.stdout.splitlines()[-1].split() == [
        "3", "92.10", "±", "0.10", "%", "91.10", "%", "(91.00", "to", "91.20)", "1.5", "s", "0123456"]  # fmt: skip
    assert done.returncode == 0


def test_folds_say_what_their_mean_is(tmp_path):
    done, folder = sweep(tmp_path, "data.fold=range(2)", "data.num_folds=2", "seed=0,1")
    assert "folds  validation accuracy, mean ± std" in done.stdout
    said = "The mean over folds is that of each fold's best epoch on the fold held out, which also chose the epoch."
    assert said in done.stdout
    assert said in (folder / "results.md").read_text()


LAUNCHERS = {
    "basic": (None, [], "2"),
    "joblib": ("joblib", ["hydra.launcher.n_jobs=2"], None),
    "slurm_local": ("submitit", ["hydra.launcher.cpus_per_task=3"], "3"),
    "ray": ("ray", ["hydra.launcher.init.num_cpus=2"], "1"),
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_every_launcher_runs_the_jobs_in_one_folder(tmp_path, launcher):
    package, more, threads = LAUNCHERS[launcher]
    if package and find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install -e '.[sweeps]'")
    asked = ["optimizer.lr=0.01,0.5,0.03", f"hydra/launcher={launcher}", *more]
    environment = {"OMP_NUM_THREADS": "2"} if launcher == "basic" else {}
    done, folder = sweep(tmp_path, *asked, **environment)
    assert statuses(folder) == {0: "finished", 1: "failed", 2: "finished"}, done.stderr
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("job 1 failed (optimizer.lr=0.5): ZeroDivisionError: the wheel came")
    assert "Error executing job" not in done.stdout + done.stderr
    if launcher != "joblib" or find_spec("hydra_plugins.hydra_joblib_launcher") is None:  # it has a config of that name
        assert "is validated against" not in done.stderr
    found = records(folder)
    assert found[0]["threads"] == found[2]["threads"] == (threads or str(max(1, (os.cpu_count() or 1) // 2)))
    if launcher not in ("joblib", "ray"):  # whose one worker may have taken both
        assert (found[0]["process"] == found[2]["process"]) == (launcher == "basic")


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_for_all_jobs_of_a_sweep_latest_is_the_run_before_it(tmp_path, launcher):
    """`distill.teacher=latest seed=0,1` is to have one teacher, and not for each job the one before it."""
    (tmp_path / "outputs/train/before").mkdir(parents=True)
    runs.mark_latest(tmp_path / "outputs/train/before", tmp_path / "outputs")
    done, folder = sweep(tmp_path, "seed=0,1,2", f"hydra/launcher={launcher}")
    assert [record["latest"] for record in records(folder).values()] == ["before"] * 3, done.stderr
    assert (tmp_path / "outputs/latest").resolve().parent == folder


FAKES = {
    # Runs each task of the array at once, with the variables that Slurm sets.
    "sbatch": """
import os, subprocess, sys
for task in range(2):
    names = {"JOB_ID": str(8 + task), "ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": str(task), "NTASKS": "1", "PROCID": "0",
             "LOCALID": "0", "NODEID": "0", "JOB_NUM_NODES": "1", "JOB_NODELIST": "here"}
    subprocess.Popen(["bash", sys.argv[-1]], env=os.environ | {f"SLURM_{n}": v for n, v in names.items()},
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
print("Submitted batch job 7")
""",
    "srun": """
import os, sys
rest = sys.argv[1:]
while rest[0].startswith("-"):
    rest = rest[1 if "=" in rest[0] or rest[0] == "--unbuffered" else 2:]
os.execvp(rest[0], rest)
""",
    "sacct": """
import pathlib
print("JobID|State|NodeList")
for task in range(2):
    done = list(pathlib.Path("outputs").rglob(f"7_{task}_0_result.pkl"))
    print(f"7_{task}|{'COMPLETED' if done else 'RUNNING'}|here")
""",
    "squeue": "",
}


@pytest.mark.skipif(find_spec("submitit") is None, reason="submitit is not installed: pip install -e '.[sweeps]'")
def test_slurm_gets_an_array_of_jobs(tmp_path):
    """By stand-ins for Slurm's commands; all of submitit is the real one."""
    for name, program in FAKES.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        path = tmp_path / "bin" / name
        path.write_text(f"#!{sys.executable}\n{program}")
        path.chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done, folder = sweep(tmp_path, "optimizer.lr=0.01,0.5", "hydra/launcher=slurm", **environment)
    assert statuses(folder) == {0: "finished", 1: "failed"}, done.stderr
    assert records(folder)[0]["threads"] == "4"
    [script] = folder.glob(".submitit/*/*.sh")
    assert "#SBATCH --array=0-1%" in script.read_text()
    assert "#SBATCH --cpus-per-task=4" in script.read_text()
    assert done.returncode == 1


def test_a_worker_that_is_killed_is_written_down(tmp_path):
    done, folder = sweep(tmp_path, "optimizer.lr=0.01,0.125", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert records(folder)[1]["status"] == "interrupted"
    assert records(folder)[1]["error"] == "its process ended without an error message: killed, or out of memory"
    # What it was asked for stands there where the other job had begun and was asked for something else.
    assert re.search(
        r"job 1 interrupted( \(optimizer.lr=0.125\))?: its process ended without an error message", done.stderr
    )
    assert done.returncode == 1


def test_jobs_that_were_killed_while_hydra_wrote_their_files_are_written_down_too(tmp_path):
    """A worker that dies takes the others with it, wherever they are."""
    for job, written in {"0": [], "1": ["overrides.yaml"], "2": []}.items():
        (tmp_path / job / ".hydra").mkdir(parents=True)
        for name in written:
            (tmp_path / job / ".hydra" / name).write_text("- optimizer.lr=0.125\n")
    config = OmegaConf.create({"hydra": {"launcher": {"_target_": "JoblibLauncher"}}})
    multirun._record_the_dead(tmp_path, config)
    assert statuses(tmp_path) == {0: "interrupted", 1: "interrupted", 2: "interrupted"}
    assert records(tmp_path)[1]["overrides"] == ["optimizer.lr=0.125"]


def test_a_sweep_in_workers_ends_when_all_its_jobs_have(tmp_path):
    """Its workers, kept for jobs to come, must not hold the program up: `sweep` gives it two minutes."""
    done, folder = sweep(tmp_path, "optimizer.lr=0.01,0.03", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert statuses(folder) == {0: "finished", 1: "finished"}
    assert done.returncode == 0


def test_a_worker_knows_how_the_sweep_was_started(monkeypatch):
    import pickle

    from mnist_lightning.cli import commands

    monkeypatch.setenv("TQDM_DISABLE", "")  # it sets it
    monkeypatch.setattr(sys, "argv", ["/env/bin/mnist-lightning", "train", "-m"])
    travelling = pickle.dumps(multirun.Worker())
    monkeypatch.setattr(sys, "argv", ["/env/lib/ray/default_worker.py", "--node-ip=::1"])
    assert pickle.loads(travelling).inside
    assert commands.program("train") == ["mnist-lightning", "train"]


def test_the_command_in_a_record_says_where_the_config_is_and_which(tmp_path):
    """Whatever the job is called: a config may name it anything."""
    (tmp_path / "my conf" / "model").mkdir(parents=True)
    (tmp_path / "my conf" / "model" / "tiny.yaml").write_text(
        "_target_: mnist_lightning.models.MLP\nhidden_sizes: [4]\n"
    )
    (tmp_path / "my conf" / "mine.yaml").write_text("defaults: [train, _self_]\nseed: 4\n")
    program = [
        *("python", "-m", "mnist_lightning", "train", "--config-name", "mine"),
        *("--config-dir", str(tmp_path / "my conf")),
    ]
    asked = ["--config-dir", "my conf", "--config-name", "mine", "model=tiny", "hydra.job.name=other"]
    done = run(tmp_path, *asked)
    assert done.returncode == 0, done.stderr
    [record] = tmp_path.glob("outputs/train/*/*/training_metrics.json")
    assert shlex.split(json.loads(record.read_text())["command"]) == [*program, "model=tiny"]
    done = run(tmp_path, "-m", *asked, "seed=0,1", "optimizer.lr=0.01,0.02")
    assert shlex.split(done.stdout.splitlines()[-1]) == [*program, "model=tiny", "optimizer.lr=0.02"]
