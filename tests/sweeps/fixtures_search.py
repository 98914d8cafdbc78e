"""A script that takes conf/train.yaml and trains nothing: what it "finds" depends on its settings alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parent.parent.parent

# A trial's value is the higher the closer the learning rate is to 0.01. It fails with shear, writes down that it did
# with erasing, is pruned with rotation.
STUB = """
import dataclasses, json, math, os, sys, time
sys.path[:0] = [{project!r}, os.getcwd()]
from mnist_lightning.cli import commands, main
from mnist_lightning.tasks.settings import TrainSettings, check_together


def job(settings: TrainSettings, run):
    with open("log", "a") as log:
        log.write(f"{{run.name}} begins\\n")
    (run / "training_metrics.json").write_text(json.dumps({{"status": "running"}}))
    check_together(settings)
    time.sleep(float(os.environ.get("STUB_SECONDS", "0")))
    if settings["augment"].get("shear"):
        raise ValueError("the loss exploded\\nat step 3")
    lr = settings["optimizer"]["lr"]
    augment = settings["augment"]
    status = "pruned" if augment.get("degrees") else "failed" if augment.get("erase") else "finished"
    metrics = {{
        "status": status, "error": "Traceback\\nOSError: no memory", "parameters": int(1000 * lr),
        "best": {{"val_accuracy": 1 - abs(math.log10(lr) + 2) / 10, "val_loss": lr}},
    }}
    if "checkpoint" in settings["callbacks"]:
        (run / "checkpoints").mkdir()
        (run / "checkpoints/best.ckpt").touch()
    (run / "training_metrics.json").write_text(json.dumps(metrics))
    with open("log", "a") as log:
        log.write(f"{{run.name}} ends\\n")


if __name__ == "__main__":
    commands.COMMANDS["train"] = dataclasses.replace(commands.COMMANDS["train"], function="stub.job")
    main.main("train")
"""
FIXED = ["augment=none", "data=digits"]


def command(folder, *overrides):
    """What starts the stub's search in `folder`."""
    script = folder / "stub.py"
    if not script.exists():
        script.write_text(STUB.format(project=str(PROJECT)))
    return [sys.executable, str(script), "-m", "search=lr", "search.study=s", *FIXED, *overrides]


def run(folder, *overrides, **environment):
    """Search to the end."""
    return subprocess.run(
        command(folder, *overrides), cwd=folder, env=os.environ | environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def trials(folder):
    """The study as Optuna reads it: its trials, without those that a race had made too many."""
    import optuna

    storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/outputs/search/s/study.db")
    found = optuna.load_study(study_name="s", storage=storage).trials
    storage.engine.dispose()
    return [trial for trial in found if "surplus" not in trial.user_attrs]


def states(folder):
    """How many trials ended how."""
    names = [trial.state.name for trial in trials(folder)]
    return {name: names.count(name) for name in sorted(set(names))}


def metrics(folder, number):
    """What a trial's folder says."""
    return json.loads((folder / f"outputs/search/s/{number}/training_metrics.json").read_text())
