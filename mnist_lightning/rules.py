"""Which value each setting may have. Knows nothing of torch or Hydra.

`conf/` says what a setting does; the table here says which values make sense.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


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
precision = one_of("auto", "32-true", "bf16-mixed", "16-mixed")
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
    "data.embellished": whole(0),
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
    "model.inputs": list_of(one_of("image", "deslanted")),
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
    "augment.overlay": number(0, 1),
    "augment.filter": number(0, 1),
    "augment.tone": number(0, 1),
    "augment.wave": number(0),
    "augment.noise": number(0),
    "augment.clean": number(0, 1),
    "trainer.accelerator": one_of("auto", "cpu", "gpu", "mps"),
    "trainer.devices": auto_or(whole(1)),
    "trainer.num_nodes": auto_or(whole(1)),
    "trainer.strategy": one_of("auto", "ddp", "fsdp"),
    "trainer.sync_batchnorm": flag,
    "trainer.max_epochs": whole(1),
    "trainer.precision": precision,
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
    "precision": precision,
    "device": one_of("auto", "cpu", "cuda", "mps"),
    "image": text,
    "digits": maybe(Rule("1", lambda value: value == 1 and not isinstance(value, bool))),
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
