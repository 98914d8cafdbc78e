"""The scripts as a user meets them, each in a process, none of which gets as far as importing torch."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"
HEAVY = ("torch", "lightning", "torchvision", "cv2", "matplotlib", "sklearn", "torchmetrics", "optuna", "sqlalchemy")


def start(folder, script, *arguments, **environment):
    return subprocess.run(
        [sys.executable, str(SCRIPTS / f"{script}.py"), *arguments],
        cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def left_in(folder):
    """What a run left: files, and folders deeper than outputs/."""
    paths = [path.relative_to(folder) for path in folder.rglob("*")]
    return [str(path) for path in paths if str(path) != "outputs"]


# script, arguments -> the whole of stderr
MISTAKES = {
    "train trainer.max_epoch=3": "There is no setting trainer.max_epoch: did you mean trainer.max_epochs?",
    "train trainr.max_epochs=3": "There is no setting trainr.max_epochs: did you mean trainer.max_epochs?",
    "train sed=3": "There is no setting sed: did you mean seed?",
    "train modle=cnn": "There is no setting modle: did you mean model?",
    "train +trainer.max_epoch=3": "There is no setting trainer.max_epoch: did you mean trainer.max_epochs?",
    "train model.hidden_sizes=[3]": "There is no setting model.hidden_sizes here: it belongs to another choice of "
    "model= than the one made.",
    "train optimizer.lr=-1": "optimizer.lr=-1 does not do: it must be a number above 0.",
    "train data.batch_size=0": "data.batch_size=0 does not do: it must be a whole number, 1 or more.",
    "train trainer.max_epochs=ten": "trainer.max_epochs=ten does not do: it must be a whole number, 1 or more.",
    "train data.num_folds=5 data.fold=5": "data.fold=5 does not do: with data.num_folds=5 it is 0 to 4.",
    "train model=cn": "There is no model=cn: did you mean cnn? Known: checkpoint, cnn, lenet5, mlp.",
    "train logger=tensorbord": "There is no logger=tensorbord: did you mean tensorboard? Known: ",
    "train model=3": "A choice such as model=cnn is a name: a number or another value does not do there.",
    "train ~seed": "~seed takes away what the program needs: set it to another value.",
    "train seed=${data.nope}": "Interpolation key 'data.nope' not found",
    "train ckpt=nowhere.ckpt": "There is no checkpoint nowhere.ckpt: give a .ckpt file, a run folder, ",
    "train ckpt_path=nowhere.ckpt": "There is no checkpoint nowhere.ckpt: give a .ckpt file, a run folder, ",
    "train outputs=/dev/null/here": "The run folder /dev/null/here/train/",
    "eval ckpt=nowhere": "There is no checkpoint nowhere: give a .ckpt file, a run folder, ",
    "eval ckpt=latest": "There is no finished run under outputs yet: train one with `python scripts/train.py`, ",
    "eval model=mlp": "There is no setting model: ",
    "evaluate_suite ckpt=nowhere": "There is no checkpoint nowhere: give a .ckpt file, a run folder, ",
    "evaluate_suite outliers=letters": "outliers=letters does not do: it must be a list of entries, each a text.",
    "predict": "image is not given: add image=... to the command.",
    "predict image=nowhere.png": "There is no image nowhere.png: give a file, or a glob in quotes such as ",
    "predict image=my.png(1)": "The command line could not be read (",
    "predict device=tpu image=a.png": "device=tpu does not do: it must be one of auto, cpu, cuda, mps.",
}


ALL_AT_ONCE = """
import json, os, runpy, sys
import mnist_lightning.cli  # what each process would otherwise import anew

