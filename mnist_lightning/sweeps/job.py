"""One job of a multirun, in the process that a launcher gave it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


def run_sweep_job(
    context: HydraContext,
    config: DictConfig,
    task_function: TaskFunction,
    singletons: dict[Any, Any],
    folder: str | Path,
    overrides: list[str],
    number: int,
) -> JobReturn:
    """Run a job of a multirun in this process, which knows nothing of Hydra yet.

    Args:
        context, config, task_function: what the launcher's `setup` was given.
        singletons: `Singleton.get_state()` of the launcher's process.
        folder: its working directory.
        overrides: of this job.
        number: of this job in the sweep.

    Returns:
        What the job returned, or that it failed and why.
    """
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
