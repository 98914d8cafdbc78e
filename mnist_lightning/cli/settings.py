"""The settings of a run, held against their rules before any data is read: a typing error costs a second and no run.

Knows nothing of torch or Hydra.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from mnist_lightning.cli.rules import RULES
from mnist_lightning.errors import UserError


def dotted(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting as (`group.key`, value)."""
    for key, value in settings.items():
        if (
            isinstance(value, Mapping) and value and prefix + key != "search.space"
        ):  # whose keys are settings themselves
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def check(settings: Mapping[str, Any]) -> None:
    """Hold each value against its rule, and the values against each other.

    Args:
        settings: the composed config as plain dicts, lists, numbers and strings.

    Raises:
        UserError: the first setting that is unknown, missing or out of its range.
    """
    known = dict(dotted(settings))
    for key, value in known.items():
        rule = RULES.get(key)
        if rule is None:
            raise UserError(f"There is no setting {key}{did_you_mean(key, list(RULES))}")
        if value == "???":
            raise UserError(f"{key} is not given: add {key}=... to the command.")
        if not rule.holds(value):
            raise UserError(f"{key}={_shown(value)} does not do: it must be {rule.wanted}.")
    folds, fold = known.get("data.num_folds", 0), known.get("data.fold", 0)
    if folds == 1:
        raise UserError("data.num_folds=1 does not do: cross-validation needs 2 folds or more (0 for the plain split).")
    if folds and fold >= folds:
        raise UserError(f"data.fold={fold} does not do: with data.num_folds={folds} it is 0 to {folds - 1}.")
    if known.get("optimizer.nesterov") and known.get("optimizer.momentum") == 0:
        raise UserError("optimizer.nesterov=true needs optimizer.momentum above 0.")
    if known.get("scheduler.name") == "plateau" and known["scheduler.interval"] == "step":
        raise UserError("scheduler.interval=step does not do with scheduler=plateau: metrics come once an epoch.")
    if known.get("ckpt") and known.get("ckpt_path"):
        raise UserError("ckpt= starts anew from given weights, ckpt_path= resumes a run: give one of the two.")
    for key in ("data.no_digits", "data.noise_images"):
        if known.get("distill.teacher") and known.get(key):
            raise UserError(f"distill.teacher does not do with {key}: a teacher has no answer to what is no digit.")
    if "search.study" in known:
        _check_search(known)
    if known.get("trainer.accelerator") == "mps" and known.get("trainer.devices") not in (None, 1, "auto"):
        raise UserError(f"trainer.devices={known['trainer.devices']} does not do with mps, of which there is one.")
    if known.get("trainer.accelerator") == "mps" and known.get("trainer.strategy") not in (None, "auto"):
        raise UserError(f"trainer.strategy={known['trainer.strategy']} does not do with mps, of which there is one.")
    if known.get("trainer.accelerator") == "cpu" and known.get("trainer.sync_batchnorm"):
        raise UserError(
            "trainer.sync_batchnorm=true works on GPUs only: leave it at false with trainer.accelerator=cpu."
        )
    if known.get("trainer.strategy") == "fsdp" and known.get("trainer.precision") == "16-mixed":
        raise UserError(
            "trainer.precision=16-mixed does not do with trainer.strategy=fsdp: take bf16-mixed or 32-true."
        )
    if known.get("model.name") == "checkpoint" and not (known["ckpt"] or known["ckpt_path"]):
        raise UserError("model=checkpoint takes the network from a checkpoint: add ckpt=pretrained or another one.")
    scale = known.get("augment.scale", [1, 1])
    if scale[0] > scale[1]:
        raise UserError(f"augment.scale={_shown(scale)} does not do: the smaller factor comes first.")


