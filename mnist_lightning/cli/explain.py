"""One sentence about what Hydra or OmegaConf found wrong in the command line or in `conf/`."""

from __future__ import annotations

import re
from collections.abc import Iterable

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from mnist_lightning.arguments import read_signature
from mnist_lightning.cli.check import did_you_mean
from mnist_lightning.cli.config import choices, groups, known_settings, targets
from mnist_lightning.cli.overrides import key_of
from mnist_lightning.errors import UserError, causes


def explain(error: BaseException, command: str) -> str:
    """The sentence.

    Args:
        error: what was raised.
        command: name of the command, whose settings are known.
    """
    chain = list(causes(error))
    if isinstance(error, yaml.MarkedYAMLError):
        return _unreadable(error)
    if told := next((each for each in chain if isinstance(each, UserError)), None):
        return str(told)
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override} cannot be read: put a value with spaces, commas, brackets or = in quotes twice, as in "
            "'key=\"a, b\"'."
        )
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        if group and choices(group):
            return _no_choice(group, choice)
        return f"There is no config {error.missing_cfg_file}: is conf/ complete?"
    if found := re.match(
        r"(?:Could not append to config. An item is already at '|Multiple values for )([\w.]+\w)", str(error)
    ):
        return f"{found[1]} is a setting already: write it without the + in front."
    if isinstance(error, HydraException) and (found := re.match(r"Could not override '([^']+)'", str(error))):
        return _unknown_key(key_of(found[1]), command)
    if isinstance(error, HydraException) and isinstance(chain[-1], OmegaConfBaseException) and chain[-1].full_key:
        return _unknown_key(str(chain[-1].full_key), command)
    if isinstance(error, InterpolationResolutionError):
        return f"{error.full_key} cannot be filled in: {str(error.msg).splitlines()[0].rstrip('.')}."
    if found := re.match(r"\s*(?:Ambiguous value for argument|Sweep parameters) '(.*)'", str(error)):
        return f"{found[1]} has several values: write -m for one run with each, or a list in brackets."
    return " ".join(str(error).split())


def _no_choice(group: str, choice: str) -> str:
    known = choices(group)
    return f"There is no {group}={choice}{did_you_mean(choice, known)} Known: {', '.join(known)}."


def _unknown_key(key: str, command: str) -> str:
    group = key.split(".")[0]
    known = known_settings(command)
    if key in known and group in groups():
        return f"There is no setting {key} here: it belongs to another choice of {group}= than the one made."
    section, _, name = key.rpartition(".")
    for target in targets(section) if section else ():
        if (signature := read_signature(target)) and name in signature.arguments:
            return f"{key} is an argument of {target} that is not in conf/: write it with a + in front, +{key}=..."
    return f"There is no setting {key}{did_you_mean(key, known)} `--cfg job` prints them all."


def _unreadable(error: yaml.MarkedYAMLError) -> str:
    """Where a config file is not YAML, and why."""
    mark = error.problem_mark or error.context_mark
    place = f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}," if mark else "A config file"
    return f"{place} cannot be read as YAML: {error.problem or error.context}."


def bad_choice(error: ValueError, overrides: Iterable[str]) -> str | None:
    """The sentence about Hydra's ValueError for a group that was given a number, as in `model=3`; None for another."""
    if "Config group override" not in str(error):
        return None
    pairs = ((key_of(each), each.partition("=")[2]) for each in overrides)
    return next(
        (_no_choice(group, value) for group, value in pairs if group in groups() and value not in choices(group)),
        "A choice such as model=cnn is a name: it cannot be a number or another value.",
    )
