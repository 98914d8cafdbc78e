"""`conf/` as Hydra composes it: what can be chosen, the help over it, and one sentence for what was asked wrongly.

Imports nothing heavy.
"""

from __future__ import annotations

import re
import string
import sys
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mnist_lightning.cli import settings
from mnist_lightning.cli.rules import RULES
from mnist_lightning.errors import UserError

CONF = Path(__file__).parents[2] / "conf"

Settings = dict[str, Any]
"""A composed config as plain dicts, lists, numbers and strings, each value checked."""


def help_text(config_name: str) -> str:
    """What `--help` prints: the template in the script's config, filled in.

    Hydra would do it too, but takes a second to list the groups, and lists those of other scripts with them.
    """
    overrides = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose(config_name, overrides, return_hydra_config=True)
    template = string.Template(cfg.hydra.help.template)
    chosen = [group for group in cfg.hydra.runtime.choices if not group.startswith(("hydra/", "local"))]
    OmegaConf.set_struct(cfg, False)
    del cfg.hydra
    return template.substitute(
        APP_CONFIG_GROUPS="".join(f"{group}: {', '.join(choices(group))}\n" for group in sorted(chosen)),
        CONFIG=OmegaConf.to_yaml(cfg),
    )


def groups() -> list[str]:
    """The groups that a setting can choose from: `augment`, `data` and so on."""
    return sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name not in ("hydra", "local"))


def choices(group: str) -> list[str]:
    """What can be chosen of a group: `cnn`, `lenet5` and `mlp` of `model`."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml") if not path.stem.startswith("_"))


def plain(cfg: DictConfig) -> Settings:
    """The composed config with its interpolations filled in, whole."""
    try:
        return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise UserError(explain(error)) from None


def explain(error: Exception) -> str:
    """One sentence for what Hydra or OmegaConf found wrong in the command line or in `conf/`."""
    text = str(error).strip()
    if match := re.search(r"UserError raised while resolving interpolation: (.*)", text):  # new_run_folder's
        return match[1]
    if match := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(match[1])
    if match := re.search(r"Could not find '([^']+)'", text):
        group, _, choice = match[1].rpartition("/")
        known = choices(group)
        return f"There is no {group}={choice}{settings.did_you_mean(choice, known)} Known: {', '.join(known)}."
    if match := re.search(r"Could not load '([^']+)'", text):
        return f"There is no config {match[1]}: is conf/ complete?"
    if "mismatched input" in text or "token recognition error" in text or "no viable alternative" in text:
        return (
            f"The command line could not be read ({text.splitlines()[0]}): put values with spaces, commas, "
            "brackets or = in quotes twice, as in 'image=\"my digit (1).png\"'."
        )
    return " ".join(text.split())


def _unknown_key(key: str) -> str:
    group = key.split(".")[0]
    if key in RULES:
        return f"There is no setting {key} here: it belongs to another choice of {group}= than the one made."
    known = list(RULES) if "." in key else [*groups(), *RULES]
    return f"There is no setting {key}{settings.did_you_mean(key, known)} `--cfg job` prints them all."
