"""The words of a command line, brought into the form that Hydra's parser accepts."""

from __future__ import annotations

import re
import shlex
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from mnist_lightning.cli.check import annotation_of, did_you_mean, nearest
from mnist_lightning.cli.config import at_home, choices, groups, known_settings
from mnist_lightning.cli.overrides import key_of
from mnist_lightning.errors import UserError

_WITH_VALUE = ("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd", "--cfg", "-c", "--package", "-p")
"""Hydra's flags, except --experimental-rerun: it reads a pickle, which can run any code."""
_FLAGS = ("--help", "-h", "--multirun", "-m", "--run", "-r", "--resolve", "--version", "--hydra-help", "--info", "-i",
          "--shell-completion", "-sc")  # fmt: skip
HELP = {"--help", "-h"}
ASKS = HELP | {"--cfg", "-c", "--info", "-i", "--hydra-help", "--version", "--shell-completion", "-sc"}
"""Flags by which a command prints something and does nothing else."""

OPTIONAL = ("experiment", "debug", "search")
"""Groups that need no choice."""

_FILES = ("image", "strokes", "runs", "ckpt")
"""Settings that a file name alone may be meant for, in this order."""

_PLAIN = re.compile(r"[A-Za-z_/.][\w./:+-]*")
"""A text that Hydra's grammar takes as it is."""
_BEFORE_QUOTE = re.compile(r"(\\+)(?='|\Z)")
"""The backslashes of a quoted text that Hydra's parser takes for escapes; it leaves all others as they are."""
_DIRECTORIES = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")


def arrange(words: list[str], command: str) -> tuple[list[str], list[str]]:
    """Flags with their values, and overrides, which may be mixed in any order on the command line.

    Raises:
        UserError: a flag that does not exist, such as `--epochs 3`.
    """
    flags: list[str] = []
    overrides: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name in _WITH_VALUE:
            flags += [name, at_home(value if equals else next(rest, ""))]
        elif name in _FLAGS:
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
    """`outputs/latest` as `run=outputs/latest`; what already gives a setting stays as it is."""
    return word if word.startswith("~") or ("=" in word and not Path(word).is_dir()) else f"{setting}={word}"


def check_pair(word: str, command: str) -> None:
    """Refuse a word that gives no setting a value, such as `seven.png` and the words of `trainer.max_epochs = 3`.

    Raises:
        UserError: with the setting that was probably meant.
    """
    if "=" in word or word.startswith("~"):
        return
    known = known_settings(command)
    name, _, value = word.partition(":")
    file = next((each for each in _FILES if each in known and command != "train"), None)
    near = None if re.search(r"[/\\]", word) else nearest(name, known)
    wanted = f"{near}={value or '...'}" if near else f"{file}={word}" if file else None
    form = f"{shlex.quote(wanted)}, without spaces" if wanted else "each setting as one word, without spaces"
    raise UserError(f"{word} is not key=value: write {form}.")


def chosen(override: str) -> str:
    """An override that makes no choice of a group, in Hydra's form: `logger=null` and `~logger` become `logger=none`.

    `experiment=null`, of a group without such a choice, becomes `~experiment`.
    """
    if override == "~logger":
        return "logger=none"
    group = key_of(override)
    if override.lstrip("+") != f"{group}=null" or group not in groups():
        return override
    return f"{group}=none" if "none" in choices(group) else f"~{group}" if group in OPTIONAL else override


def is_text(name: str, function: str) -> bool:
    """Whether a setting of a command is plain text: a path, a name, an address.

    Args:
        name: of the setting, such as `data.folder` or `logger.mlflow.experiment_name`.
        function: dotted path of the command's function.
    """
    return name in _DIRECTORIES or _is_text(annotation_of(name, function))


def _is_text(annotation: Any) -> bool:
    """Whether a setting is a text or null, and nothing else such as a list."""
    if get_origin(annotation) is Annotated:
        return _is_text(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return all(each is types.NoneType or _is_text(each) for each in get_args(annotation))
    return annotation is str


def quoted(override: str, takes_text: Callable[[str], bool], sweeps: bool) -> str:
    """`where=model=cnn` as Hydra's grammar wants it, `where='model=cnn'`; what is not a text stays as it is.

    A path that begins with `~/` is in the home folder: the shell does not expand it after `data.folder=`.

    Args:
        override: a setting and its value, as they were typed.
        takes_text: whether a setting of that name is a text.
        sweeps: whether a comma separates the values of several jobs.
    """
    key, equals, value = override.partition("=")
    name = key_of(override)
    if not equals or value[:1] in ("'", '"') or value in ("null", "???") or "${" in value:
        return override
    if sweeps and name not in _DIRECTORIES and ("," in value or "(" in value):
        return override
    if _PLAIN.fullmatch(value) and value.lower() not in ("true", "false", "nan", "inf"):
        return override
    if not takes_text(name):
        return override
    return f"{key}={in_quotes(at_home(value))}"


def in_quotes(text: str) -> str:
    """A text in quotes, as Hydra's command line takes it."""
    return "'" + _BEFORE_QUOTE.sub(r"\1\1", text).replace("'", "\\'") + "'"
