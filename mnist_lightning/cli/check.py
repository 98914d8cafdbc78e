"""Checks a composed config against the signatures of what it configures, before anything heavy is imported.

A command names its settings in the signature of its function, and a part (a mapping with a `_target_`) in that of its
class; both are read from their source.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mnist_lightning.arguments import Signature, foreign_in, read_signature, refusal, settings_of
from mnist_lightning.cli.describe import described
from mnist_lightning.cli.overrides import key_of
from mnist_lightning.errors import UserError
from mnist_lightning.run import machine
from mnist_lightning.types import LARGEST

ELSEWHERE = {
    "epochs": "trainer.max_epochs", "steps": "trainer.max_steps", "gpus": "trainer.devices",
    "learning_rate": "optimizer.lr", "dataset": "data", "resume": "ckpt_path", "weights": "ckpt",
    "patience": "early_stopping.patience", "save_dir": "outputs", "output_dir": "outputs", "data_dir": "data.folder",
    "device": "trainer.accelerator", "workers": "data.num_workers", "resume_from_checkpoint": "ckpt_path",
}  # fmt: skip
"""What other programs call a setting, where similarity alone would not find it."""

DATA = "mnist_lightning.data.DigitsDataModule"
OFFERED = ("run", "record", "search", "settings", "augment", "seed", "num_classes", "image_size", "params", "optimizer",
           "save_dir", "root_dir", "total_steps")  # fmt: skip
"""Arguments that the program itself passes to a part, so that a config need not."""


def dotted(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting as (`group.key`, value)."""
    for key, value in settings.items():
        # The keys of search.space are settings themselves.
        if isinstance(value, Mapping) and value and prefix + key != "search.space":
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def check(settings: Mapping[str, Any], command: str, overrides: Iterable[str] = ()) -> None:
    """Check the settings of a command.

    Args:
        settings: the composed config as plain dicts, lists, numbers and strings.
        command: dotted path of its function, whose arguments are the settings; or whose first argument is annotated
            with a TypedDict of them.
        overrides: words of the command line, such as `model._target_=my.Net`.

    Raises:
        UserError: the first setting that is unknown, missing, of a wrong type or out of its range.
    """
    signature = settings_of(command)
    assert signature is not None, f"{command} has no source"
    for override in overrides:
        _check_replaced(settings, key_of(override))
    _check_mapping("", settings, signature)


def _check_replaced(settings: Mapping[str, Any], key: str) -> None:
    """Refuse what is left of the class that `key`, given on the command line, has replaced by another one."""
    from mnist_lightning.cli.config import groups

    group, _, last = key.rpartition(".")
    if last != "_target_" or group not in groups() or not isinstance(part := settings.get(group), Mapping):
        return
    signature = read_signature(target := str(part[last]))
    if signature is None or signature.open:
        return
    left = [each for each in part if not each.startswith("_") and each not in signature.arguments]
    if left:
        more = f" and {len(left) - 4} more" if len(left) > 4 else ""
        raise UserError(
            f"{target} has no {', '.join(left[:4])}{more}: these belong to the class that {key}= has replaced. Write a "
            f"file conf/{group}/mine.yaml with `_target_: {target}` and what it takes, and give {group}=mine."
        )


def check_available(settings: Mapping[str, Any]) -> None:
    """Refuse what does not exist: a device that this machine lacks, an unknown data set.

    Raises:
        UserError: naming it. What only torch or the data folder can tell is checked later.
    """
    from mnist_lightning.cli.config import choices

    for group in ("experiment", "debug"):
        if settings.get(group):
            raise UserError(f"The file of {group}= would have no effect: begin it with the line # @package _global_.")
    for device in (settings.get("device"), (settings.get("trainer") or {}).get("accelerator")):
        machine.require({"gpu": "cuda"}.get(str(device), str(device)))
    data = settings.get("data") or {}
    if data.get("_target_") == DATA and not data.get("source"):
        name, known = data["name"], [each for each in choices("data") if each != "trained" or "trainer" not in settings]
        if name not in known:
            raise UserError(f"There is no data set {name}{did_you_mean(name, known)} Known: {', '.join(known)}.")


def _check_mapping(prefix: str, given: Mapping[str, Any], signature: Signature) -> None:
    # Callbacks last: an error is reported for a setting itself, not for a callback that refers to it.
    for key, value in sorted(given.items(), key=lambda item: isinstance(item[1], Mapping) + (item[0] == "callbacks")):
        if key.startswith("_"):
            continue
        name = f"{prefix}{key}"
        if value == "???":
            raise UserError(f"{name} is not given: add {name}=... to the command.")
        argument = signature.arguments.get(key)
        if argument is None:
            if not signature.open:
                raise UserError(f"There is no setting {name}{did_you_mean(name, _names(prefix, signature))}")
            continue
        _check_value(name, value, argument.annotation)


