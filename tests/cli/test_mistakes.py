"""What a user gets wrong: one sentence, exit code 2, within a second, nothing left; no import of anything heavy."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_lightning.run import folder as runs
from mnist_lightning.run import record as records
from mnist_lightning.run.record import Record

SCRIPTS = Path(__file__).parents[2] / "scripts"
HEAVY = ("torch", "lightning", "torchvision", "matplotlib", "sklearn", "torchmetrics", "optuna", "sqlalchemy")

# script, arguments -> the whole of stderr, or how it begins
MISTAKES = {
    "train trainer.max_epoch=3": "There is no setting trainer.max_epoch: did you mean trainer.max_epochs?",
    "train trainr.max_epochs=3": "There is no setting trainr.max_epochs: did you mean trainer.max_epochs?",
    "train sed=3": "There is no setting sed: did you mean seed?",
    "train modle=cnn": "There is no setting modle: did you mean model?",
    "train +trainer.max_epoch=3": "There is no setting trainer.max_epoch: did you mean trainer.max_epochs?",
    "train model.hidden_sizes=[3]": "There is no setting model.hidden_sizes here: it belongs to another choice of "
    "model= than the one made.",
    "train optimizer.lr=fast": "optimizer.lr=fast is not allowed: optimizer.lr should be a number",
    "train data.batch_size=0": "data.batch_size=0 is not allowed: data.batch_size should be a whole number, 1 or more.",
    "train trainer.max_epochs=ten": "trainer.max_epochs=ten is not allowed: trainer.max_epochs should be a whole "
    "number, 1 or more.",
    "train data.num_folds=5 data.fold=5": "data.fold=5 is not allowed: with data.num_folds=5 it is 0 to 4.",
    "train model=cn": "There is no model=cn: did you mean cnn? Known: checkpoint, cnn, lenet5, mlp.",
    "train logger=tensorbord": "There is no logger=tensorbord: did you mean tensorboard? Known: ",
    "train callbacks=defualt": "There is no callbacks=defualt: did you mean default? Known: ",
    "train model=3": "There is no model=3. Known: checkpoint, cnn, lenet5, mlp.",
    "train debug=true": "There is no debug=true. Known: fast, limit, overfit, profile.",
    "train ~seed": "~seed takes away what the program needs: set it to another value.",
    "train ~callbacks": "~callbacks takes away what the program needs: set it to another value.",
    "train seed=${data.nope}": "callbacks.seeding.seed cannot be filled in: Interpolation key 'data.nope' not found.",
    "train ckpt=nowhere.ckpt": "There is no checkpoint nowhere.ckpt: give a .ckpt file, a run folder, ",
    "train ckpt_path=nowhere.ckpt": "There is no checkpoint nowhere.ckpt: give a run folder, `latest` or a .ckpt file ",
    "train outputs=/dev/null/here": "The run folder /dev/null/here/train/",
    "train --max_epochs 3": "There is no flag --max_epochs: write trainer.max_epochs=3.",
    "train -m seed=0,1 --cfg job": "-m cannot be combined with --cfg: leave -m out to see what one job would get.",
    "train search=lr search.trial=0": "search.trial=0 is for the search itself to set: leave it out.",
    "train search=lr": f"search= is for many runs: add -m, as in `python {SCRIPTS / 'train.py'} -m search=lr`.",
    "train --config-name eval": "--config-name eval is the config of another command: run scripts/eval.py instead.",
    "train +callbacks.mine._target_=mnist_lightning.callbacks.WorstMistakes +callbacks.mine.cuont=3": "There is no "
    "setting callbacks.mine.cuont: did you mean callbacks.mine.count?",
    "train model._target_=mnist_lightning.models.MLP": "mnist_lightning.models.MLP has no channels, kernels, pools, "
    "padding: these belong to the class that model._target_= has replaced. Write a file conf/model/mine.yaml with "
    "`_target_: mnist_lightning.models.MLP` and what it takes, and give model=mine.",
    "eval ckpt=nowhere": "There is no checkpoint nowhere: give a .ckpt file, a run folder, ",
    "eval ckpt=latest": "There is no finished run under outputs yet: train one with `python ",
    "eval model=mlp": "There is no setting model. `--cfg job` prints them all.",
    "evaluate_suite ckpt=nowhere": "There is no checkpoint nowhere: give a .ckpt file, a run folder, ",
    "evaluate_suite outliers=letters": "outliers=letters is not allowed: outliers should be a list of 1 or more "
    "entries, each a text.",
    "predict": "image is not given: add image=... to the command.",
    "predict image=nowhere.png": "There is no image nowhere.png: give a file, or a glob in quotes such as ",
    "predict image=my.png(1)": "There is no image my.png(1): give a file, or a glob in quotes such as ",
    "predict device=tpu image=a.png": "device=tpu is not allowed: device should be one of auto, cpu, cuda, mps.",
    "results metric=acuracy": "metric=acuracy is not allowed: metric should be one of val_accuracy, val_loss, test_acc",
    # settings as other programs call them, in another case, with a + too many or too few
    "train --epochs 3": "There is no flag --epochs: write trainer.max_epochs=3.",
    "train epochs=3": "There is no setting epochs: did you mean trainer.max_epochs?",
    "train learning_rate=0.1": "There is no setting learning_rate: did you mean optimizer.lr?",
    "train gpus=1": "There is no setting gpus: did you mean trainer.devices?",
    "train data=MNIST": "There is no data=MNIST: did you mean mnist? Known: ",
    "train model=CNN": "There is no model=CNN: did you mean cnn? Known: ",
    "train Seed=3": "There is no setting Seed: did you mean seed?",
    "train +trainer.max_epochs=3": "trainer.max_epochs is a setting already: write it without the + in front.",
    "train +model=mlp": "model is a setting already: write it without the + in front.",
    "train trainer.benchmark=true": "trainer.benchmark is an argument of mnist_lightning.tasks.trainer.Trainer that is "
    "not in conf/: write it with a + in front, +trainer.benchmark=...",
    "train +trainer.benchmrk=true": "There is no setting trainer.benchmrk: did you mean trainer.benchmark?",
    "train tags=smoke": "tags=smoke is not allowed: tags should be a list, each a text that is not empty. A list is in "
    "brackets: 'tags=[smoke]'.",
    "train debug=profiler": "There is no debug=profiler: did you mean profile? Known: fast, limit, overfit, profile.",
    "train data=cifar10": "There is no data=cifar10. Known: auto, digits, ",
    "train --config-dir nowhere": "There is no folder nowhere: --config-dir= takes a folder that is laid out as conf/",
    "train -cn nowhere": "There is no config nowhere",
    "train model.lr=0.1": "There is no setting model.lr: did you mean optimizer.lr?",
    # not key=value
    "train epochs 3": "epochs is not key=value: write trainer.max_epochs=..., without spaces.",
    "train trainer.max_epochs = 3": "trainer.max_epochs is not key=value: write trainer.max_epochs=..., without ",
    "train trainer.max_epochs= 3": "3 is not key=value: write each setting as one word, without spaces.",
    "train trainer.max_epochs:3": "trainer.max_epochs:3 is not key=value: write trainer.max_epochs=3, without spaces.",
    "train outputs/latest": "outputs/latest is not key=value: write each setting as one word, without spaces.",
    "eval outputs/latest": "outputs/latest is not key=value: write ckpt=outputs/latest, without spaces.",
    "predict docs/seven.png": "docs/seven.png is not key=value: write image=docs/seven.png, without spaces.",
    "predict seven.png": "seven.png is not key=value: write image=seven.png, without spaces.",
    r"replay 'C:\pen strokes\a.jsonl'": r"C:\pen strokes\a.jsonl is not key=value: write 'strokes=C:\pen ",
    "train optimizer.lr=0,01": "optimizer.lr=0,01 has several values: write -m for one run with each, or a list in "
    "brackets.",
    "train 'seed=range(3)'": "seed=range(3) has several values: write -m for one run with each, ",
    # what this machine or package has not
    "train data.name=cifar10": "There is no data set cifar10. Known: auto, digits, ",
    "train data.name=kminst": "There is no data set kminst: did you mean kmnist? Known: auto, digits, ",
    "train data=trained": "There is no data set trained",
    "eval data.name=cifar10": "There is no data set cifar10",
    "train trainer=mps": "There is no mps device on this machine: take auto, which picks one that is there, or cpu.",
    "train trainer=gpu": "There is no cuda device on this machine: take auto, which picks one that is there, or cpu.",
    "predict image=a.png device=cuda": "There is no cuda device on this machine: take auto, which picks one that is ",
    # values that a library would refuse after seconds, or never
    "train seed=4294967296": "seed=4294967296 is not allowed: seed should be a whole number from 0 to below 4294967296",
    "train data.split_seed=1e23": "data.split_seed=1e+23 is not allowed: data.split_seed should be a whole number",
    "train data.split_seed=18446744073709551616": "data.split_seed=18446744073709551616 is not allowed: ",
    "train runtime.threads=9999999999999": "runtime.threads=9999999999999 is not allowed: runtime.threads should be a",
    "train optimizer.lr=-1": "optimizer.lr=-1 is not allowed: optimizer.lr should be above 0.",
    "train optimizer.weight_decay=-1": "optimizer.weight_decay=-1 is not allowed: optimizer.weight_decay should be 0 o",
    "train trainer.max_time=soon": "trainer.max_time=soon is not allowed: expected DD:HH:MM:SS, as in 00:01:30:00.",
    "train trainer.val_check_interval=0": "trainer.val_check_interval=0 is not allowed: trainer.val_check_interval ",
    "train trainer.max_steps=0": "trainer.max_steps=0 is not allowed: trainer.max_steps should be 1 or more, or -1 ",
    "train trainer.min_epochs=0": "trainer.min_epochs=0 is not allowed: trainer.min_epochs should be 1 or more.",
    "train trainer.profiler=fast": "trainer.profiler=fast is not allowed: trainer.profiler should be one of simple, ",
    "train hydra.run.dir=/proc/x": "hydra.run.dir=/proc/x cannot be made (",
    "train -m hydra.sweep.dir=/proc/x seed=0,1": "hydra.sweep.dir=/proc/x cannot be made (",
    "train -m hydra.sweep.subdir=same seed=0,1": "hydra.sweep.subdir=same gives jobs 0 and 1 the same folder same: ",
    "train -m hydra.sweeper.max_batch_size=0 seed=0,1": "hydra.sweeper.max_batch_size=0 is not allowed: expected a ",
    "train -m hydra/launcher=joblib hydra.launcher.n_jobs=0 seed=0,1": "hydra.launcher.n_jobs=0 is not allowed: ",
    # what other runs have left, and the user's own configs
    "train ckpt_path=latest": "There is no finished run under outputs yet: name a run folder with ckpt_path=.",
    "train ckpt_path=outputs/train/done": "outputs/train/done/checkpoints/last.ckpt has done 2 epochs already: ask for",
    "train outputs=./outputs ckpt_path=latest": "{here}/outputs/train/done/checkpoints/last.ckpt has done 2 epochs ",
    "train hydra.run.dir=outputs/train/done": "hydra.run.dir=outputs/train/done holds a run already: name another ",
    "train seed=1": "{here}/conf/local/default.yaml",
    "train seed=2": "model=mlp is not allowed: model should be a mapping. To choose mlp in a file, write",
    # the other commands
    "draw ckpt=nowhere": "There is no checkpoint nowhere: give a .ckpt file, a run folder, ",
    "draw theme=blue": "theme=blue is not allowed: theme should be one of light, dark.",
    "draw window=[10]": "window=[10] is not allowed: window should be a list",
    "draw pen_width=99": "pen_width=99 is not allowed: pen_width should be a number from 4 to 60.",
    "replay": "strokes is not given: add strokes=... to the command.",
    "replay strokes=nowhere.jsonl": "There is no stroke file nowhere.jsonl",
    "replay strokes=a.jsonl pen=3": "There is no setting pen",
    "export format=docx": "format=docx is not allowed: format should be one of onnx, ",
    "export format=safetensors quantize=int8": "quantize=int8 cannot be combined with format=safetensors: expected ",
    "export output=a.pt": "output=a.pt cannot be written with format=onnx: expected a name that ends in .onnx.",
    "serve port=99999": "port=99999 is not allowed: port should be a whole number from 0 to 65535.",
    "serve serve.queue=0": "serve.queue=0 is not allowed: serve.queue should be a whole number, 1 or more.",
    "serve serve.strokes=1001": "serve.strokes=1001 is not allowed: serve.strokes should be a whole number from 1 ",
    "results runs=nowhere": "There are no runs under runs=nowhere: give a folder of runs, or a glob in quotes.",
    "results format=xlsx": "format=xlsx is not allowed: format should be one of table, csv, markdown, json.",
}


def finished_run(folder):
    """The record of a run that has done its two epochs, which is `latest` too."""
    run = folder / "outputs" / "train" / "done"
    (run / "checkpoints").mkdir(parents=True)
    (run / runs.LAST).touch()
    history = {name: [1, 2] if name == "epoch" else [0.5, 0.5] for name in records.HISTORY}
    Record(run, {"history": history, "hyperparameters": {"trainer": {"max_epochs": 2}}}).finished()
    runs.mark_latest(run, folder / "outputs")


def local_config(text):
    """A config of the user's own, in the folder where the command is given."""

    def write(folder):
        (folder / "conf" / "local").mkdir(parents=True)
        (folder / "conf" / "local" / "default.yaml").write_text(text)

    return write


