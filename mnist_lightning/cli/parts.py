"""The parts of a run, built from their `_target_` as Hydra does it."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from mnist_lightning.arguments import accepts
from mnist_lightning.cli.check import DATA
from mnist_lightning.cli.config import CONF
from mnist_lightning.errors import Interrupted, UserError
from mnist_lightning.run.untrusted import short

logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # it logs what it raises

_OF_TORCH = re.compile(r"torch\.optim\.(lr_scheduler\.)?[A-Z]\w*")
_NETWORKS = re.compile(r"mnist_lightning\.models\.(CNN|MLP|LeNet5|Ensemble)")


def build(name: str, config: Mapping[str, Any] | None, /, **offered: Any) -> Any:
    """Build one part.

    Args:
        name: the setting that it is configured by, for the error message.
        config: settings with a `_target_`; without one, as in `{}`, there is no such part.
        **offered: arguments that the program has at hand; the target gets those that it takes and the config leaves
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
        missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
        hint = " Is the package installed, and is your folder on the path?" if missing else ""
        reason = (str(cause) or type(cause).__name__).splitlines()[0].rstrip(".")
        home, _, last = (missing or "").rpartition(".")
        if home and f"{target}.".startswith(f"{missing}."):  # a module is there, but not what it should hold
            reason, hint = f"{home} has no {last}", ""
        raise UserError(f"{name} cannot be built from {target}: {reason}.{hint}") from error


def build_all(name: str, configs: Mapping[str, Any] | None, /, **offered: Any) -> list[Any]:
    """Build the parts of a group such as `callbacks`; those whose `active` is false are left out."""
    parts = [build(f"{name}.{key}", config, **offered) for key, config in (configs or {}).items() if config]
    return [part for part in parts if part is not None and getattr(part, "active", True)]


def source_built(data: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `DigitsDataModule` from settings of `conf/data/`, with a `source` of the user's own built.

    Raises:
        UserError: they name another DataModule, or the source cannot be built.
    """
    if not takes_apart(data):
        raise UserError(
            f"data= names {data['_target_']}, a DataModule of its own, which this command cannot take apart: give a "
            "data set by name, such as data=mnist, or one with a `source` of your own."
        )
    arguments = {key: value for key, value in data.items() if key != "_target_"}
    return {**arguments, "source": build("data.source", data["source"])} if data.get("source") else arguments


def takes_apart(data: Mapping[str, Any]) -> bool:
    """Whether settings of `conf/data/` are of this package's DataModule, not of one of the user's own."""
    target = data.get("_target_") or DATA
    return target.startswith("mnist_lightning.") and target.endswith(".DigitsDataModule")


# ---- settings that came with a file: a checkpoint or a run folder never decides what code runs


def check_targets(settings: Any, allow: Sequence[str], where: str, known: Collection[str] = ()) -> None:
    """Refuse settings that came with a file if they name code that is neither in the package nor allowed by the user.

    Args:
        settings: plain data.
        allow: modules or classes that may be named, as the user typed them.
        where: the file, for the message.
        known: further targets that are the user's own, such as those of the config at hand.

    Raises:
        UserError: a target that is not allowed, or a text with an interpolation.
    """
    for value in _values(settings):
        if isinstance(value, str) and "${" in value:
            raise UserError(f"{where} holds {short(value)}: its settings must be plain values, without interpolations.")
    for target in foreign_targets(settings):
        home = target.rpartition(".")[0] or "module"
        if target in known:
            continue
        if not any(target == each or target.startswith(f"{each}.") for each in allow):
            raise UserError(
                f"{where} names {short(target)}, which is not a part of this package. If you trust the code that it "
                f"names, allow it with allow=[{home}]."
            )
        try:
            made = get_object(target)
        except Exception as error:
            raise UserError(f"{target}, which {where} names, cannot be imported: {error}.") from None
        defined = str(getattr(made, "__module__", None))  # allowing a module does not allow its imports
        if defined != home and not any(defined == each or defined.startswith(f"{each}.") for each in allow):
            raise UserError(f"{where} names {target}, which no allowed module defines.")


def foreign_targets(settings: Any) -> list[str]:
    """The `_target_`s in settings that neither the package nor `torch.optim` has, sorted."""
    named = {str(target) for target in targets(settings)}
    ours = {each for each in named if each in _shipped() or _OF_TORCH.fullmatch(each) or _NETWORKS.fullmatch(each)}
    return sorted(named - ours)


def targets(settings: Any) -> Iterator[Any]:
    """Each `_target_` in settings, at any depth."""
    if isinstance(settings, Mapping):
        if "_target_" in settings:
            yield settings["_target_"]
        settings = list(settings.values())
    if isinstance(settings, list | tuple):
        for each in settings:
            yield from targets(each)


def _values(settings: Any) -> Iterator[Any]:
    if isinstance(settings, Mapping):
        settings = [*settings, *settings.values()]
    if isinstance(settings, list | tuple):
        for each in settings:
            yield from _values(each)
    else:
        yield settings


@functools.cache
def _shipped() -> frozenset[str]:
    """The `_target_`s in the package's configs."""
    texts = (path.read_text(encoding="utf-8") for path in CONF.rglob("*.yaml") if path.parent.name != "local")
    return frozenset(found for text in texts for found in re.findall(r"_target_: *([\w.]+)", text))
