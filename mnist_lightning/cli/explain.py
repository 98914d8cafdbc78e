"""One sentence for what Hydra or OmegaConf found wrong in the command line or in `conf/`."""

from __future__ import annotations

import re

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from mnist_lightning.cli.check import did_you_mean
from mnist_lightning.cli.config import choices, groups, known_settings
from mnist_lightning.errors import UserError


def explain(error: BaseException, command: str, own: str | None = None) -> str:
    """The sentence.

    Args:
        error: what was raised.
        command: name of the command, whose settings are known.
        own: a folder of the user's configs, given by `--config-dir`.
    """
    causes = _causes(error)
    if told := next((each for each in causes if isinstance(each, UserError)), None):
        return str(told)
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override} cannot be read: put a value with spaces, commas, brackets or = in quotes twice, as in "
            "'key=\"a, b\"'."
        )
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        known = choices(group, own) if group else []
        if known:
            return f"There is no {group}={choice}{did_you_mean(choice, known)} Known: {', '.join(known)}."
        return f"There is no config {error.missing_cfg_file}: is conf/ complete?"
    if isinstance(error, HydraException) and (found := re.match(r"Could not override '([^']+)'", str(error))):
        return _unknown_key(found[1].partition("@")[0], command, own)
    if isinstance(error, HydraException) and isinstance(causes[-1], OmegaConfBaseException) and causes[-1].full_key:
        return _unknown_key(str(causes[-1].full_key), command, own)
    if isinstance(error, InterpolationResolutionError):
        return f"{error.full_key} cannot be filled in: {str(error.msg).splitlines()[0].rstrip('.')}."
    return " ".join(str(error).split())


def _causes(error: BaseException) -> list[BaseException]:
    """The error, what it was raised from, and so on."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    return causes


def _unknown_key(key: str, command: str, own: str | None) -> str:
    group = key.split(".")[0]
    known = known_settings(command, own)
    if key in known and group in groups(own):
        return f"There is no setting {key} here: it belongs to another choice of {group}= than the one made."
    return f"There is no setting {key}{did_you_mean(key, known)} `--cfg job` prints them all."


def is_bad_choice(error: BaseException) -> bool:
    """Whether this is Hydra's ValueError about a group that was given a number, as in `model=3`."""
    return isinstance(error, ValueError) and bool(re.search(r"Config group override", str(error)))
