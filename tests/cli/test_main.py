"""The scripts as a user meets them, each in a process, none of which gets as far as importing torch."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
HEAVY = ("torch", "lightning", "torchvision", "cv2", "matplotlib", "sklearn", "torchmetrics", "optuna", "sqlalchemy")


def start(folder, script, *arguments, **environment):
    return subprocess.run(
        [sys.executable, str(SCRIPTS / f"{script}.py"), *arguments],
        cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def left_in(folder):
    """What a run left: files, and folders deeper than outputs/."""
    paths = [path.relative_to(folder) for path in folder.rglob("*")]
    return [str(path) for path in paths if str(path) != "outputs"]


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
    "train model=3": "A choice such as model=cnn is a name: it cannot be a number or another value.",
    "train ~seed": "~seed takes away what the program needs: set it to another value.",
    "train ~callbacks": "~callbacks takes away what the program needs: set it to another value.",
    "train seed=${data.nope}": "callbacks.seeding.seed cannot be filled in: Interpolation key 'data.nope' not found.",
    "train ckpt=nowhere.ckpt": "There is no checkpoint nowhere.ckpt: give a .ckpt file, a run folder, ",
    "train ckpt_path=nowhere.ckpt": "There is no checkpoint nowhere.ckpt: give a run folder, `latest` or a .ckpt file ",
    "train outputs=/dev/null/here": "The run folder /dev/null/here/train/",
    "train --max_epochs 3": "There is no flag --max_epochs: write trainer.max_epochs=3.",
    "train search=lr": "search= is for many runs: add -m, as in `python scripts/train.py -m search=lr`.",
    "train --config-name eval": "--config-name eval is the config of another command: run scripts/eval.py instead.",
    "train +callbacks.mine._target_=mnist_lightning.callbacks.WorstMistakes +callbacks.mine.cuont=3": "There is no "
    "setting callbacks.mine.cuont: did you mean callbacks.mine.count?",
    "train model._target_=mnist_lightning.models.MLP": "There is no setting model.channels",
    "eval ckpt=nowhere": "There is no checkpoint nowhere: give a .ckpt file, a run folder, ",
    "eval ckpt=latest": "There is no finished run under outputs yet: train one with `python scripts/train.py`, ",
    "eval model=mlp": "There is no setting model. `--cfg job` prints them all.",
    "evaluate_suite ckpt=nowhere": "There is no checkpoint nowhere: give a .ckpt file, a run folder, ",
    "evaluate_suite outliers=letters": "outliers=letters is not allowed: outliers should be a list of 1 or more "
    "entries, each a text.",
    "predict": "image is not given: add image=... to the command.",
    "predict image=nowhere.png": "There is no image nowhere.png: give a file, or a glob in quotes such as ",
    "predict image=my.png(1)": "There is no image my.png(1): give a file, or a glob in quotes such as ",
    "predict device=tpu image=a.png": "device=tpu is not allowed: device should be one of auto, cpu, cuda, mps.",
    "results metric=acuracy": "metric=acuracy is not allowed: metric should be one of val_accuracy, val_loss, test_acc",
}


ALL_AT_ONCE = """
import json, os, runpy, sys
import mnist_lightning.cli.main  # what each process would otherwise import anew

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
        cwd=folder, capture_output=True, text=True, timeout=500, check=True,
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
    assert "UserError: seed=-1 is not allowed: seed should be a whole number from 0 to " in done.stderr
    assert done.returncode not in (0, 2)
    assert left_in(tmp_path) == []


FAULTY = """
import pathlib, signal, sys
sys.path[:0] = [{package!r}, {here!r}]
from mnist_lightning.cli import commands, main
from mnist_lightning.errors import Interrupted
from mnist_lightning.tasks.settings import Part, Views
from mnist_lightning.types import Device, Precision


def task(run, *, ckpt: str | None, outputs: str, allow: list[str], data: Part, device: Device, precision: Precision,
         tta: Views):
    assert type(data) is dict
    assert run.is_dir() and run.parent.parent == pathlib.Path.cwd() / "outputs" / "eval"
    {does}


if __name__ == "__main__":
    commands.COMMANDS["eval"] = commands.Command("faulty.task")
    main.main("eval")
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
    (tmp_path / "faulty.py").write_text(FAULTY.format(package=str(SCRIPTS.parent), here=str(tmp_path), does=does))
    done = subprocess.run(
        [sys.executable, "faulty.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
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
        [sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("heavy: []\n")
    assert (": outputs\n" if "--cfg" in arguments else f"\n  python scripts/{script}.py ") in done.stdout
    assert left_in(tmp_path) == []


def test_help_lists_the_choices_of_this_script(tmp_path):
    said = start(tmp_path, "eval", "--help").stdout
    assert "\n\ndata: auto, digits, emnist_digits, fashion_mnist, kmnist, mnist, qmnist, trained, usps\n" in said
    assert "\ntta: none, views\n\n" in said
    assert "\ndevice: auto\n" in said
    assert "optimizer:" not in said  # another script's


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]])
def test_help_and_cfg_answer_at_once(tmp_path, arguments):
    def seconds(*command):
        began = time.perf_counter()
        subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, check=True, timeout=120)
        return time.perf_counter() - began

    ours = (str(SCRIPTS / "train.py"), *arguments)
    # The best of several rounds, taken in turns: the machine may be busy with other things.
    rounds = [(seconds(*ours), seconds("-c", "import hydra, omegaconf")) for _ in range(3)]
    best, bare = (min(times) for times in zip(*rounds, strict=True))
    assert best < 2 * bare + 0.3


# ---- mnist-lightning <command>, and the command from Python


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 0, "usage: mnist-lightning <command>"),
        (["--help"], 0, "commands: train, eval, evaluate-suite, predict, draw, replay, export, serve, results"),
        (["trian"], 2, "usage: mnist-lightning <command>"),
        (["evaluate-suite", "--help"], 0, "python scripts/evaluate_suite.py"),
        (["evaluate_suite", "--cfg", "job"], 0, "outlier_images: 2000"),
    ],
)
def test_the_first_word_is_the_command(capsys, monkeypatch, tmp_path, arguments, code, said):
    from mnist_lightning.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mnist-lightning", *arguments])
    monkeypatch.setattr(sys, "orig_argv", ["python"])  # a test is not the program, which it ends
    ended = None
    try:
        main.main()
    except SystemExit as error:
        ended = error
    assert (ended.code if ended else 0) == code
    assert said in capsys.readouterr().out
    assert left_in(tmp_path) == []


def test_a_conf_folder_of_ones_own_is_on_the_search_path(compose, monkeypatch, tmp_path, capsys):
    from mnist_lightning.cli import main

    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 77\n")
    monkeypatch.chdir(tmp_path)
    main.run("train", ["experiment=mine", "--cfg", "job"])
    assert "\nseed: 77\n" in capsys.readouterr().out


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, mnist_lightning as ml; ml.__all__; print([each for each in {HEAVY!r} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_name_that_the_package_lacks_is_an_attribute_error():
    import mnist_lightning

    with pytest.raises(AttributeError, match=r"^module 'mnist_lightning' has no attribute 'nope'$"):
        mnist_lightning.nope  # noqa: B018
    for package in ("", ".models", ".callbacks", ".data"):
        module = __import__(f"mnist_lightning{package}", fromlist=["_"])
        assert [name for name in module.__all__ if getattr(module, name) is None] == []