codes = []
for number, (script, *arguments) in enumerate(json.load(sys.stdin)):
    os.mkdir(str(number))
    child = os.fork()
    if child == 0:
        os.chdir(str(number))
        for stream in (1, 2):
            os.dup2(os.open(f"../{number}.{stream}", os.O_CREAT | os.O_WRONLY), stream)
        sys.argv = [script, *arguments]
        try:
            runpy.run_path(script, run_name="__main__")
        finally:
            open(f"../{number}.modules", "w").write("\\n".join(sys.modules))
        sys.exit()
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(codes))
"""


@pytest.fixture(scope="module")
def mistakes_made(tmp_path_factory):
    """Every mistake, each in an empty folder and in a process of its own, forked to spare the imports.

    command -> exit code, stdout, stderr, what is left in the folder, modules imported.
    """
    folder = tmp_path_factory.mktemp("mistakes")
    commands = [command.split() for command in MISTAKES]
    done = subprocess.run(
        [sys.executable, "-c", ALL_AT_ONCE],
        input=json.dumps([[str(SCRIPTS / f"{script}.py"), *arguments] for script, *arguments in commands]),
        cwd=folder, capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    texts = [[(folder / f"{n}.{name}").read_text() for name in (1, 2, "modules")] for n in range(len(commands))]
    return {
        command: (code, out, err, left_in(folder / str(number)), modules.split())
        for number, (command, code, (out, err, modules)) in enumerate(
            zip(MISTAKES, json.loads(done.stdout), texts, strict=True)
        )
    }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its processes")
@pytest.mark.parametrize(("command", "told"), MISTAKES.items())
def test_a_mistake_ends_in_one_sentence_and_leaves_nothing(mistakes_made, command, told):
    code, stdout, stderr, left, modules = mistakes_made[command]
    assert stderr.startswith(told), stderr
    assert stderr.count("\n") == 1  # one line, the sentence
    assert (code, stdout, left) == (2, "", [])
    assert set(HEAVY) & set(modules) == set()  # and it comes before the slow imports


def test_a_value_with_brackets_in_quotes_twice_is_read(tmp_path):
    done = start(tmp_path, "predict", 'image="my digit (1).png"')
    assert done.stderr.startswith("There is no image my digit (1).png: ")


def test_an_outputs_folder_that_is_a_file_is_said(tmp_path):
    (tmp_path / "results").write_text("")
    done = start(tmp_path, "train", "outputs=results")
    assert re.fullmatch(
        r"The run folder results/train/\S+ cannot be made \(Not a directory\): choose another with `outputs=`\.\n",
        done.stderr,
    )
    assert done.returncode == 2
    assert left_in(tmp_path) == ["results"]


def test_a_mistake_removes_its_own_run_folder_and_no_other(tmp_path):
    kept = tmp_path / "outputs" / "train" / time.strftime("%Y-%m-%d") / "00-00-00-000000"
    kept.mkdir(parents=True)
    assert start(tmp_path, "train", "seed=-1").returncode == 2
    assert left_in(tmp_path / "outputs") == [str(path.relative_to(tmp_path / "outputs")) for path in (
        kept.parent.parent, kept.parent, kept)]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "environment"), [(["seed=-1"], {"HYDRA_FULL_ERROR": "1"}), (["seed=-1", "debug=fast"], {})]
)
def test_the_traceback_is_there_for_those_who_ask(tmp_path, arguments, environment):
    done = start(tmp_path, "train", *arguments, **environment)
    assert "Traceback (most recent call last)" in done.stderr
    assert "UserError: seed=-1 does not do: it must be a whole number, 0 or more." in done.stderr
    assert done.returncode not in (0, 2)
    assert left_in(tmp_path) == []


FAULTY = """
import pathlib, signal, sys
sys.path.insert(0, {package!r})
from mnist_lightning.cli.script import script
from mnist_lightning.errors import Interrupted

@script("eval")
def main(settings, run):
    assert sorted(settings) == ["ckpt", "data", "device", "outputs", "precision", "tta"]
    assert type(settings["data"]) is dict
    assert run.is_dir() and run.parent.parent == pathlib.Path.cwd() / "outputs" / "eval"
    {does}

main()
"""


@pytest.mark.parametrize(
    ("does", "code", "stderr"),
    [
        ("(run / 'result').touch()", 0, r""),
        ("raise Interrupted(signal.SIGTERM)", 143, r"Interrupted by SIGTERM\.\n"),
        ("raise KeyboardInterrupt", 130, r"(?s).*Interrupted\.\n"),
        ("1 / 0", 1, r"(?s).*Traceback.*ZeroDivisionError: division by zero\n"),
        ("raise ValueError('a fault')", 1, r"(?s).*Traceback.*ValueError: a fault\n"),
    ],
)
def test_the_exit_code_says_how_it_ended(tmp_path, does, code, stderr):
    program = FAULTY.format(package=str(SCRIPTS.parent), does=does)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert re.fullmatch(stderr, done.stderr), done.stderr
    assert done.returncode == code
    assert ("outputs/eval" in left_in(tmp_path)) == (code in (0, 1))  # a program's fault leaves its log, an end nothing


@pytest.mark.parametrize("script", sorted(path.stem for path in SCRIPTS.glob("*.py")))
@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]])
def test_help_and_cfg_answer_without_anything_heavy(tmp_path, script, arguments):
    path = str(SCRIPTS / f"{script}.py")
    probe = (
        f"import runpy, sys; sys.argv = {[path, *arguments]!r}; runpy.run_path({path!r}, run_name='__main__'); "
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("heavy: []\n")
    assert (": outputs\n" if "--cfg" in arguments else f"\n  python scripts/{script}.py ") in done.stdout
    assert left_in(tmp_path) == []


def test_help_lists_the_choices_of_this_script(tmp_path):
    said = start(tmp_path, "eval", "--help").stdout
    assert "\n\ndata: auto, digits, emnist_digits, fashion_mnist, kmnist, mnist, qmnist, usps\n" in said
    assert "\ntta: none, views\n\n" in said
    assert "\ndevice: auto\n" in said
    assert "optimizer:" not in said  # another script's


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]])
def test_help_and_cfg_answer_at_once(tmp_path, arguments):
    def seconds(*command):
        began = time.perf_counter()
        subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, check=True, timeout=60)
        return time.perf_counter() - began

    ours = (str(SCRIPTS / "train.py"), *arguments)
    # The best of several rounds, taken in turns: the machine may be busy with other things.
    rounds = [(seconds(*ours), seconds("-c", "import hydra, omegaconf")) for _ in range(3)]
    best, bare = (min(times) for times in zip(*rounds, strict=True))
    assert best < 2 * bare + 0.3
