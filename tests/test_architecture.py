"""The import rule of ARCHITECTURE.md, read from the source: who may know whom, and who stays light."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent

# From the ground up. A room may import from its own level and from those below; scripts and benchmarks from all.
LEVELS = (
    {"__init__", "errors", "untrusted", "record_check",
     "rules", "settings", "runs", "ranks", "launcher", "machine", "signals", "loggers", "cli",
     "config", "multirun", "ink"},
    {"data", "models", "inference", "plots"},
    {"evaluation", "sweeps", "callbacks"},
    {"apps", "training", "trainer", "finish", "ensemble", "worker"},
)  # fmt: skip
# Importable in no time: what a script imports before it knows what to do. Its heavy imports stand in functions.
LIGHT = {"__init__", "errors", "untrusted", "record_check",
         "rules", "settings", "runs", "ranks", "launcher", "worker", "machine", "signals", "cli",
         "config", "multirun", "training", "ensemble", "inference.files",
         "sweeps.collect", "sweeps.conditions", "sweeps.records", "sweeps.groups", "sweeps.tables", "sweeps.report",
         "sweeps.results", "scripts",
         "hydra_plugins"}  # fmt: skip
HEAVY = {"torch", "lightning", "torchvision", "torchmetrics", "cv2", "matplotlib", "sklearn", "numpy", "onnx",
         "onnxruntime", "optuna", "sqlalchemy", "fastapi"}  # fmt: skip
# Modules that must not know of these packages, not even within a function.
STRANGERS = {
    "ink": {"torch", "torchvision", "lightning", "torchmetrics", "hydra", "omegaconf"},
    "models.networks": {"lightning", "hydra", "omegaconf"},
    "rules": {"torch", "lightning", "hydra", "omegaconf"},
    "settings": {"torch", "lightning", "hydra", "omegaconf"},
    "runs": {"torch", "lightning", "hydra", "omegaconf"},
    "inference": {"lightning", "hydra", "omegaconf"},
}
# Only these speak with Hydra; everybody else gets plain values.
HYDRA = {"cli", "config", "multirun", "sweeps"}

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

    def imports(self, *, at_import_time: bool = False) -> Iterator[str]:
        """The full dotted name of whatever it imports; with `at_import_time` only what importing it imports."""
        nodes: list[ast.AST] = [self.tree]
        while nodes:
            node = nodes.pop()
            if at_import_time and (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _for_types_only(node)):
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


def read(root: Path) -> list[Module]:
    """Every module under `root` that the rules are about."""
    return [Module(root, path) for folder in (PACKAGE, *ABOVE) for path in (root / folder).rglob("*.py")]


def faults(root: Path) -> list[str]:
    """A sentence for each import that breaks a rule, naming both files."""
    modules = {module.name: module for module in read(root)}
    found = []
    rooms: dict[tuple[str, str], tuple[Path, Path]] = {}

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
        for imported in sorted(set(module.imports())):
            top = imported.split(".")[0]
            for name, strangers in STRANGERS.items():
                if is_in(module.name, {name}) and top in strangers:
                    found.append(f"{module.path} imports {top}, which {name} must not know.")
            if top in ("hydra", "omegaconf") and module.room not in {*HYDRA, *ABOVE}:
                found.append(f"{module.path} imports {top}: only cli.py and sweeps/ speak with Hydra.")
            if is_in(module.name, LIGHT) and imported in early and top in HEAVY:
                found.append(f"{module.path} is imported before anything heavy may be: import {top} in a function.")
            other = project_module(imported)
            if other is None or other is module:
                continue
            if is_in(module.name, LIGHT) and imported in early and not is_in(other.name, LIGHT) and not _empty(other):
                found.append(f"{module.path} must stay light: import {other.path} in a function.")
            if (level(other) or 0) > (level(module) or 0):
                found.append(f"{module.path} imports {other.path}, which lies above it.")
            elif other.room != module.room:
                rooms[module.room, other.room] = module.path, other.path
    for (room, other_room), (path, other_path) in rooms.items():
        if (other_room, room) in rooms and room < other_room:
            back, back_other = rooms[other_room, room]
            found.append(f"{path} imports {other_path}, and {back} imports {back_other}: a circle of rooms.")
    return found


def _empty(module: Module) -> bool:
    """A package whose `__init__.py` holds a docstring and nothing else."""
    return all(isinstance(node, ast.Expr) for node in module.tree.body)


def test_every_import_keeps_the_rule():
    assert len(read(PROJECT)) > 30
    assert faults(PROJECT) == []


@pytest.mark.parametrize(
    ("path", "line", "told"),
    [
        (
            "ink/raster.py",
            "from mnist_lightning.models import networks",
            "mnist_lightning/ink/raster.py imports mnist_lightning/models/networks.py, which lies above it.",
        ),
        (
            "evaluation/scores.py",
            "def f():\n    from mnist_lightning.tasks.train import train",
            "mnist_lightning/evaluation/scores.py imports mnist_lightning/training.py, which lies above it.",
        ),
        (
            "training.py",
            "def f():\n    import scripts.train",
            "mnist_lightning/training.py imports scripts/train.py, which lies above it.",
        ),
        (
            "models/optim.py",
            "from mnist_lightning.data import sources",
            "mnist_lightning/data/sources.py imports mnist_lightning/models/networks.py, and "
            "mnist_lightning/models/optim.py imports mnist_lightning/data/sources.py: a circle of rooms.",
        ),
        (
            "ink/raster.py",
            "def f():\n    import torch.nn",
            "mnist_lightning/ink/raster.py imports torch, which ink must not know.",
        ),
        (
            "models/networks.py",
            "import lightning.pytorch as pl",
            "mnist_lightning/models/networks.py imports lightning, which models.networks must not know.",
        ),
        (
            "models/optim.py",
            "from omegaconf import DictConfig",
            "mnist_lightning/models/optim.py imports omegaconf: only cli.py and sweeps/ speak with Hydra.",
        ),
        (
            "runs.py",
            "if True:\n    import numpy as np",
            "mnist_lightning/runs.py is imported before anything heavy may be: import numpy in a function.",
        ),
        (
            "training.py",
            "from mnist_lightning.data.sources import load",
            "mnist_lightning/training.py must stay light: import mnist_lightning/data/sources.py in a function.",
        ),
        (
            "attic/old.py",
            "",
            "mnist_lightning/attic/old.py is in a new room: give attic its level in tests/test_architecture.py.",
        ),
        ("training.py", "def f():\n    import torch\n    from mnist_lightning.data import sources", None),
        ("training.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", None),
        ("models/optim.py", "import torch\nfrom mnist_lightning.errors import UserError", None),
    ],
)
def test_a_breach_is_told_with_both_files(tmp_path, path, line, told):
    package = tmp_path / PACKAGE
    for name in ("errors", "runs", "ink/raster", "models/optim", "models/networks", "evaluation/scores", "training"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").touch()
    (package / "data").mkdir()
    (package / "data" / "sources.py").write_text("from mnist_lightning.models.network import to_input\n")
    (package / "__init__.py").touch()
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "train.py").write_text("def f():\n    from mnist_lightning.tasks.train import train\n")
    assert faults(tmp_path) == []
    (package / path).parent.mkdir(exist_ok=True)
    (package / path).write_text(line + "\n")
    assert faults(tmp_path) == ([told] if told else [])


def test_a_relative_import_is_refused(tmp_path):
    (tmp_path / PACKAGE).mkdir()
    (tmp_path / PACKAGE / "runs.py").write_text("from . import errors\n")
    with pytest.raises(AssertionError, match=r"mnist_lightning/runs\.py imports relative to itself"):
        faults(tmp_path)


def test_the_map_names_every_module_and_nothing_else():
    text = (PROJECT / "ARCHITECTURE.md").read_text()
    the_map = text.split("```text")[1].split("```")[0]
    named = set(re.findall(r"([a-z0-9_]+\.py)\b", the_map))
    there = {path.name for path in (PROJECT / PACKAGE).rglob("*.py")} - {"__init__.py"}
    tests = {"test_training.py", "test_readme.py"}
    assert there - named == set(), "modules that the map does not name"
    assert named - there - tests == set(), "modules on the map that are not there"
