"""What a class or function takes: names, types and ranges, read from its source without importing it.

A setting is an argument of some class or command, and its signature is the only place of its type, range and default.
Reading the source reports a wrong value in under a second; importing torch alone takes two.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import importlib.util
import inspect
import json
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LIGHT = ("typing", "collections.abc", "annotated_types", "pathlib", "mnist_lightning.types")
"""Modules that may be imported to evaluate an annotation: they import nothing heavy."""


class _Dotted(type):
    """Lets `pl.Trainer` of a module `pl` that is not imported be read as the class of that dotted name."""

    path: str

    def __getattr__(cls, name: str) -> type:
        if name.startswith("_"):
            raise AttributeError(name)
        return _foreign(name, f"{cls.path}.{name}")


class Foreign(metaclass=_Dotted):
    """Stands in an annotation for a class that is not imported; `path` is its dotted name."""

    path = ""

    def __class_getitem__(cls, item: Any) -> type:
        return cls


def _foreign(name: str, path: str) -> type:
    return _Dotted(name, (Foreign,), {"path": path})


class Argument:
    """One argument.

    Attributes:
        required: whether it must be given.
    """

    def __init__(self, module: _Module, written: ast.expr | None, required: bool) -> None:
        self._module, self._written, self.required = module, written, required

    @functools.cached_property
    def annotation(self) -> Any:
        """Its annotation as an object, None where it has none.

        Evaluated on demand: annotations in PyTorch's and Lightning's classes name things from many other files.
        """
        return self._module.evaluate(self._written)


@dataclass
class Signature:
    """The arguments of a class or function.

    Attributes:
        arguments: by name, without `self`.
        open: whether further keyword arguments are accepted, about which nothing is known.
    """

    arguments: dict[str, Argument] = field(default_factory=dict)
    open: bool = False


# ---- signatures of imported objects


def parameters_of(made: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a class or function; `**kwargs` of a constructor stand for those of its base classes."""
    if not inspect.isclass(made):
        return dict(inspect.signature(made).parameters)
    found: dict[str, inspect.Parameter] = {}
    for base in inspect.getmro(made):
        if "__init__" not in vars(base) or base.__module__ in ("torch.nn.modules.module", "builtins"):
            continue
        _, *own = inspect.signature(base.__init__).parameters.values()  # type: ignore[misc]
        own = [each for each in own if each.kind is not each.VAR_POSITIONAL]
        found.pop("", None)
        rest = [each for each in own if each.kind is each.VAR_KEYWORD]
        found |= {each.name: each for each in own if each not in rest and each.name not in found}
        if not rest:
            return found
        found[""] = rest[0]
    if last := found.pop("", None):
        found[last.name] = last
    return found