def _check_value(name: str, value: Any, annotation: Any) -> None:
    if isinstance(value, Mapping):
        if "_target_" in value:
            _check_part(name, value)
        elif foreign := [each for each in foreign_in(annotation) if read_signature(each.path)]:
            _check_mapping(f"{name}.", value, read_signature(foreign[0].path) or Signature())
        else:
            _refuse(name, value, annotation)
            for key, each in value.items():
                if isinstance(each, Mapping):
                    _check_value(f"{name}.{key}", each, None)
        return
    _refuse(name, value, annotation)


def _refuse(name: str, value: Any, annotation: Any) -> None:
    """Raise where a value does not fit its annotation."""
    if refused := refusal(value, annotation):
        place, wanted = refused
        from mnist_lightning.cli.config import groups

        hint = ""
        if words := described(annotation):
            place, wanted = "", words
        if isinstance(value, str) and (near := nearest(value, _choices(annotation))) and near != value:
            hint = f" Did you mean {near}?"
        elif isinstance(value, str) and name in groups():
            hint = f" To choose {value} in a file, write `- override /{name}: {value}` into its list of defaults."
        elif isinstance(value, str) and wanted.startswith("a list"):
            hint = f" A list is in brackets: '{name}=[{value}]'."
        elif isinstance(value, int) and value > LARGEST and "below" not in wanted:
            hint = f" The largest is {LARGEST}."
        raise UserError(f"{name}={shown(value)} is not allowed: {name}{place} should be {wanted}.{hint}")


def _check_part(name: str, part: Mapping[str, Any]) -> None:
    """Check the arguments of a class or function that a config names."""
    target = str(part["_target_"])
    signature = read_signature(target)
    if signature is None:  # compiled, or not found: building it will say so
        return
    _check_mapping(f"{name}.", part, signature)
    if not part.get("_partial_"):
        missing = [each for each, argument in signature.arguments.items()
                   if argument.required and each not in part and each not in OFFERED]  # fmt: skip
        if missing:
            raise UserError(f"{name}.{missing[0]} is not given: {target} needs it.")


def _names(prefix: str, signature: Signature) -> list[str]:
    return [f"{prefix}{name}" for name in signature.arguments]


def _choices(annotation: Any) -> list[str]:
    """The words among the literals of an annotation."""
    if typing.get_origin(annotation) is typing.Literal:
        return [each for each in typing.get_args(annotation) if isinstance(each, str)]
    return [word for part in typing.get_args(annotation) for word in _choices(part)]


def nearest(name: str, known: list[str]) -> str | None:
    """The known dotted name most similar to `name`.

    Other programs' names for it come first, then those with the same last part, the whole name, a similar last part.
    """
    wanted, spelt = name.lower(), {key.lower(): key for key in reversed(known)}
    last = wanted.rsplit(".", 1)[-1]
    if ELSEWHERE.get(last, name) in known:
        return ELSEWHERE.get(last, name)
    if same := [key for key in spelt if key.rsplit(".", 1)[-1] == last]:
        return spelt[difflib.get_close_matches(wanted, same, n=1, cutoff=0)[0]]
    if found := difflib.get_close_matches(wanted, list(spelt), n=1, cutoff=0.7):
        return spelt[found[0]]
    tails = {key.rsplit(".", 1)[-1]: key for key in spelt}
    close = difflib.get_close_matches(last, list(tails), n=1, cutoff=0.6)
    return spelt[tails[close[0]]] if close else None


def did_you_mean(name: str, known: list[str]) -> str:
    """The end of a sentence about an unknown name: `: did you mean ...?`, or a full stop if no known name is near."""
    found = nearest(name, known)
    return f": did you mean {found}?" if found else "."


def shown(value: Any) -> str:
    """A value as one types it in a config."""
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def annotation_of(key: str, command: str) -> Any:
    """The annotation of a setting by its dotted name, from any choice of its group that has it; None if none has."""
    from mnist_lightning.cli.config import targets

    section, _, name = key.rpartition(".")
    top = settings_of(command)
    own = foreign_in(top.arguments[section].annotation) if top and section in top.arguments else []
    paths = [*(each.path for each in own), *(targets(section) if section else ())]
    for signature in map(read_signature, paths) if section else [top]:
        if signature and name in signature.arguments:
            return signature.arguments[name].annotation
    return None
