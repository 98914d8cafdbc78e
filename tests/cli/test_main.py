"""The scripts as a user meets them, each in a process, none of which gets as far as importing torch."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mnist_lightning

SCRIPTS = Path(__file__).parents[2] / "scripts"
RUNS = SCRIPTS.parent / "docs" / "results.json"
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
    assert (": outputs\n" if "--cfg" in arguments else f"\n  python {path} ") in done.stdout
    assert left_in(tmp_path) == []


def test_help_lists_the_choices_of_this_script(tmp_path):
    said = start(tmp_path, "eval", "--help").stdout
    assert "\n\ndata: auto, digits, emnist_digits, fashion_mnist, kmnist, mnist, qmnist, trained, usps\n" in said
    assert "\ntta: none, views\n\n" in said
    assert "\ndevice: auto\n" in said
    assert "optimizer:" not in said  # another script's


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]])
def test_help_and_cfg_answer_at_once(tmp_path, arguments, slower):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}

    def seconds(*command):
        before = os.times()  # of the processor: the machine may be busy with other things
        subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, check=True, timeout=120
        )
        after = os.times()
        return sum(getattr(after, name) - getattr(before, name) for name in ("children_user", "children_system"))

    ours = (str(SCRIPTS / "train.py"), *arguments)
    seconds(*ours)  # which compiles the modules
    rounds = [(seconds(*ours), seconds("-c", "import hydra, omegaconf")) for _ in range(3)]
    best, bare = (min(times) for times in zip(*rounds, strict=True))
    assert best < 2 * bare + 0.3 or best < 2 * bare + 0.3 * slower()


# ---- mnist-lightning <command>, and the command from Python


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 0, "usage: mnist-lightning <command>"),
        (["--help"], 0, "commands: train, eval, evaluate-suite, predict, draw, replay, export, serve, results"),
        (["help"], 0, "usage: mnist-lightning <command>"),
        (["--version"], 0, f"mnist-lightning {mnist_lightning.__version__}\n"),
        (["eval", "--version"], 0, f"mnist-lightning {mnist_lightning.__version__}\n"),
        (["trian"], 2, "There is no command trian: did you mean train? Known: train, eval, evaluate-suite, predict, "),
        (["eval", "ckpt=latest"], 2, "yet: train one with `mnist-lightning train`, or take ckpt=pretrained."),
        (["--verbose"], 2, "There is no command --verbose. Known: train, "),
        (["evaluate-suite", "--help"], 0, "\n  mnist-lightning evaluate-suite ckpt=latest data=mnist\n"),
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
    out, err = capsys.readouterr()
    assert said in (err if code else out)
    assert left_in(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize("arguments", [["--help"], [f"runs={RUNS}"]])
def test_a_command_whose_output_nobody_reads_any_more_ends_without_a_traceback(tmp_path, arguments):
    script = [
        sys.executable,
        "-u",
        str(SCRIPTS / "results.py"),
        *arguments,
    ]  # -u: not at the end, where Python is silent
    process = subprocess.Popen(script, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141


def test_a_conf_folder_of_ones_own_is_on_the_search_path(compose, monkeypatch, tmp_path, capsys):
    from mnist_lightning.cli import main

    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 77\n")
    monkeypatch.chdir(tmp_path)
    main.run("train", ["experiment=mine", "--cfg", "job"])
    assert "\nseed: 77\n" in capsys.readouterr().out


# ---- a process that torchrun started and that is not the first


@pytest.fixture
def followed(monkeypatch, tmp_path):
    """`followed("-cn", "train", ...)`: what the second of two ranks trains with, if it trains."""
    from mnist_lightning.cli import commands, main

    monkeypatch.chdir(tmp_path)
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    trained = []
    monkeypatch.setattr(
        commands.Command, "load", lambda self: lambda settings, run, asked: trained.append((settings, asked))
    )

    def followed(*arguments):
        main.run("train", list(arguments))
        return trained

    return followed


@pytest.mark.parametrize(
    "flags", ["--help", "--cfg job", "-c job", "--info", "--hydra-help", "--version", "-sc install=bash"]
)
def test_where_the_first_rank_prints_something_the_others_leave(followed, flags):
    assert followed(*flags.split(), "data=digits") == []


@pytest.mark.parametrize("flags", ["", "-cn train", "--config-name=train", "--run", "--config-dir {here}"])
def test_with_any_other_flag_they_train_too(followed, flags, tmp_path):
    [(settings, asked)] = followed(*flags.format(here=tmp_path).split(), "data=digits", "hydra.verbose=true", "seed=3")
    assert (settings["data"]["name"], settings["seed"]) == ("digits", 3)
    assert asked == {"overrides": ["data=digits", "seed=3"]}


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


@pytest.mark.parametrize(
    ("called", "said"),
    [
        ("scripts/train.py", "python scripts/train.py"),
        ("scripts/results.py", "python scripts/train.py"),
        ("/some where/scripts/train.py", "python '/some where/scripts/train.py'"),
        ("/env/bin/mnist-lightning", "mnist-lightning train"),
        ("/env/lib/mnist_lightning/__main__.py", "python -m mnist_lightning train"),
        ("/env/lib/pytest/__main__.py", "python -m mnist_lightning train"),
        ("/home/me/train.py", "python -m mnist_lightning train"),
        ("-c", "python -m mnist_lightning train"),
    ],
)
def test_a_command_is_called_again_as_it_was_called(monkeypatch, called, said):
    import shlex

    from mnist_lightning.cli import commands

    monkeypatch.setattr(sys, "argv", [called, "seed=1"])
    assert shlex.join(commands.program("train")) == said


def test_a_record_names_a_script_from_the_projects_folder(monkeypatch):
    from mnist_lightning.cli import commands

    monkeypatch.setattr(sys, "argv", ["/some where/scripts/train.py"])
    assert commands.program("repeat", home=True) == ["python", "scripts/repeat.py"]
