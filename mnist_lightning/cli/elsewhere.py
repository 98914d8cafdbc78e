"""Configs that do not come with the package: how large they may be, and what they may set below `hydra.`.

They come from `--config-dir`, `conf/` of the current folder, `conf/local/` and `hydra.searchpath`. Some of Hydra's
settings write to any file (`job_logging`) or run any code (`callbacks`) before a job begins; those can be typed, but
not set by a file. What is typed on the command line is not checked.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mnist_lightning import compat
from mnist_lightning.cli.check import dotted
from mnist_lightning.cli.config import CONF
from mnist_lightning.errors import UserError
from mnist_lightning.run.untrusted import read_yaml, short

Fits = Callable[[str, Any], bool]
"""Whether a key below `hydra.` may have this value, before interpolations are filled in."""

_WORD = re.compile(r"[\w-][\w.-]*")
_NAMED = re.compile(r"[A-Za-z][\w/@]*(?:\.\w+)*")
_IN_PATHS = re.compile(r"\$\{(?:now:[^{}]*|hydra\.job\.(?:num|id|name|override_dirname))\}")


def _any(_key: str, _value: Any) -> bool:
    return True


def _word(_key: str, value: Any) -> bool:
    return isinstance(value, str) and bool(_WORD.fullmatch(value.replace("${hydra.job.name}", "name")))


def _nothing(_key: str, value: Any) -> bool:
    return value is None or value == {}


def _shipped(_key: str, value: Any) -> bool:
    """A class that a config of the package names for Hydra."""
    return isinstance(value, str) and any(
        f"_target_: {value}\n" in path.read_text(encoding="utf-8") for path in CONF.glob("hydra/*/*.yaml")
    )


def _setting(key: str, _value: Any) -> bool:
    """A setting that is swept, not one of Hydra's."""
    name = key.removeprefix("sweeper.params.").lstrip("+")
    return bool(_NAMED.fullmatch(name)) and re.split(r"[/.@]", name)[0] != "hydra"


def _part_of_path(_key: str, value: Any) -> bool:
    rest = _IN_PATHS.sub("", value) if isinstance(value, str) else "$"
    return ".." not in rest and "$" not in rest and "\\" not in rest and not rest.startswith(("/", "~"))


def _below_outputs(key: str, value: Any) -> bool:
    return isinstance(value, str) and any(
        value.startswith(start) and _part_of_path(key, value.removeprefix(start)) and value != start
        for start in ("outputs/", "${outputs}/")
    )


_LAUNCHER = (
    "n_jobs", "timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "nodes", "mem_gb", "stderr_to_stdout",
    "partition", "account", "qos", "constraint", "exclude", "array_parallelism", "signal_delay_s", "max_num_timeout",
    "init.num_cpus", "init.include_dashboard", "init.log_to_driver", "remote.num_cpus", "remote.num_gpus",
)  # fmt: skip

ALLOWED: dict[str, Fits] = {
    "run.dir": _below_outputs,
    "sweep.dir": _below_outputs,
    "sweep.subdir": _part_of_path,
    "sweeper._target_": _shipped,
    "sweeper.params": _nothing,
    "sweeper.params.*": _setting,
    "sweeper.max_batch_size": _any,
    "launcher._target_": _shipped,
    "launcher.name": _word,
    **{f"launcher.{name}": _any for name in _LAUNCHER},
    "job.name": _word,
    "job.chdir": _any,
    "job.config.override_dirname.exclude_keys": _any,
    "job_logging.root.level": _any,
    "hydra_logging.root.level": _any,
    "output_subdir": _nothing,
    "mode": _any,
    "verbose": _any,
    "help.*": _any,
}
"""What a config from elsewhere may set below `hydra.`, and to what; `*` stands for any name."""


def check_file(path: Path) -> None:
    """Refuse a file from elsewhere before Hydra reads it.

    A file of 400 bytes whose aliases repeat each other can stand for a billion values, which Hydra would create; and a
    package that it names as a search path is imported to look for configs in it.

    Raises:
        UserError: it is too large, is not YAML, stands for too many values, or sets `hydra.searchpath`.
    """
    if path.is_file() and _is_foreign(str(path.parent), path):
        content = read_yaml(path)
        given = content.get("hydra") if isinstance(content, dict) else None
        if isinstance(given, dict) and "searchpath" in given:
            raise _refused(path, "searchpath", given["searchpath"])


def check_config(source: str, name: str, config: Any) -> None:
    """Refuse a config from elsewhere that sets anything below `hydra.` beyond `ALLOWED`.

    Args:
        source: where it was found, such as `file:///home/me/conf`.
        name: the config in it, such as `experiment/mine`.
        config: what it holds, at its place in the composed config.

    Raises:
        UserError: a setting that is not allowed, or not with this value.
    """
    scheme, _, folder = source.partition("://")
    path = Path(folder) / f"{name.removesuffix('.yaml')}.yaml"
    if scheme != "file" or not _is_foreign(folder, path):  # a plugin's configs come with the plugin
        return
    content = OmegaConf.to_container(config, resolve=False)
    given = content.get("hydra") if isinstance(content, dict) else None
    if given is None:
        return
    if not isinstance(given, dict):
        raise UserError(f"{path} sets hydra to {short(given)}: expected a mapping.")
    for key, value in dotted(given):
        fits = ALLOWED.get(key) or next((ALLOWED[each] for each in ALLOWED if _stands_for(each, key)), None)
        if (fits is None or not fits(key, value)) and (key, repr(value)) not in _shipped_hydra():
            raise _refused(path, key, value)


def _refused(path: Path, key: str, value: Any) -> UserError:
    return UserError(
        f"{path} sets hydra.{key} to {short(value)}, which a config file may not: take it out, or type it on the "
        "command line if you know what it does."
    )


def _is_foreign(folder: str, path: Path) -> bool:
    """Whether a config is not one of the package; `conf/local/` holds the user's own."""
    place = Path(folder).resolve()
    return not place.is_relative_to(CONF.resolve()) or path.resolve().is_relative_to(CONF.resolve() / "local")


def _stands_for(pattern: str, key: str) -> bool:
    return pattern.endswith(".*") and key.startswith(pattern[:-1])


@functools.cache
def _shipped_hydra() -> frozenset[tuple[str, str]]:
    """What the package's commands set below `hydra.`, as (key, value as text): a copy of their configs may do so."""
    contents = [read_yaml(path) for path in CONF.glob("*.yaml")]
    return frozenset((key, repr(value)) for each in contents for key, value in dotted(each.get("hydra", {})))


compat.watch_configs(check_file, check_config)
