"""A run that continues from its last checkpoint: where that is, and which settings apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnist_lightning.cli.check import check, dotted, shown
from mnist_lightning.cli.commands import COMMANDS
from mnist_lightning.cli.overrides import is_in, key_of
from mnist_lightning.errors import UserError
from mnist_lightning.run import folder as runs
from mnist_lightning.run.record import read_metrics

NOT_KEPT = ("outputs", "logger", "sweep", "search", "allow", "ckpt_path")
"""Settings that are not kept in a checkpoint: where things are, what may be run. A resumed run gets them afresh."""

FREE = (
    "outputs", "ckpt_path", "allow", "name", "tags", "test", "callbacks", "logger", "runtime", "sweep",
    "early_stopping", "checkpoint.every_n_steps", "data.folder", "data.mirrors", "data.num_workers", "tta",
    *(f"trainer.{name}" for name in (
        "max_epochs", "min_epochs", "max_steps", "max_time", "accelerator", "devices", "num_nodes", "strategy",
        "enable_progress_bar", "log_every_n_steps", "profiler", "detect_anomaly",
    )),
)  # fmt: skip
"""What the command line may change in a resumed run: none of it changes what was learned so far."""


_FOLLOW = {"progress": "trainer.enable_progress_bar", "learning_curves": "trainer.log_every_n_steps"}
"""Callbacks that take a setting of the trainer, which is free."""


def find(ckpt_path: str, outputs: Path) -> Path:
    """The checkpoint that `ckpt_path=` names: a file, a run folder (its last.ckpt), or `latest`.

    Raises:
        UserError: there is none.
    """
    path = Path(ckpt_path).expanduser()
    if ckpt_path == "latest":
        path = runs.finished(outputs, "name a run folder with ckpt_path=")
    if path.is_dir():
        path = path / runs.LAST
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path}: give a run folder, `latest` or a .ckpt file as ckpt_path=.")
    return path


def check_unfinished(path: Path, overrides: Sequence[str]) -> None:
    """Refuse a run that has done all its epochs according to its record, before anything heavy is imported.

    Raises:
        UserError: it has finished, and the command asks for no further epochs.
    """
    try:
        record = read_metrics(path.parents[1])
        done = len(record["history"]["epoch"])
        asked = [each.partition("=")[2] for each in overrides if key_of(each) == "trainer.max_epochs"]
        wanted = int(asked[-1] if asked else record["hyperparameters"]["trainer"]["max_epochs"])
    except (UserError, KeyError, TypeError, ValueError, IndexError):
        return  # the checkpoint will tell
    if record.get("status") == "finished" and done >= wanted:
        raise UserError(
            f"{path} has done {done} epochs already: ask for more with trainer.max_epochs={done + 1} or higher."
        )


def check_resumable(checkpoint: Mapping[str, Any], path: Path) -> int:
    """Check that a checkpoint can be resumed, and return how many epochs it has done.

    Raises:
        UserError: it holds weights only, or was written by an earlier version.
    """
    if "loops" not in checkpoint:
        raise UserError(f"{path} holds weights only and cannot be resumed: start from it anew with ckpt={path}.")
    states = checkpoint.get("callbacks", {})
    if "RunFolder" in states:
        raise UserError(f"{path} was written by an earlier version and cannot be resumed: start anew with ckpt={path}.")
    history = states.get("MetricsJSON", {}).get("history", {})
    return len(history.get("epoch", ())) if history else int(checkpoint["epoch"]) + bool(checkpoint.get("global_step"))


def settings(composed: dict[str, Any], kept: Mapping[str, Any], overrides: Sequence[str], path: Path) -> dict[str, Any]:
    """The settings of a resumed run: those of its checkpoint, with what the command line may change.

    Args:
        composed: the settings as the command line composes them.
        kept: the settings in the checkpoint's card.
        overrides: the overrides on the command line, in Hydra's syntax.
        path: the checkpoint, for the message.

    Raises:
        UserError: the command line sets something that cannot change any more.
    """
    result = _copy(composed)
    for key, value in kept.items():
        if key not in NOT_KEPT:
            result[key] = _copy(value)
    now, before = dict(dotted(composed)), dict(dotted(kept))
    for override in overrides:
        name = key_of(override)
        section = name.split(".")[0]
        free = is_in(name, *FREE)
        if name in ("experiment", "debug", "search", "train", "ckpt") and not composed.get("search"):
            raise UserError(f"{override} cannot be given with ckpt_path=: its settings are those of {path}.")
        touched = [key for key in now if is_in(key, name)]
        changed = [key for key in touched if now[key] != before.get(key)]
        # A trial is resumed by its search, which composes it again and vouches for its settings; some of them, such as
        # the seed that was drawn or the checkpoint that `latest` was, stand in the checkpoint in another form.
        if changed and not free and section in kept and not composed.get("search"):
            key = next((each for each in changed if "_target_" not in each), changed[0])
            raise UserError(
                f"{override} cannot change in a resumed run, whose {key} is {shown(before.get(key))}: leave it out, "
                f"or start anew from the weights with ckpt={path}."
            )
        if free:
            _put(result, name, composed)
    for name in result.get("callbacks", {}):
        if name in result:  # `callbacks.averaging` is `averaging`
            result["callbacks"][name] = _copy(result[name])
        elif setting := _FOLLOW.get(name):  # these follow settings of the trainer
            said = set(map(key_of, overrides))
            if setting in said and name in composed["callbacks"]:
                result["callbacks"][name] = _copy(composed["callbacks"][name])
    if not composed.get("search"):  # a trial that is resumed on its own reports to nobody
        result.get("callbacks", {}).pop("pruning", None)
    check(result, COMMANDS["train"].function)
    return result


def asked(now: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What a resumed run was asked for: what its record says, with what this command adds to it.

    Its recipe is that of the run it continues; the overrides of `ckpt_path=...` alone would say nothing of it.

    Args:
        now: what was asked of this process (see `multirun.asked_for`).
        path: the checkpoint that is resumed, beside which the record lies; without one, `now` is all that is known.
    """
    try:
        then = read_metrics(path.parents[1])
    except (UserError, IndexError):
        return dict(now)
    given = [key_of(each) for each in now.get("overrides", ())]
    before = [each for each in then.get("overrides") or () if key_of(each) not in given]
    choices = {name: choice for name, choice in now.get("choices", {}).items() if name in given}
    return {
        **now,
        "overrides": [*before, *now.get("overrides", ())],
        "experiment": then.get("experiment"),
        "choices": {**now.get("choices", {}), **(then.get("choices") or {}), **choices},
    }


def not_in_checkpoint(settings: Mapping[str, Any], overrides: Sequence[str]) -> list[str]:
    """The settings that a command must give to resume a run, since they are not in its checkpoint."""
    names = [key_of(each) for each in overrides]
    given = [f"outputs={settings['outputs']}"] * ("outputs" in names)
    given += [each for each, name in zip(overrides, names, strict=True) if is_in(name, "logger", "allow")]
    return given


def _put(target: dict[str, Any], name: str, source: Mapping[str, Any]) -> None:
    *sections, key = name.split(".")
    for section in sections:
        target, source = target.setdefault(section, {}), source.get(section, {})
    if key in source:
        target[key] = _copy(source[key])
    else:  # `~callbacks.loss_graph`
        target.pop(key, None)


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(each) for key, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list | tuple) else value