def bound_arguments(made: type, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a call of the class, as plain data (tuples become lists), with the defaults filled in."""
    parameters = {name: each for name, each in parameters_of(made).items() if each.kind is not each.VAR_KEYWORD}
    given = dict(zip(parameters, args, strict=False)) | dict(kwargs)
    defaults = {name: each.default for name, each in parameters.items() if each.default is not each.empty}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in (defaults | given).items()}


def accepts(made: Callable[..., Any], **extras: Any) -> dict[str, Any]:
    """Those of `extras` that a class or function has a parameter for."""
    known = parameters_of(made)
    return {name: value for name, value in extras.items() if name in known}


# ---- signatures read from source


@functools.lru_cache(maxsize=256)
def read_signature(path: str) -> Signature | None:
    """The signature of a dotted path such as `torch.optim.Adam`; None where its source is not found."""
    found = _find(path)
    if found is None:
        return None
    module, node = found
    if isinstance(node, ast.ClassDef):
        return _class_signature(module, node)
    if isinstance(node, ast.FunctionDef):
        return _function_signature(module, node, skip_first=False)
    return None


def settings_of(command: str) -> Signature | None:
    """The settings of a command, from the dotted path of its function; None where its source is not found.

    They are its arguments or, where its first argument is annotated with a TypedDict, the entries of that.
    """
    signature = read_signature(command)
    for argument in list(signature.arguments.values())[:1] if signature else []:
        for foreign in foreign_in(argument.annotation)[:1]:
            signature = read_signature(foreign.path) or signature
    return signature


class _Module:
    """One parsed source file."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.is_package = name, path.name == "__init__.py"
        self.names: dict[str, ast.AST] = {}
        for node in _statements(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                self.names[node.name] = node
            elif isinstance(node, ast.ImportFrom | ast.Import):
                for alias in node.names:
                    self.names[alias.asname or alias.name.split(".")[0]] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.names.setdefault(node.targets[0].id, node.value)

    def origin(self, name: str, node: ast.ImportFrom | ast.Import) -> str:
        """The dotted path that `name` was imported from."""
        if isinstance(node, ast.Import):
            return next((alias.name for alias in node.names if (alias.asname or alias.name) == name), name)
        parts = self.name.split(".")
        base = parts[: len(parts) - node.level + self.is_package] if node.level else []
        alias = next(each for each in node.names if (each.asname or each.name) == name)
        return ".".join([*base, *filter(None, [node.module]), alias.name])

    def evaluate(self, annotation: ast.expr | None) -> Any:
        """An annotation as an object; None where it cannot be evaluated."""
        if annotation is None:
            return None
        text = annotation.value if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str) else None
        try:
            return eval(text or ast.unparse(annotation), {"__builtins__": {}}, _Namespace(self))
        except Exception:  # an annotation is a hint: one that cannot be read restricts nothing
            return None


class _Namespace(dict[str, Any]):
    """The names that an annotation in a module may use."""

    def __init__(self, module: _Module) -> None:
        super().__init__(vars(builtins))
        self.module = module

    def __missing__(self, name: str) -> Any:
        node = self.module.names.get(name)
        path = f"{self.module.name}.{name}"
        if isinstance(node, ast.ImportFrom | ast.Import):
            path = self.module.origin(name, node)
            home, _, leaf = path.rpartition(".")
            if home in _LIGHT:
                return getattr(importlib.import_module(home), leaf)
            if path in _LIGHT:
                return importlib.import_module(path)
            # The source of the standard library is not read, nor that of a tensor, which takes 0.07 s to parse: an
            # annotation that names either restricts nothing here.
            known = home.split(".")[0] in sys.stdlib_module_names or path == "torch.Tensor"
            found = None if known else _find(path)
            if found and isinstance(found[1], ast.expr):
                return found[0].evaluate(found[1])
            path = f"{found[0].name}.{found[1].name}" if found and isinstance(found[1], ast.ClassDef) else path
        elif isinstance(node, ast.expr):
            return self.module.evaluate(node)
        return _foreign(name, path)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    for node in getattr(tree, "body", []):
        if isinstance(node, ast.If | ast.Try):
            yield from _statements(node)
        else:
            yield node


@functools.lru_cache(maxsize=256)
def _module(name: str) -> _Module | None:
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    for part in rest:
        path = next((each for each in (path.parent / part / "__init__.py", path.parent / f"{part}.py")
                     if each.is_file() and path.name == "__init__.py"), Path())  # fmt: skip
        if not path.name:
            return None
    return _Module(name, path)


def _find(path: str, depth: int = 0) -> tuple[_Module, ast.AST] | None:
    """The module and the definition of a dotted path, following the imports that lead to it."""
    home, _, name = path.rpartition(".")
    module = _module(home) if home else None
    node = module.names.get(name) if module else None
    if module is None or node is None or depth > 8:
        return None
    if isinstance(node, ast.ImportFrom | ast.Import):
        origin = module.origin(name, node)
        return _find(origin, depth + 1) if origin != path else None
    return module, node


def _class_signature(module: _Module, node: ast.ClassDef) -> Signature:
    init = next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
    if init is not None:
        own = _function_signature(module, init, skip_first=True)
    elif any("dataclass" in ast.unparse(each) for each in node.decorator_list) or "TypedDict" in map(
        ast.unparse, node.bases
    ):
        own = Signature({
            each.target.id: Argument(module, each.annotation, each.value is None)
            for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        })  # fmt: skip
    else:
        own = Signature(open=bool(node.bases))
    if own.open:
        own.open = False
        for base in node.bases:
            dotted = module.evaluate(base)
            known = read_signature(dotted.path) if isinstance(dotted, type) and issubclass(dotted, Foreign) else None
            own.open |= known is None or known.open
            if known:
                own.arguments = {**known.arguments, **own.arguments}
    return own


def _function_signature(module: _Module, node: ast.FunctionDef, *, skip_first: bool) -> Signature:
    given = node.args
    positional = [*given.posonlyargs, *given.args][1 if skip_first else 0 :]
    optional = {each.arg for each in positional[len(positional) - len(given.defaults) :]} if given.defaults else set()
    optional |= {each.arg for each, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value is not None}
    return Signature(
        {
            each.arg: Argument(module, each.annotation, each.arg not in optional)
            for each in [*positional, *given.kwonlyargs]
        },
        open=given.kwarg is not None,
    )


# ---- values checked against annotations


def foreign_in(annotation: Any) -> list[type[Foreign]]:
    """The classes in an annotation that are not imported."""
    if isinstance(annotation, type) and issubclass(annotation, Foreign):
        return [annotation]
    return [each for part in typing.get_args(annotation) for each in foreign_in(part)]


def refusal(value: Any, annotation: Any) -> tuple[str, str] | None:
    """Why a plain value (from YAML) does not fit an annotation.

    Returns:
        Where in the value (`""`, or `.1` for the second entry of a list) and what it should be; None where it fits.
    """
    if annotation is None or annotation is Any:
        return None
    from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError

    try:
        adapter = _adapter(annotation, TypeAdapter, ConfigDict)
        # As JSON: a list then stands for any sequence, while strict mode still tells true, 1 and "1" apart.
        adapter.validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        told = [
            each
            for each in error.errors(include_url=False)
            if each["type"] not in ("is_instance_of", "needs_python_object")
        ]
        if not told:
            return ("", "a part with a _target_") if foreign_in(annotation) else None
        words = dict.fromkeys(each["msg"].removeprefix("Input should be ").replace("array", "list") for each in told)
        place = [str(part) for part in told[0]["loc"] if isinstance(part, int)]
        return "".join(f"[{part}]" for part in place), " or ".join(words)
    except (PydanticSchemaGenerationError, TypeError, NameError, ValueError):
        return None
    return None


@functools.lru_cache(maxsize=512)
def _adapter(annotation: Any, adapter: Any, config: Any) -> Any:
    try:
        return adapter(annotation, config=config(arbitrary_types_allowed=True))
    except Exception:
        return adapter(annotation)
