"""The import rule of ARCHITECTURE.md, read from the source: who may know whom, and who stays light."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent

# From the ground up. A module may import from its own room and from rooms on lower levels.
LEVELS = (
    {"__init__", "errors", "types", "arguments", "compat"},
    {"run"},
    {"ink", "plots", "distributed"},
    {"cli"},
    {"models"},
    {"data", "inference"},
    {"evaluation", "export", "service"},
    {"sweeps"},
    {"callbacks"},
    {"apps", "tasks"},
    {"__main__"},
)
# Importable in no time: what a command imports before it knows what to do. Its heavy imports stand in functions.
LIGHT = {"__init__", "__main__", "errors", "types", "arguments", "compat", "run", "distributed", "cli", "scripts",
         "hydra_plugins", "inference.files", "models.card", "plots.words", "sweeps.collect",
         "sweeps.conditions", "sweeps.groups", "sweeps.objectives", "sweeps.report", "sweeps.results",
         "sweeps.tables", "tasks.api", "tasks.ensemble", "tasks.evaluate", "tasks.repeat", "tasks.resume",
         "tasks.settings", "tasks.suite", "tasks.sweep", "tasks.train", "tasks.worker"}  # fmt: skip
HEAVY = {"torch", "lightning", "torchvision", "torchmetrics", "cv2", "matplotlib", "sklearn", "numpy", "onnx",
         "onnxruntime", "optuna", "sqlalchemy", "fastapi", "pydantic"}  # fmt: skip
# Modules that must not know of these packages, not even within a function.
STRANGERS = {
    "ink": {"torch", "torchvision", "lightning", "torchmetrics", "hydra", "omegaconf"},
    "run": {"lightning", "hydra", "omegaconf"},
    "run.record": {"torch"},
    "run.folder": {"torch"},
    "run.files": {"torch"},
    "cli": {"torch", "lightning"},
    "arguments": {"torch", "lightning", "hydra", "omegaconf"},
    "types": {"torch", "lightning", "hydra", "omegaconf"},
    "inference": {"lightning", "hydra", "omegaconf"},
    **{f"models.{name}": {"lightning", "hydra", "omegaconf"}
       for name in ("network", "prepare", "cnn", "mlp", "lenet5", "ensemble", "build", "checkpoint", "loss",
                    "optimizer", "schedule")},
}  # fmt: skip
# Only these speak with Hydra; everybody else gets plain values.
HYDRA = {"cli", "sweeps"}

PACKAGE = "mnist_lightning"
ABOVE = ("scripts", "benchmarks", "hydra_plugins")  # they may import all of it, and nothing of it may import them


class Module:
    """One source file: `name` is dotted below the package (`models.networks`), or `scripts.train`."""

    def __init__(self, root: Path, path: Path) -> None:
        self.path = path.relative_to(root)
        parts = [*self.path.parent.parts, self.path.stem]
        if parts[0] == PACKAGE:
            parts = parts[1:]
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        self.room = parts[0]
        self.tree = ast.parse(path.read_text())

    def imports(self, *, at_import_time: bool = False, typing: bool = True) -> Iterator[str]:
        """The full dotted name of whatever it imports; with `at_import_time` only what importing it imports."""
        nodes: list[ast.AST] = [self.tree]
        while nodes:
            node = nodes.pop()
            if at_import_time and (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _for_types_only(node)):
                continue
            if not typing and _for_types_only(node):
                continue
            nodes.extend(ast.iter_child_nodes(node))
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path} imports relative to itself; write the package out."
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def is_in(name: str, group: set[str]) -> bool:
    """Whether a module, or a package that it lies in, is in the group."""
    parts = name.split(".")
    return any(".".join(parts[:length]) in group for length in range(1, len(parts) + 1))


@functools.lru_cache(maxsize=1)
def read(root: Path) -> list[Module]:
    """Every module under `root` that the rules are about."""
    return [Module(root, path) for folder in (PACKAGE, *ABOVE) for path in (root / folder).rglob("*.py")]


def faults(root: Path) -> list[str]:
    """A sentence for each import that breaks a rule, naming both files."""
    modules = {module.name: module for module in read(root)}
    found = []

    def project_module(imported: str) -> Module | None:
        top, *parts = imported.split(".")
        if top in ABOVE:
            parts = [top, *parts]
        elif top != PACKAGE:
            return None
        while parts and ".".join(parts) not in modules:  # `from module import name`
            parts.pop()
        return modules[".".join(parts) or "__init__"]

    def level(module: Module) -> int | None:
        if module.room in ABOVE:
            return len(LEVELS)
        return next((height for height, names in enumerate(LEVELS) if module.room in names), None)

    for module in modules.values():
        if level(module) is None:
            found.append(f"{module.path} is in a new room: give {module.room} its level in tests/test_architecture.py.")
            continue
        early = set(module.imports(at_import_time=True))
        named = set(module.imports(typing=module.name != "__init__"))  # the public names, for type checkers
        for imported in sorted(named):
            top = imported.split(".")[0]
            for name, strangers in STRANGERS.items():
                if is_in(module.name, {name}) and top in strangers:
                    found.append(f"{module.path} imports {top}, which {name} must not know.")
            if top in ("hydra", "omegaconf") and not is_in(module.name, {*HYDRA, *ABOVE, "compat"}):
                found.append(f"{module.path} imports {top}: only {', '.join(sorted(HYDRA))} speak with Hydra.")
            if is_in(module.name, LIGHT) and imported in early and top in HEAVY:
                found.append(f"{module.path} is imported before anything heavy may be: import {top} in a function.")
            other = project_module(imported)
            if other is None or other is module:
                continue
            if is_in(module.name, LIGHT) and imported in early and not is_in(other.name, LIGHT) and not _empty(other):
                found.append(f"{module.path} must stay light: import {other.path} in a function.")
            if other.room != module.room and (level(other) or 0) > (level(module) or 0):
                found.append(f"{module.path} imports {other.path}, which lies above it.")
            elif other.room != module.room and level(other) == level(module) and module.room not in LEVELS[0]:
                found.append(f"{module.path} imports {other.path}, which lies beside it.")
    return found


def _empty(module: Module) -> bool:
    """A package whose `__init__.py` imports nothing but types, or what gives its public names lazily."""
    return module.path.name == "__init__.py" and all(
        imported.startswith(("__future__", "typing", f"{PACKAGE}.lazily"))
        for imported in module.imports(at_import_time=True)
    )


def test_every_import_keeps_the_rule():
    assert len(read(PROJECT)) > 30
    assert faults(PROJECT) == []


P = "mnist_lightning"


@pytest.mark.parametrize(
    ("path", "line", "told"),
    [
        (
            "ink/raster.py",
            f"from {P}.models import cnn",
            f"{P}/ink/raster.py imports {P}/models/cnn.py, which lies above it.",
        ),
        (
            "evaluation/scores.py",
            f"def f():\n    from {P}.tasks.train import train",
            f"{P}/evaluation/scores.py imports {P}/tasks/train.py, which lies above it.",
        ),
        (
            "tasks/train.py",
            "def f():\n    import scripts.train",
            f"{P}/tasks/train.py imports scripts/train.py, which lies above it.",
        ),
        (
            "inference/views.py",
            f"from {P}.data import sources",
            f"{P}/inference/views.py imports {P}/data/sources.py, which lies beside it.",
        ),
        (
            "ink/raster.py",
            "def f():\n    import torch.nn",
            f"{P}/ink/raster.py imports torch, which ink must not know.",
        ),
        (
            "models/cnn.py",
            "import lightning.pytorch as pl",
            f"{P}/models/cnn.py imports lightning, which models.cnn must not know.",
        ),
        (
            "models/classifier.py",
            "from omegaconf import DictConfig",
            f"{P}/models/classifier.py imports omegaconf: only cli, sweeps speak with Hydra.",
        ),
        (
            "run/folder.py",
            "if True:\n    import numpy as np",
            f"{P}/run/folder.py is imported before anything heavy may be: import numpy in a function.",
        ),
        (
            "tasks/train.py",
            f"from {P}.data.sources import load",
            f"{P}/tasks/train.py must stay light: import {P}/data/sources.py in a function.",
        ),
        ("attic/old.py", "", f"{P}/attic/old.py is in a new room: give attic its level in tests/test_architecture.py."),
        ("tasks/train.py", f"def f():\n    import torch\n    from {P}.data import sources", None),
        ("tasks/train.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", None),
        ("models/classifier.py", f"import torch\nfrom {P}.errors import UserError", None),
        ("cli/parts.py", "import hydra", None),
    ],
)
def test_a_breach_is_told_with_both_files(tmp_path, path, line, told):
    package = tmp_path / PACKAGE
    for name in ("errors", "run/folder", "ink/raster", "models/classifier", "models/cnn", "evaluation/scores",
                 "tasks/train", "cli/parts", "inference/views"):  # fmt: skip
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").touch()
    (package / "data").mkdir()
    (package / "data" / "sources.py").write_text("from mnist_lightning.models.cnn import CNN\n")
    (package / "__init__.py").touch()
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "train.py").write_text("def f():\n    from mnist_lightning.tasks.train import train\n")
    assert faults(tmp_path) == []
    read.cache_clear()
    (package / path).parent.mkdir(exist_ok=True)
    (package / path).write_text(line + "\n")
    assert faults(tmp_path) == ([told] if told else [])


def test_a_relative_import_is_refused(tmp_path):
    (tmp_path / PACKAGE / "run").mkdir(parents=True)
    (tmp_path / PACKAGE / "run" / "folder.py").write_text("from . import errors\n")
    with pytest.raises(AssertionError, match=r"mnist_lightning/run/folder\.py imports relative to itself"):
        faults(tmp_path)


def test_the_map_names_every_room_and_prints_the_rule():
    text = (PROJECT / "ARCHITECTURE.md").read_text()
    the_map = text.split("```text")[1].split("```")[0]
    named = set(re.findall(r"^  ([a-z_]+(?:/|\.py))", the_map, re.M))
    there = {f"{path.name}/" for path in (PROJECT / PACKAGE).iterdir() if (path / "__init__.py").exists()}
    there |= {path.name for path in (PROJECT / PACKAGE).glob("*.py")} - {"__init__.py", "__main__.py"}
    assert named - {"pretrained/"} == there
    rule = " -> ".join(", ".join(sorted(level - {"__init__", "__main__"})) for level in reversed(LEVELS[:-1]))
    assert rule in " ".join(text.split())


# ---- what holds for each file


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_functions_are_short_and_take_few_arguments():
    """At most 80 lines and 6 arguments; constructors, and the commands with their settings, may take more."""
    from mnist_lightning.cli.commands import COMMANDS

    commands = {command.function.rpartition(".")[2] for command in COMMANDS.values()}
    found = []
    for module in read(PROJECT):
        if module.room != PACKAGE and module.room in ABOVE:
            continue
        for node in functions(module.tree):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = len([each for each in given if each.arg not in ("self", "cls")])
            lines = (node.end_lineno or 0) - node.lineno + 1
            is_part = module.path.name == "loggers.py"  # what a config names: its arguments are settings
            may = node.name in ("__init__", "__new__") or node.name in commands or is_part
            where = f"{module.path.relative_to(PACKAGE)} {node.name}"
            if lines > 80 or (count > 6 and not may):
                found.append(f"{where}: {lines} lines, {count} arguments")
    assert found == []


def _own_private_names(tree):
    """The private names that a file itself defines."""
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            names.add(node.attr)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def _is_private(name):
    return name.startswith("_") and not name.endswith("__")


def private_doors(tree):
    """Each private attribute or module of another file that a file reaches into."""
    own = _own_private_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and node.attr not in own:
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            yield from (ast.unparse(node) for part in parts if _is_private(part))


PUBLIC = {"config.hydra.launcher._target_", "self._how._asdict"}  # documented, for all their underscores


def test_private_attributes_of_others_are_reached_for_in_compat_alone():
    found = [
        f"{module.path.relative_to(PACKAGE)} {door}"
        for module in read(PROJECT)
        if module.path.parts[0] == PACKAGE and module.path.name != "compat.py"
        for door in private_doors(module.tree)
        if door not in PUBLIC
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import os\nos._exit(1)", ["os._exit"]),
        ("def f(trainer):\n    trainer._signal_connector.x = 1", ["trainer._signal_connector"]),
        ("from torch._C import x", ["from torch._C import x"]),
        ("from torch import _foreach_add", ["from torch import _foreach_add"]),
        (
            "class A:\n    def __init__(self):\n        self._a = 1\n    def f(self, b):\n        return b._a, self._c",
            [],
        ),
        ("import os\nos.__name__", []),
    ],
)
def test_a_private_door_is_found(code, found):
    assert list(private_doors(ast.parse(code))) == found


def test_every_file_is_opened_as_utf8():
    """The default of Windows is another one."""
    found = [
        f"{module.path}:{node.lineno} {ast.unparse(node.func)}"
        for module in read(PROJECT)
        if module.path.parts[0] == PACKAGE and module.room in ("run", "cli", "distributed", "tasks", "callbacks")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in ("read_text", "write_text") and ast.unparse(node.func) != "files.write_text"
        if not any(keyword.arg == "encoding" for keyword in node.keywords)
    ]
    assert found == []


def test_the_root_of_the_package_holds_six_modules_at_most():
    assert len([path for path in (PROJECT / PACKAGE).glob("*.py") if path.name != "__init__.py"]) <= 6
