"""A package that only an extra brings, and that is not installed: one sentence says which, for each command."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_lightning.errors import not_installed

PROJECT = Path(__file__).parents[2]
WITHOUT = """
import runpy, sys
sys.modules[sys.argv[1]] = None  # as if it were not installed
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
COMMANDS = [
    ("onnxscript", "export", "export ckpt=pretrained data=digits"),
    ("fastapi", "serve", "serve ckpt=pretrained"),
    ("uvicorn", "serve", "serve ckpt=pretrained"),
    ("onnxruntime", "export", "predict image=docs/images/seven.png ckpt=model.onnx"),
    ("ray", "sweeps", "train -m data=digits hydra/launcher=ray seed=0,1"),
    ("psycopg", "postgres", "train -m data=digits search=lr search.storage=postgresql+psycopg://nobody@localhost/none"),
]


@pytest.mark.parametrize(("package", "extra", "command"), COMMANDS)
def test_a_command_that_needs_an_extra_says_how_to_install_it(tmp_path, package, extra, command):
    (tmp_path / "model.onnx").write_bytes((PROJECT / "mnist_lightning/pretrained/mnist.onnx").read_bytes())
    script, *arguments = command.replace("docs/", f"{PROJECT}/docs/").split()
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, package, str(PROJECT / "scripts" / f"{script}.py"), *arguments],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    told = f'{package} is not installed: pip install "mnist-lightning[{extra}]".\n'
    assert (done.returncode, done.stderr.splitlines(keepends=True)[-1:]) == (2, [told]), done.stderr
    assert "Traceback" not in done.stderr


def test_other_imports_that_fail_stay_what_they_are():
    assert not_installed(ModuleNotFoundError("No module named 'net_of_mine'", name="net_of_mine")) is None
    assert not_installed(ImportError("cannot import name 'x'")) is None
    assert not_installed(ValueError("no import at all")) is None


def test_a_package_that_is_imported_by_another_name_than_it_is_installed_by_is_found():
    told = str(not_installed(ModuleNotFoundError("No module named 'mlflow'", name="mlflow.tracking")))
    assert told == 'mlflow is not installed: pip install "mnist-lightning[mlflow]".'


def test_what_makes_the_environment_installs_what_the_commands_of_the_readme_need():
    lines = [re.search(r"install .*(?:-e|--editable) (.*?)(?: -c.*)?$", line)
             for name in ("README.md", "docs/tutorial.md", "Makefile")
             for line in (PROJECT / name).read_text(encoding="utf-8").splitlines()]  # fmt: skip
    asked = {found[1] for found in lines if found and "dev" not in found[1]}
    assert asked == {'".[export,serve]"'}