BEFORE = {
    "train ckpt_path=outputs/train/done": finished_run,
    "train outputs=./outputs ckpt_path=latest": finished_run,
    "train hydra.run.dir=outputs/train/done": finished_run,
    "train seed=1": local_config("# @package _global_\nmodel: [\n"),
    "train seed=2": local_config("# @package _global_\nmodel: mlp\n"),
}
"""What is in the folder before the mistake is made there; nothing where it is not named here."""


ALL_AT_ONCE = """
import json, os, runpy, sys, time
import mnist_lightning.cli.main  # what each process would otherwise import anew

started, told = time.process_time(), []
for script, *arguments in json.load(sys.stdin):
    number = len(told)
    child = os.fork()
    if child == 0:
        os.chdir(str(number))
        for stream in (1, 2):
            os.dup2(os.open(f"../{number}.{stream}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), stream)
        sys.argv = [script, *arguments]
        try:
            runpy.run_path(script, run_name="__main__")
        finally:
            open(f"../{number}.modules", "w").write("\\n".join(sys.modules))
        sys.exit()
    _, status, usage = os.wait4(child, 0)
    told.append((os.waitstatus_to_exitcode(status), started + usage.ru_utime + usage.ru_stime))
print(json.dumps(told))
"""


def left_in(folder):
    """What lies in a folder, but for an empty outputs/."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} - {"outputs"}


def make(commands, folder):
    """Make the mistakes, each in a folder and in a process of its own, forked to spare the imports.

    Returns:
        command -> exit code, seconds of a processor (the imports included), stdout, stderr, what is left in its
        folder, modules imported.
    """
    before = []
    for number, command in enumerate(commands):
        here = folder / str(number)
        here.mkdir(parents=True)
        BEFORE.get(command, lambda _: None)(here)
        before.append(left_in(here))
    words = [shlex.split(command) for command in commands]
    done = subprocess.run(
        [sys.executable, "-c", ALL_AT_ONCE],
        input=json.dumps([[str(SCRIPTS / f"{script}.py"), *arguments] for script, *arguments in words]),
        cwd=folder, capture_output=True, text=True, timeout=500, check=True,
    )  # fmt: skip
    made = {}
    for number, (command, (code, seconds)) in enumerate(zip(commands, json.loads(done.stdout), strict=True)):
        out, err, modules = ((folder / f"{number}.{name}").read_text() for name in (1, 2, "modules"))
        err = err.replace(str(folder / str(number)), "{here}")
        made[command] = (code, seconds, out, err, left_in(folder / str(number)) - before[number], modules.split())
    return made


@pytest.fixture(scope="module")
def mistakes_made(tmp_path_factory):
    """Every mistake, made once."""
    return make(list(MISTAKES), tmp_path_factory.mktemp("mistakes"))


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its processes")


@forks
@pytest.mark.parametrize(("command", "told"), MISTAKES.items())
def test_a_mistake_ends_in_one_sentence_and_leaves_nothing(mistakes_made, command, told):
    code, _, stdout, stderr, left, modules = mistakes_made[command]
    assert stderr.startswith(told), stderr
    assert stderr.count("\n") == 1  # one line, the sentence
    assert (code, stdout, left) == (2, "", set())
    if command.split()[0] in ("train", "eval", "evaluate_suite", "results"):
        assert set(HEAVY) & set(modules) == set()  # and it comes before the slow imports


@forks
def test_each_of_them_is_answered_within_a_second(mistakes_made, tmp_path, slower):
    """Of a processor: whatever else the machine does meanwhile does not count."""
    slow = {command: made[1] for command, made in mistakes_made.items()}
    for attempt in range(5):  # processors that are shared take longer at times: the best of five counts
        slow = {command: seconds for command, seconds in slow.items() if seconds > 1}
        bound = slower() if slow else 1
        slow = {command: seconds for command, seconds in slow.items() if seconds > bound}
        if slow and attempt < 4:
            slow = {command: made[1] for command, made in make(list(slow), tmp_path / str(attempt)).items()}
    assert slow == {}


def test_there_are_more_than_ninety_of_them():
    assert len(MISTAKES) >= 90


WHOLE = ["train --epochs 3", "train data.name=cifar10", "train optimizer.lr=-1", "results runs=nowhere"]


@pytest.mark.parametrize("command", WHOLE)
def test_a_mistake_made_by_a_whole_command_is_told_the_same(tmp_path, command):
    script, *arguments = shlex.split(command)
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / f"{script}.py"), *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, left_in(tmp_path)) == (2, "", set())
    assert done.stderr.startswith(MISTAKES[command])
