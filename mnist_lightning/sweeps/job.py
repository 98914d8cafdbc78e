"""One job of a multirun, in the process that a launcher gave it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, configure_log, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

# What the launcher's `setup` was given, its `Singleton.get_state()` and its working directory.
Knows = tuple[HydraContext, DictConfig, TaskFunction, dict[Any, Any], str]


def prepare(context: HydraContext, config: DictConfig, task_function: TaskFunction) -> Knows:
    """Set up the process of a launcher for a sweep, and return what its jobs have to know."""
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    Path(str(config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    return context, config, task_function, Singleton.get_state(), str(Path.cwd())


def run_sweep_job(knows: Knows, overrides: list[str], number: int) -> JobReturn:
    """Run a job of a multirun in this process, where Hydra is not set up yet.

    Args:
        knows: what the launcher's process knows.
        overrides: those of this job.
        number: that of this job in the sweep.

    Returns:
        What the job returned, or that it failed and why.
    """
    context, config, task_function, singletons, folder = knows
    os.chdir(folder)
    setup_globals()
    Singleton.set_state(singletons)
    job_config = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(job_config):
        job_config.hydra.job.id = f"{job_config.hydra.job.name}_{number}"
        job_config.hydra.job.num = number
    return run_job(
        hydra_context=context, task_function=task_function, config=job_config, job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )  # fmt: skip
