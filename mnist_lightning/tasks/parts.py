"""The parts of a run, built from their `_target_` in Hydra's way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from mnist_lightning.arguments import accepts
from mnist_lightning.errors import Interrupted, UserError


def build(name: str, config: Mapping[str, Any] | None, /, **offered: Any) -> Any:
    """Build one part.

    Args:
        name: the setting that it is configured by, for the error message.
        config: with a `_target_`; without one, such as `{}`, there is no such part.
        **offered: arguments that the program has at hand; those are given that the target takes and the config leaves
            out.

    Returns:
        The part; None where there is none.

    Raises:
        UserError: it cannot be imported or built.
    """
    if not config:
        return None
    if "_target_" not in config:
        raise UserError(f"{name} is not a part: it has no _target_, which names its class.")
    target = config["_target_"]
    try:
        made = get_object(target)
        given = {key: value for key, value in accepts(made, **offered).items() if config.get(key) is None}
        return instantiate({**config}, **given, _convert_="all")
    except (InstantiationException, ImportError, AttributeError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, UserError | Interrupted):
            raise cause from None
        missing = isinstance(cause, ModuleNotFoundError)
        hint = " Is the package installed, and is your folder on the path?" if missing else ""
        reason = str(cause if isinstance(error, InstantiationException) else error).splitlines()[0].rstrip(".")
        raise UserError(f"{name} cannot be built from {target}: {reason}.{hint}") from error


def build_all(name: str, configs: Mapping[str, Any] | None, /, **offered: Any) -> list[Any]:
    """Build the parts of a group such as `callbacks`; those that say that they are not `active` are left out."""
    parts = [build(f"{name}.{key}", config, **offered) for key, config in (configs or {}).items() if config]
    return [part for part in parts if part is not None and getattr(part, "active", True)]
