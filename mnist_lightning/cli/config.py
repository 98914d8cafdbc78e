"""`conf/` as Hydra composes it: where it is, what can be chosen, and the help text.

Imports nothing heavy.
"""

from __future__ import annotations

import os
import re
import string
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from mnist_lightning.cli.commands import as_called
from mnist_lightning.cli.overrides import key_of
from mnist_lightning.errors import UserError
from mnist_lightning.run.folder import shown
from mnist_lightning.run.untrusted import read_yaml

Settings = dict[str, Any]
"""A composed config as plain dicts, lists, numbers and strings."""

PACKAGE = Path(__file__).parents[1]
CONF = next(each for each in (PACKAGE / "conf", PACKAGE.parent / "conf") if each.is_dir())  # installed, in a checkout
NOT_GROUPS = ("hydra", "local")

_script_began: float | None = time.perf_counter()


def job_began() -> float:
    """When this job began, by `time.perf_counter`: the first job of a process began with it, a later one now."""
    global _script_began
    began, _script_began = _script_began, None
    return time.perf_counter() if began is None else began


_own: Path | None = None


def look_in(own: str | None) -> None:
    """Also look up configs in a folder of the user: that of `--config-dir`, or None.

    Raises:
        UserError: there is no such folder.
    """
    global _own
    _own = Path(own).expanduser().resolve() if own else None
    if _own is not None and not _own.is_dir():
        raise UserError(f"There is no folder {own}: --config-dir= takes a folder that is laid out as conf/ is.")


def folders() -> list[Path]:
    """Where configs are looked up: a `--config-dir`, `conf/` of the current folder, and that of the package."""
    here = Path.cwd() / "conf"
    found = [here] if here.is_dir() and here.resolve() != CONF.resolve() else []
    return [*([_own] if _own else []), *found, CONF]


def search_path(places: Iterable[Path]) -> list[str]:
    """The override that makes Hydra look up configs in these folders, too; empty without folders."""
    # Not as_uri(): Hydra takes what comes after file:// as it is, and does not read %20 as a space.
    quoted = ", ".join("'file://{}'".format(str(each).replace("'", "\\'")) for each in places)
    return [f"hydra.searchpath=[{quoted}]"] * bool(quoted)


def may_set_mode(words: Iterable[str]) -> bool:
    """Whether `hydra.mode`, which can replace `-m`, is set on the command line or may be set in a config.

    A config that sets it is in a group that the command line chooses from, or is the user's own.
    """
    files = [path for folder in folders() for form in ("*.yaml", "*/*.yaml") for path in folder.glob(form)]
    modes = [path for path in files if "MULTIRUN" in path.read_text(encoding="utf-8", errors="replace")]
    chosen = set(map(key_of, words))
    return "hydra.mode" in chosen or any(
        path.parent in folders() or path.parent.name in chosen | set(NOT_GROUPS) for path in modes
    )


def groups() -> list[str]:
    """The groups that a setting can choose from: `augment`, `data` and so on."""
    names = {path.name for folder in folders() for path in folder.iterdir() if path.is_dir()}
    return sorted(names - set(NOT_GROUPS))


def choices(group: str) -> list[str]:
    """What can be chosen from a group: `cnn`, `lenet5` and `mlp` from `model`."""
    names = {path.stem for folder in folders() for path in (folder / group).glob("*.yaml")}
    return sorted(name for name in names if not name.startswith("_"))


def known_settings(config_name: str) -> list[str]:
    """The dotted names of all settings that a command has with any choice of its groups, read from the files."""
    own_groups = _groups_of(config_name)
    found: dict[str, None] = dict.fromkeys(own_groups)
    for folder in folders():
        for path in [folder / f"{config_name}.yaml", *sorted(folder.glob("*/*.yaml"))]:
            if not path.is_file() or (path.parent != folder and path.parent.name not in own_groups):
                continue
            content = _content(path)
            is_global = path.parent == folder or "@package _global_" in path.read_text(
                encoding="utf-8", errors="replace"
            )
            found |= dict.fromkeys(_names(content, "" if is_global else f"{path.parent.name}."))
    return list(found)


