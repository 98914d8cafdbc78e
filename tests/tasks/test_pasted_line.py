"""Ctrl-C at any batch, the printed line pasted into a shell: the same weights as of the run that nobody interrupted."""

import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mnist_lightning as ml
from mnist_lightning.callbacks import Progress
from mnist_lightning.errors import Interrupted
from mnist_lightning.run import folder as runs

PROJECT = Path(__file__).parents[2]
SMALL = [
    *("data=digits", "data.limit=320", "data.val_size=100", "model=mlp", "trainer.max_epochs=3", "runtime.threads=1"),
    "logger=none",
]
BATCHES = 3 * 10  # of each of these runs

# What the command line gives besides; of a sweep (-m) the runs are its jobs.
COMMANDS = {
    "the defaults": "",
    "the full set": "data.limit=null data.batch_size=120",
    "a small CNN": "model=cnn model.channels=[4,8,16] augment=strong",
    "LeNet-5 with SGD": "model=lenet5 optimizer=sgd scheduler=cosine",
    "AdamW": "optimizer=adamw scheduler=step scheduler.step_size=1",
    "RMSprop, and a schedule that watches a metric": "optimizer=rmsprop scheduler=plateau scheduler.patience=0",
    "no schedule, no average": "scheduler=none averaging.decay=0 optimizer.lr=0.002",
    "an average of each step": "averaging.decay=0.9 averaging.every_n_steps=1 model.dropout=0.3",
    "gradients added up": "trainer.accumulate_grad_batches=4 averaging.every_n_steps=1",
    "clipped, smoothed, in bfloat16": "trainer.gradient_clip_val=0.5 loss.label_smoothing=0.2 "
    "trainer.precision=bf16-mixed",
    "a validation in the midst of an epoch": "trainer.val_check_interval=0.5 checkpoint.every_n_steps=3",
    "a fold, and a loader process": "data.num_folds=3 data.fold=1 data.val_size=null data.num_workers=1",
    "pen digits and outliers": "data.pen_digits=32 data.outlier_drawings=32 data.embellished=16",
    "a teacher": "distill.teacher=pretrained model.hidden_sizes=[32]",
    "MNIST": f"data=mnist data.folder={shlex.quote(str(PROJECT / 'data'))} data.batch_size=32 data.val_size=100",
    "a seed that was drawn": "seed=null",
    "spaces and more in the folder": "'outputs=my runs (1), it'\"'\"'s #5' logger=csv name='a name' tags=[a,b]",
    "a run folder by name": "'hydra.run.dir=x=1, \"y\" ä/my run'",
    "a sweep": "-m seed=0,1",
    "a sweep in a folder with spaces": "-m 'outputs=my sweeps' optimizer.lr=0.01,0.02 model.hidden_sizes=[32]",
    "a search": "-m search=lr search.study=s search.n_trials=2 search.sampler=random",
}
QUICK = ["gradients added up", "spaces and more in the folder", "a sweep"]


def test_there_are_twenty_commands_and_more():
    assert len(COMMANDS) >= 20


def words(name):
    """The overrides of a command: the small ones, where it does not give them itself."""
    own = shlex.split(COMMANDS[name])
    given = {each.partition("=")[0] for each in own}
    return [*(each for each in SMALL if each.partition("=")[0] not in given), *own]


def runs_in(folder):
    """Every run below a folder that has written a checkpoint, in the order of their names."""
    return sorted(path.parents[1] for path in folder.rglob("checkpoints/last.ckpt"))


def weights(run, name=runs.LAST):
    return torch.load(run / name, weights_only=True)["state_dict"]


def assert_same(run, expected):
    """The weights of both checkpoints and all that was measured."""
    for name in (runs.LAST, runs.BEST):
        ours, theirs = weights(run, name), weights(expected, name)
        assert list(ours) == list(theirs)
        assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
    ours, theirs = (json.loads((each / "training_metrics.json").read_text()) for each in (run, expected))
    for key in ("status", "history", "best", "test", "dataset", "seed"):
        assert ours[key] == theirs[key], key


def pasted(said):
    """The line that was printed, as one pastes it."""
    [line] = re.findall(r"^(?:\[\d+\] )?Resume with: (.*)$", said, re.M)
    return line


def interrupted_at(batch, monkeypatch, *arguments):
    """Train in this process, and let Ctrl-C arrive after so many batches of all its runs."""
    done = []

    def count(self, *_):
        done.append(1)
        if len(done) == batch:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_train_batch_end", count)
        with pytest.raises((Interrupted, KeyboardInterrupt)):
            ml.train(*arguments)


@pytest.mark.parametrize("name", QUICK)
def test_the_printed_line_ends_in_the_same_weights(tmp_path, monkeypatch, capsys, name):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    monkeypatch.chdir(whole)
    ml.train(*words(name))
    jobs = len(runs_in(whole))
    batch = random.Random(name).randrange(1, BATCHES) + BATCHES * (jobs - 1)  # a sweep is interrupted in its last job
    monkeypatch.chdir(broken)
    capsys.readouterr()
    interrupted_at(batch, monkeypatch, *words(name))
    line = shlex.split(pasted(capsys.readouterr().out))
    assert line[:4] == ["python", "-m", "mnist_lightning", "train"]
    before = set(runs_in(broken))
    ml.train(*line[4:])
    [resumed] = set(runs_in(broken)) - before
    assert_same(resumed, runs_in(whole)[-1])


INTERRUPTED = """
import os, runpy, signal, sys
from mnist_lightning.callbacks import Progress

batch, script, *arguments = sys.argv[1:]
done = []


def count(self, *_):
    done.append(1)
    if len(done) == int(batch):
        os.kill(os.getpid(), signal.SIGINT)


Progress.on_train_batch_end = count
sys.argv = [script, *arguments]
runpy.run_path(script, run_name="__main__")
"""


def in_shell(line, folder, code=0):
    """Give a line to a shell, in a folder: what it printed."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        line, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_pasted_into_a_shell_ends_in_the_same_weights(tmp_path, name):
    if name == "MNIST" and not (PROJECT / "data" / "MNIST").exists():
        pytest.skip("needs MNIST in data/")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
        (folder / "scripts").symlink_to(PROJECT / "scripts")
    line = shlex.join(["python", "scripts/train.py", *words(name)])
    draws = random.Random(name)
    (broken / "interrupted.py").write_text(INTERRUPTED)
    in_shell(line, whole)
    expected = runs_in(whole)
    batch = draws.randrange(1, BATCHES) + BATCHES * (len(expected) - 1)
    said = in_shell(shlex.join(["python", "interrupted.py", str(batch), "scripts/train.py", *words(name)]), broken, 130)
    before = set(runs_in(broken))
    in_shell(pasted(said), broken)
    [resumed] = set(runs_in(broken)) - before
    if name == "a seed that was drawn":
        seed = json.loads((resumed / "training_metrics.json").read_text())["seed"]
        again = tmp_path / "again"
        again.mkdir()
        (again / "scripts").symlink_to(PROJECT / "scripts")
        in_shell(f"{line} seed={seed}", again)
        expected = runs_in(again)
    assert_same(resumed, expected[-1])
