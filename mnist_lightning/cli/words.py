"""The words of a command line, brought into the form that Hydra's parser takes."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from mnist_lightning.arguments import foreign_in, read_signature, settings_of
from mnist_lightning.cli.check import did_you_mean
from mnist_lightning.cli.config import known_settings
from mnist_lightning.errors import UserError

_WITH_VALUE = ("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd", "--cfg", "-c", "--package", "-p")
"""Hydra's, but for --experimental-rerun: it reads a pickle, which runs whatever it holds."""
_FLAGS = ("--help", "-h", "--multirun", "-m", "--run", "-r", "--resolve", "--version", "--hydra-help", "--info", "-i",
          "--shell-completion", "-sc")  # fmt: skip
_PLAIN = re.compile(r"[A-Za-z_/.][\w./:+-]*")
"""A text that Hydra's grammar takes as it is."""
_DIRECTORIES = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")


def arrange(words: list[str], command: str) -> tuple[list[str], list[str]]:
    """Flags with their values, and overrides, which may stand in any order on the command line.

    Raises:
        UserError: a flag that does not exist, such as `--epochs 3`.
    """
    flags: list[str] = []
    overrides: list[str] = []
    rest = iter(words)
    for word in rest:
        name, _equals, value = word.partition("=")
        if word in _WITH_VALUE:
            flags += [word, next(rest, "")]
        elif word.startswith("-") and (name in _WITH_VALUE or name in _FLAGS):
            flags.append(word)
        elif word.startswith("-"):
            wanted = value or next(rest, "...")
            name = name.lstrip("-").replace("-", "_")
            near = did_you_mean(name, known_settings(command))
            hint = near.removeprefix(": did you mean ").rstrip("?")
            form = f"write {hint}={wanted}" if near.startswith(":") else "settings are written key=value"
            raise UserError(f"There is no flag {word.partition('=')[0]}: {form}.")
        else:
            overrides.append(word)
    return flags, overrides


def named(word: str, setting: str) -> str:
    """`outputs/latest` as `run=outputs/latest`; what gives a setting already stays as it is."""
    return word if word.startswith("~") or ("=" in word and not Path(word).is_dir()) else f"{setting}={word}"


def text_settings(function: str) -> set[str]:
    """The settings of a command that are plain text: paths, names, addresses."""
    found = {*_DIRECTORIES}
    settings = settings_of(function)
    for name, argument in settings.arguments.items() if settings else ():
        if _is_text(argument.annotation):
            found.add(name)
        for foreign in foreign_in(argument.annotation):
            inner = read_signature(foreign.path)
            found |= {
                f"{name}.{key}" for key, each in (inner.arguments if inner else {}).items() if _is_text(each.annotation)
            }
    if data := read_signature("mnist_lightning.data.datamodule.DigitsDataModule"):
        found |= {f"data.{key}" for key, each in data.arguments.items() if _is_text(each.annotation)}
    return found


def _is_text(annotation: Any) -> bool:
    """Whether a setting is a text or null, and nothing else such as a list."""
    if get_origin(annotation) is Annotated:
        return _is_text(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return all(each is types.NoneType or _is_text(each) for each in get_args(annotation))
    return annotation is str


def quoted(override: str, texts: set[str], sweeps: bool) -> str:
    """`where=model=cnn` as Hydra's grammar wants it, `where='model=cnn'`; what is not a text stays as it is."""
    key, equals, value = override.partition("=")
    name = key.lstrip("+")
    if not equals or name not in texts or value[:1] in ("'", '"') or value in ("null", "???") or "${" in value:
        return override
    if sweeps and ("," in value or "(" in value):
        return override
    if _PLAIN.fullmatch(value) and value.lower() not in ("true", "false", "nan", "inf"):
        return override
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"