def _groups_of(config_name: str) -> list[str]:
    """The groups in the defaults of a command."""
    content = _content(CONF / f"{config_name}.yaml")
    names = [str(key) for each in content.get("defaults", []) if isinstance(each, dict) for key in each]
    return sorted(name for name in names if " " not in name and (CONF / name).is_dir())


def _content(path: Path) -> dict[str, Any]:
    """What a config file holds; nothing if it is missing or damaged, which Hydra reports once it reads it."""
    try:
        content = read_yaml(path)
    except UserError:
        return {}
    return content if isinstance(content, dict) else {}


def _names(content: dict[str, Any], prefix: str) -> list[str]:
    names = []
    for key, value in content.items():
        if str(key).startswith("_") or key in ("defaults", "hydra"):
            continue
        names += _names(value, f"{prefix}{key}.") if isinstance(value, dict) and value else [f"{prefix}{key}"]
    return names


def composed(config_name: str, overrides: list[str], whole: bool = False) -> DictConfig:
    """A config as a job would get it, without a job and without a folder.

    Args:
        config_name: that of a command, or one of the user's own.
        overrides: the settings given.
        whole: include Hydra's part.
    """
    places = folders()
    home = next((each for each in places if (each / f"{config_name}.yaml").is_file()), CONF)
    others = search_path(each for each in places if each != home)
    with hydra.initialize_config_dir(str(home), version_base="1.3"):
        return hydra.compose(config_name, [*overrides, *others], return_hydra_config=whole)


def help_text(config_name: str, overrides: list[str]) -> str:
    """What `--help` prints: the template in the command's config, filled in, with commands as they are called here.

    Hydra would do it too, but takes a second to list the groups, and lists those of other commands, too.
    """
    cfg = composed(config_name, overrides, whole=True)
    template = string.Template(cfg.hydra.help.template)
    chosen = [group for group in cfg.hydra.runtime.choices if "/" not in group and not group.startswith("local")]
    OmegaConf.set_struct(cfg, False)
    del cfg.hydra
    text = template.substitute(
        APP_CONFIG_GROUPS="".join(f"{group}: {', '.join(choices(group))}\n" for group in sorted(chosen)),
        CONFIG=OmegaConf.to_yaml(cfg),
    )
    files = [f"{config_name}.yaml", *["<group>/<choice>.yaml"] * bool(chosen)]
    home = next(each for each in folders() if (each / files[0]).is_file())
    where = " and ".join(shown(home / each) for each in files)
    return f"{as_called(text).rstrip()}\n\nWhat each setting does: {where}"


def plain(cfg: DictConfig) -> Settings:
    """The whole composed config with its interpolations filled in; `~/runs` is in the home folder."""
    return _expanded(OmegaConf.to_container(cfg, resolve=True))


def _expanded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_expanded(each) for each in value]
    return at_home(value) if isinstance(value, str) else value


def at_home(text: str) -> str:
    """A path that begins with `~/` or `~name/`, expanded; any other text as it is."""
    return os.path.expanduser(text) if re.match(r"~[\w.-]*[/\\]", text) else text  # noqa: PTH111


def targets(section: str) -> list[str]:
    """The `_target_` of a section such as `averaging` or `logger.csv`, or of each choice of a group such as `model`."""
    group, _, inner = section.partition(".")
    found: dict[str, None] = {}
    for folder in folders():
        for path in [folder / "train.yaml", *sorted((folder / group).glob("*.yaml"))]:
            if path.is_file():
                content = _content(path)
                part = content.get(group, {}) if path.stem == "train" else content
                part = part.get(inner) if inner and isinstance(part, dict) else part
                if isinstance(part, dict) and "_target_" in part:
                    found[part["_target_"]] = None
    return list(found)
