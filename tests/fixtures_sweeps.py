"""A script that sweeps as `scripts/train.py` does, with a task that takes no time and imports nothing heavy."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parent.parent
PROGRAM = f"""
import os, sys
from pathlib import Path
sys.path[:0] = [{str(PROJECT)!r}, os.getcwd()]
from mnist_lightning.cli import commands, main
from mnist_lightning.errors import UserError
from mnist_lightning.run import files
from mnist_lightning.run import record as records
from mnist_lightning.tasks.settings import TrainSettings


def report(sweep, asked):
    from mnist_lightning.sweeps.report import report
    return report(sweep, Path(asked["outputs"]))


def job(settings: TrainSettings, run):
    import signal
    from pathlib import Path
    from mnist_lightning.cli import multirun
    from mnist_lightning.run import folder as runs
    from mnist_lightning.tasks.settings import check_together
    check_together(settings)
    outputs = Path(settings["outputs"])
    latest = runs.latest(outputs)
    lr, seed = settings["optimizer"]["lr"], settings["seed"]
    if lr == 0.5:
        raise ZeroDivisionError("the wheel came off\\nand rolled away")
    if lr == 0.25:
        raise UserError("optimizer.lr=0.25 does not fit.")
    if lr == 0.75:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs the tests beside it
        os.kill(os.getpid(), signal.SIGINT)
    if lr == 0.125:
        os.kill(os.getpid(), signal.SIGKILL)
    accuracy = 0.9 + lr + seed / 1000
    (run / "checkpoints").mkdir()
    (run / runs.BEST).touch()
    files.write_json(run / records.METRICS_FILE, {{
        "status": "finished", **multirun.asked_for(), "hyperparameters": settings, "seed": seed,
        "dataset": {{"name": "mnist"}}, "best": {{"epoch": 1, "val_loss": 0.1, "val_accuracy": accuracy}},
        "test": {{"accuracy": accuracy - 0.01, "loss": 0.2}}, "timing": {{"fit_seconds": 1.5}},
        "environment": {{"git_commit": "0123456789", "git_dirty": False}},
        "process": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS"), "latest": latest and latest.name,
    }})
    runs.mark_latest(run, outputs)


if __name__ == "__main__":
    commands.COMMANDS["train"] = commands.Command("program.job", report="program.report")
    main.main("train")
"""


def run(folder, *arguments, **environment):
    """Run it in `folder`: the finished process."""
    (folder / "program.py").write_text(PROGRAM)
    known = {key: value for key, value in os.environ.items() if key not in ("OMP_NUM_THREADS", "PYTHONPATH")}
    return subprocess.run(
        [sys.executable, "program.py", *arguments],
        cwd=folder, env=known | {"PYTHONPATH": str(folder)} | environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def sweep(folder, *arguments, **environment):
    """Run a sweep in `folder`: the finished process, and the sweep's folder (None where none is left)."""
    done = run(folder, "-m", *arguments, **environment)
    folders = list((folder / "outputs" / "sweeps").glob("*/*"))
    assert len(folders) < 2, "the jobs of one sweep lie in one folder"
    return done, folders[0] if folders else None