def _check_search(known: Mapping[str, Any]) -> None:
    sampler, pruner, objectives = (known[f"search.{name}"] for name in ("sampler", "pruner", "objectives"))
    if len(objectives) not in (1, 2) or len(set(objectives)) < len(objectives):
        raise UserError(f"search.objectives={_shown(objectives)} does not do: give one, or two different ones.")
    if len(objectives) == 2 and sampler == "cmaes":
        raise UserError("search.sampler=cmaes knows one objective only: take nsga2, tpe, gp, random or grid.")
    if pruner != "none" and objectives not in (["val_accuracy"], ["val_loss"]):
        raise UserError(
            f"search.pruner={pruner} needs search.objectives=[val_accuracy] or [val_loss], which each epoch measures."
        )


def without_effect(settings: Mapping[str, Any]) -> list[str]:
    """A sentence for each setting that was given but changes nothing in this run."""
    known = dict(dotted(settings))

    def given(key: str, default: Any) -> bool:
        return key in known and known[key] != default

    said = []
    if given("data.fold", 0) and not known["data.num_folds"]:
        said.append("data.fold has no effect without data.num_folds.")
    if given("data.val_size", None) and known["data.num_folds"] and known.get("data.name") != "digits":
        said.append("data.val_size has no effect with data.num_folds: the fold is the validation set.")
    if known.get("distill.teacher") is None:
        said += [
            f"{key} has no effect without distill.teacher."
            for key, default in (("distill.weight", 0.9), ("distill.temperature", 2.0))
            if given(key, default)
        ]
    if known.get("averaging.decay") == 0 and given("averaging.every_n_steps", 5):
        said.append("averaging.every_n_steps has no effect with averaging.decay=0.")
    if known.get("early_stopping.patience") is None and given("early_stopping.min_delta", 0.0):
        said.append("early_stopping.min_delta has no effect without early_stopping.patience.")
    if known.get("early_stopping.patience") and known.get("checkpoint.monitor") == "last":
        said.append("early_stopping.patience watches val_loss, since checkpoint.monitor=last compares nothing.")
    if known.get("augment.elastic") == 0 and given("augment.elastic_cells", 4):
        said.append("augment.elastic_cells has no effect with augment.elastic=0.")
    if known.get("augment.erase") == 0 and given("augment.erase_size", [0.1, 0.3]):
        said.append("augment.erase_size has no effect with augment.erase=0.")
    if known.get("augment.erase") == 0 and given("augment.erase_with", "black"):
        said.append("augment.erase_with has no effect with augment.erase=0.")
    if known.get("model.standardize"):
        said += [
            f"{key} has no effect with model.standardize=true."
            for key, default in (("model.mean", 0.1307), ("model.std", 0.3081))
            if given(key, default)
        ]
    if known.get("data.drawings") is None:
        said += [
            f"{key} has no effect without data.drawings."
            for key, default in (("data.drawings_share", 0.25), ("data.drawings_aside", 0.2))
            if given(key, default)
        ]
    if known.get("trainer.strategy") == "fsdp" and known.get("averaging.decay"):
        said.append("averaging.decay has no effect with trainer.strategy=fsdp: sharded weights are not averaged.")
    if known.get("data.name") == "digits" and known.get("data.mirrors"):
        said.append("data.mirrors has no effect with data=digits: nothing is downloaded.")
    return said


def nearest(name: str, known: list[str]) -> str | None:
    """The known dotted name most like `name`: by its whole, then by its last part."""
    if found := difflib.get_close_matches(name, known, n=1, cutoff=0.7):
        return found[0]
    tails = {key.rsplit(".", 1)[-1]: key for key in reversed(known)}
    close = difflib.get_close_matches(name.rsplit(".", 1)[-1], list(tails), n=1, cutoff=0.6)
    return tails[close[0]] if close else None


def did_you_mean(name: str, known: list[str]) -> str:
    """How to end a sentence on an unknown name: `: did you mean ...?`, or a full stop where no known name is near."""
    found = nearest(name, known)
    return f": did you mean {found}?" if found else "."


def _shown(value: Any) -> str:
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))
