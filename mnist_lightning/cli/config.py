"""`conf/` as Hydra composes it: where it is, what can be chosen, and the help over it.

Imports nothing heavy.
"""

from __future__ import annotations

import string
import time
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from mnist_lightning.errors import UserError
from mnist_lightning.run.untrusted import read_yaml

Settings = dict[str, Any]
"""A composed config as plain dicts, lists, numbers and strings."""

PACKAGE = Path(__file__).parents[1]
CONF = next(each for each in (PACKAGE / "conf", PACKAGE.parent / "conf") if each.is_dir())  # installed, in a checkout
NOT_GROUPS = ("hydra", "local")

_script_began: float | None = time.perf_counter()


def job_began() -> float:
    """When this job began, by `time.perf_counter`: the first job of a process with the process, a later one now."""
    global _script_began
    began, _script_began = _script_began, None
    return time.perf_counter() if began is None else began


def folders(own: str | None = None) -> list[Path]:
    """Where configs are looked up: a `--config-dir`, `conf/` of the current folder, and that of the package."""
    found = [Path(own)] if own else []
    here = Path.cwd() / "conf"
    if here.is_dir() and here.resolve() != CONF.resolve():
        found.append(here)
    return [*found, CONF]


def groups(own: str | None = None) -> list[str]:
    """The groups that a setting can choose from: `augment`, `data` and so on."""
    names = {path.name for folder in folders(own) for path in folder.iterdir() if path.is_dir()}
    return sorted(names - set(NOT_GROUPS))


def choices(group: str, own: str | None = None) -> list[str]:
    """What can be chosen of a group: `cnn`, `lenet5` and `mlp` of `model`."""
    names = {path.stem for folder in folders(own) for path in (folder / group).glob("*.yaml")}
    return sorted(name for name in names if not name.startswith("_"))


def known_settings(config_name: str, own: str | None = None) -> list[str]:
    """The dotted names of all settings that some choice of the groups of a command has, read from the files."""
    own_groups = _groups_of(config_name)
    found: dict[str, None] = dict.fromkeys(own_groups)
    for folder in folders(own):
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
    """What a config file holds; nothing where it is not there or damaged, which Hydra says once it reads it."""
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


def help_text(config_name: str, overrides: list[str]) -> str:
    """What `--help` prints: the template in the command's config, filled in.

    Hydra would do it too, but takes a second to list the groups, and lists those of other commands with them.
    """
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose(config_name, overrides, return_hydra_config=True)
    template = string.Template(cfg.hydra.help.template)
    chosen = [group for group in cfg.hydra.runtime.choices if "/" not in group and not group.startswith("local")]
    OmegaConf.set_struct(cfg, False)
    del cfg.hydra
    return template.substitute(
        APP_CONFIG_GROUPS="".join(f"{group}: {', '.join(choices(group))}\n" for group in sorted(chosen)),
        CONFIG=OmegaConf.to_yaml(cfg),
    )


def plain(cfg: DictConfig) -> Settings:
    """The composed config with its interpolations filled in, whole."""
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def targets(section: str, config_name: str = "train") -> list[str]:
    """The `_target_` of a section such as `averaging`, or of each choice of a group such as `model`."""
    found: dict[str, None] = {}
    for folder in folders():
        for path in [folder / f"{config_name}.yaml", *sorted((folder / section).glob("*.yaml"))]:
            if path.is_file():
                content = _content(path)
                part = content.get(section, {}) if path.stem == config_name else content
                if isinstance(part, dict) and "_target_" in part:
                    found[part["_target_"]] = None
    return list(found)
