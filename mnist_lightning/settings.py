"""What each setting may be. Checked before any data is read, so a typing error costs a second and no run.

`conf/` says what a setting does; the table here says which values make sense. Knows nothing of torch or Hydra.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mnist_lightning.errors import UserError


@dataclass(frozen=True)
class Rule:
    """What a value must be, in words, and the test for it."""

    wanted: str
    holds: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(low: float, high: float | None = None, *, above: bool = False, below: bool = False) -> Rule:
    """A number from `low` to `high`; `above` and `below` leave out the ends."""
    words = f"above {low}" if above else f"{low} or more"
    if high is not None:
        words += f" and below {high}" if below else f" and at most {high}"

    def holds(value: Any) -> bool:
        if not _is_number(value) or not (value > low if above else value >= low):
            return False
        return high is None or (value < high if below else value <= high)

    return Rule(f"a number {words}", holds)


def whole(low: int) -> Rule:
    """A whole number, `low` or more."""
    return Rule(
        f"a whole number, {low} or more",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= low,
    )


def one_of(*names: str) -> Rule:
    """One of the names."""
    return Rule(f"one of {', '.join(names)}", lambda value: value in names)


def list_of(rule: Rule, length: int | None = None) -> Rule:
    """A list, each entry after `rule`."""
    count = f"{length} entries" if length else "entries"
    return Rule(
        f"a list of {count}, each {rule.wanted}",
        lambda value: isinstance(value, list) and length in (None, len(value)) and all(map(rule.holds, value)),
    )


def maybe(rule: Rule) -> Rule:
    """`rule`, or null."""
    return Rule(f"{rule.wanted}, or null", lambda value: value is None or rule.holds(value))


def auto_or(rule: Rule) -> Rule:
    """`rule`, or the word auto."""
    return Rule(f"auto, or {rule.wanted}", lambda value: value == "auto" or rule.holds(value))


flag = Rule("true or false", lambda value: isinstance(value, bool))
text = Rule("a text", lambda value: isinstance(value, str) and value != "")
any_number = Rule("a number", _is_number)
part = Rule(
    "a share above 0 and at most 1.0, or a whole number of batches",
    lambda value: _is_number(value) and (value >= 1 if isinstance(value, int) else 0 < value <= 1),
)
share = number(0, 1, below=True)
metric = one_of("val_loss", "val_accuracy", "train_loss")

_DATA = {
    "data.name": text,
    "data.folder": text,
    "data.mirrors": list_of(text),
    "data.batch_size": whole(1),
    "data.fallback_batch_size": whole(1),
    "data.eval_batch_size": whole(1),
    "data.shuffle": flag,
    "data.num_workers": whole(0),
    "data.val_size": maybe(whole(1)),
    "data.split_seed": whole(0),
    "data.limit": maybe(whole(1)),
    "data.num_folds": whole(0),
    "data.fold": whole(0),
    "data.pen_digits": whole(0),
    "data.no_digits": whole(0),
    "data.noise_images": whole(0),
    "data.drawings": maybe(text),
    "data.drawings_share": share,
    "data.drawings_aside": share,
}
_TRAIN = {
    "seed": whole(0),
    "ckpt_path": maybe(text),
    "loss.label_smoothing": share,
    "averaging.decay": share,
    "averaging.every_n_steps": whole(1),
    "checkpoint.monitor": one_of("val_loss", "val_accuracy", "last"),
    "distill.teacher": maybe(text),
    "distill.weight": number(0, 1, above=True),
    "distill.temperature": number(0, above=True),
    "early_stopping.patience": maybe(whole(1)),
    "early_stopping.min_delta": number(0),
    "runtime.compile": flag,
    "runtime.channels_last": flag,
    "runtime.keep_memory": flag,
    "runtime.wait_asleep": flag,
    "runtime.threads": maybe(whole(1)),
    "model.name": text,
    "model.channels": list_of(whole(1)),
    "model.kernels": list_of(whole(1)),
    "model.pools": list_of(whole(1)),
    "model.padding": flag,
    "model.hidden_sizes": list_of(whole(1)),
    "model.dropout": share,
    "model.crop": maybe(whole(1)),
    "model.mean": any_number,
    "model.std": number(0, above=True),
    "model.standardize": flag,
    "optimizer.name": text,
    "optimizer.lr": number(0, above=True),
    "optimizer.betas": list_of(share, 2),
    "optimizer.weight_decay": number(0),
    "optimizer.momentum": share,
    "optimizer.nesterov": flag,
    "scheduler.name": text,
    "scheduler.warmup": share,
    "scheduler.start": number(0, 1),
    "scheduler.end": number(0, 1),
    "scheduler.interval": one_of("step", "epoch"),
    "scheduler.frequency": whole(1),
    "scheduler.step_size": whole(1),
    "scheduler.gamma": number(0, 1, above=True),
    "scheduler.monitor": metric,
    "scheduler.patience": whole(0),
    "scheduler.factor": number(0, 1, above=True, below=True),
    "augment.degrees": number(0, 180),
    "augment.translate": number(0),
    "augment.scale": list_of(number(0, above=True), 2),
    "augment.shear": number(0, 90, below=True),
    "augment.elastic": number(0),
    "augment.elastic_cells": whole(1),
    "augment.erase": number(0, 1),
    "augment.erase_size": list_of(number(0, 1, above=True), 2),
    "augment.erase_with": one_of("black", "grey", "image"),
    "augment.stroke": number(0, 1),
    "augment.filter": number(0, 1),
    "augment.tone": number(0, 1),
    "augment.wave": number(0),
    "augment.noise": number(0),
    "trainer.accelerator": one_of("auto", "cpu", "gpu", "mps"),
    "trainer.devices": auto_or(whole(1)),
    "trainer.num_nodes": auto_or(whole(1)),
    "trainer.strategy": one_of("auto", "ddp", "fsdp"),
    "trainer.sync_batchnorm": flag,
    "trainer.max_epochs": whole(1),
    "trainer.precision": one_of("auto", "32-true", "bf16-mixed", "16-mixed"),
    "trainer.gradient_clip_val": maybe(number(0, above=True)),
    "trainer.accumulate_grad_batches": whole(1),
    "trainer.deterministic": flag,
    "trainer.limit_train_batches": part,
    "trainer.limit_val_batches": part,
    "trainer.overfit_batches": Rule(f"0.0 (off), or {part.wanted}", lambda v: v == 0 or part.holds(v)),
    "trainer.log_every_n_steps": whole(1),
    "trainer.profiler": maybe(one_of("simple", "advanced")),
    "trainer.detect_anomaly": flag,
    "trainer.enable_progress_bar": flag,
    "logger": Rule("a choice of conf/logger/", lambda value: value in (None, {})),
    "logger.tensorboard.graph": flag,
    "logger.csv.flush_every_n_steps": whole(1),
    "logger.mlflow.experiment_name": text,
    "logger.mlflow.tracking_uri": maybe(text),
    "logger.wandb.project": text,
    "logger.wandb.offline": flag,
    "sweep.fail_fast": flag,
    "sweep.ensemble": flag,
}
_USE = {
    "ckpt": maybe(text),
    "outputs": text,
    "device": one_of("auto", "cpu", "cuda", "mps"),
    "image": text,
    "sure": number(0, 1),
    "strokes": text,
    "move": Rule(
        "null, random, or [x, y] with two shares from 0 to 1",
        lambda value: value in (None, "random") or list_of(number(0, 1), 2).holds(value),
    ),
    "scale": number(0, 2, above=True),
    "pen": number(0, above=True),
    "tta.shift": number(0),
    "tta.degrees": number(0, 180),
    "limit": maybe(whole(1)),
    "pen_width": number(4, 60),
    "drawings": text,
    "window": list_of(whole(200), 2),
}
_SUITE = {"outliers": list_of(text), "outlier_images": whole(1), "speed_seconds": number(0)}
_SEARCH = {
    "search": Rule("a choice of conf/search/", lambda value: value in (None, {})),
    "search.study": Rule(
        "a name of letters, digits, dots, - and _", lambda v: isinstance(v, str) and bool(re.fullmatch(r"\w[\w.-]*", v))
    ),
    "search.n_trials": whole(1),
    "search.sampler": one_of("tpe", "gp", "random", "grid", "cmaes", "nsga2"),
    "search.pruner": one_of("none", "median", "asha", "hyperband"),
    "search.objectives": list_of(one_of("val_accuracy", "val_loss", "parameters", "fit_seconds")),
    "search.startup_trials": whole(1),
    "search.warmup_epochs": whole(1),
    "search.n_jobs": whole(1),
    "search.max_failures": whole(1),
    "search.seed": whole(0),
    "search.storage": maybe(text),
    "search.trial": maybe(whole(0)),
    "search.space": Rule("a map from settings to what they may be", lambda value: isinstance(value, Mapping)),
}
_RESULTS = {
    "runs": text,
    "where": maybe(text),
    "by": maybe(list_of(text)),
    "metric": one_of("val_accuracy", "val_loss", "test_accuracy", "test_loss", "fit_seconds", "parameters"),
    "sort": maybe(text),
    "compare": maybe(text),
    "format": one_of("table", "csv", "markdown", "json"),
    "out": maybe(text),
    "plot": maybe(text),
}

RULES: dict[str, Rule] = _DATA | _TRAIN | _SEARCH | _SUITE | _USE | _RESULTS
"""For each dotted key of `conf/` what its value must be."""


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
