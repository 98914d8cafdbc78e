"""A plain sweep: every combination of the values on the command line, each once, each in a folder of its own.

Errors in any of them are reported before the first job starts.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, open_dict

from mnist_lightning.cli import multirun
from mnist_lightning.cli.overrides import key_of
from mnist_lightning.errors import UserError
from mnist_lightning.sweeps import returns
from mnist_lightning.sweeps.collect import SPLIT

Job = list[str]
"""The overrides of one job, as they are typed."""


def sweep(
    config: DictConfig, arguments: Sequence[str], batch_size: Any, loader: ConfigLoader, launcher: Launcher
) -> None:
    """Run every combination. How a job ended is recorded in its folder.

    Args:
        config: the config of the sweep, Hydra's part included.
        arguments: the overrides on the command line; of two that set the same key, the later one counts.
        batch_size: jobs that the launcher gets at a time; None for all.
        loader: composes a job's config.
        launcher: runs jobs, each given by its overrides.

    Raises:
        UserError: a value that cannot be swept over, two jobs that would share a folder, or a job that leaves nothing
            for the ensemble that is to be made; nothing was started.
    """
    if batch_size is not None and (not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1):
        raise UserError(
            f"hydra.sweeper.max_batch_size={batch_size} is not allowed: expected a whole number, 1 or more, or null."
        )
    found = combinations(OverridesParser.create(config_loader=loader).parse_overrides(list(arguments)))
    jobs = list(dict(zip(map(tuple, found), found, strict=True)).values())
    if len(jobs) < len(found):
        print(f"{len(found) - len(jobs)} of {len(found)} jobs repeat another one: each runs once.", flush=True)
    _check_composes(config, jobs, loader)
    _check_folders(config, jobs, loader)
    folder = Path(config.hydra.sweep.dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(config, folder / "multirun.yaml")
    except OSError as error:
        raise UserError(
            f"The sweep folder {folder} cannot be made ({error.strerror}): choose another with `outputs=`."
        ) from None
    if config.hydra.launcher._target_.endswith("BasicLauncher"):
        batch_size = 1  # this launcher keeps two configs for each job of a batch, a quarter of a megabyte
    for first in range(0, len(jobs), batch_size or len(jobs)):
        batch = jobs[first : first + (batch_size or len(jobs))]
        results = launcher.launch(batch, initial_job_idx=first)
        for number, (job, result) in enumerate(zip(batch, results, strict=True), first):
            _record(config, job, number, result, loader)


def combinations(overrides: Sequence[Override]) -> list[Job]:
    """The overrides of each job, the last key changing fastest.

    Raises:
        UserError: an interval, which has no list of values.
    """
    values: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if override.is_discrete_sweep():
            values[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        elif override.is_sweep_override():
            raise UserError(
                f"{override.input_line} has no list of values: write {key}=a,b,c or {key}=range(low,high,step), or "
                "search over it with search=lr."
            )
        else:
            values[key] = [f"{key}={override.get_value_element_as_str()}"]
    return [list(job) for job in itertools.product(*values.values())]


def _check_composes(config: DictConfig, jobs: Sequence[Job], loader: ConfigLoader) -> None:
    """Compose one config for each choice of groups, as in `model=cnn` or `+experiment=quick`.

    Jobs that differ only in the values of settings can all be composed or none; each job checks its values itself.
    """
    groups = loader.list_groups("")

    def kind(override: str) -> str:
        return override if key_of(override).split("/")[0] in groups else key_of(override)

    kinds = {tuple(map(kind, job)): job for job in reversed(jobs)}
    composed = {each: loader.load_sweep_config(config, job) for each, job in kinds.items()}
    joined = [each for each in composed if OmegaConf.select(composed[each], "sweep.ensemble")]
    for each in joined:
        _check_ensemble(composed[each], kinds[each], len(jobs))
    if joined:
        _check_same_images([(job, composed[tuple(map(kind, job))]) for job in jobs])


def _check_ensemble(config: DictConfig, job: Job, count: int) -> None:
    """Refuse an ensemble of a single job, or of jobs that leave no checkpoint for it."""
    if count < 2:
        raise UserError("sweep.ensemble=true joins the networks of several jobs, and there is one: add seed=0,1,2.")
    targets = [str(part.get("_target_")) for part in (config.callbacks or {}).values() if part]
    # What a callback of one's own leaves is known only afterwards.
    saves = any(not each.startswith("mnist_lightning.") or each.endswith(".BestAndLast") for each in targets)
    if not config.train or not saves or config.trainer.get("fast_dev_run"):
        raise UserError(
            f"sweep.ensemble=true joins the best checkpoints of the jobs, and {' '.join(job)} leaves none: it needs "
            "callbacks.checkpoint, train=true and no trainer.fast_dev_run."
        )


def _check_same_images(jobs: Sequence[tuple[Job, DictConfig]]) -> None:
    """Refuse an ensemble of networks that validate on different images.

    Args:
        jobs: each with a config of its kind: what differs within a kind is on its command line.
    """
    found: dict[str, set[str]] = {}
    for job, config in jobs:
        typed = {key_of(word): word.partition("=")[2] for word in job}
        for key in ("data.name", *(f"data.{name}" for name in SPLIT)):
            found.setdefault(key, set()).add(typed.get(key, str(OmegaConf.select(config, key))))
    found["data.name"].discard("auto")  # which may turn out to be the other one
    if differing := [key for key, values in found.items() if len(values) > 1]:
        raise UserError(
            "sweep.ensemble=true joins networks that validate on the same images, and these differ in "
            f"{', '.join(differing)}: sweep over something else, such as seed=0,1,2."
        )


def _check_folders(config: DictConfig, jobs: Sequence[Job], loader: ConfigLoader) -> None:
    """Check that no two jobs share a folder, unless a job's folder is its number."""
    asked = str(OmegaConf.to_container(config.hydra.sweep, resolve=False)["subdir"])  # type: ignore[index,call-overload]
    if asked in ("${hydra.job.num}", "${hydra:job.num}"):
        return
    taken: dict[str, int] = {}
    for number, job in enumerate(jobs):
        folder = os.path.normpath(_subdir(config, job, number, loader) if "${" in asked else asked)
        parents = [str(parent) for parent in Path(folder).parents if str(parent) != "."]
        if folder == "." or folder.startswith("..") or Path(folder).is_absolute():
            raise UserError(f"hydra.sweep.subdir={asked} puts job {number} into {folder}, which is not below the "
                            "sweep's folder: name a folder in it, such as ${hydra.job.num}.")  # fmt: skip
        for other in (folder, *parents, *(each for each in taken if folder in map(str, Path(each).parents))):
            if other in taken:
                raise UserError(f"hydra.sweep.subdir={asked} gives jobs {taken[other]} and {number} the same folder "
                                f"{other}: put ${{hydra.job.num}} into it.")  # fmt: skip
        taken[folder] = number


def _subdir(config: DictConfig, job: Job, number: int, loader: ConfigLoader) -> str:
    """The folder of a job within the sweep's, as Hydra will name it."""
    composed = loader.load_sweep_config(config, job)
    with open_dict(composed):
        composed.hydra.job.id, composed.hydra.job.num = str(number), number
    hydra = HydraConfig.instance()
    before, hydra.cfg = hydra.cfg, None
    try:
        hydra.set_config(composed)  # `${hydra:...}` reads it
        return str(composed.hydra.sweep.subdir)
    finally:
        hydra.cfg = before


def _record(config: DictConfig, job: Job, number: int, result: JobReturn, loader: ConfigLoader) -> None:
    """Record a job that could not record itself: its process was killed, or it never began."""
    error = returns.error_of(result)
    if error is None:
        return
    run = Path(config.hydra.sweep.dir) / _subdir(config, job, number, loader)
    run.mkdir(parents=True, exist_ok=True)
    if returns.died(error):
        multirun.record_death(run, overrides=job)
    else:
        multirun.record(
            run, {}, "failed", multirun.sentence_of(error), isinstance(error, UserError), asked={"overrides": job}
        )
