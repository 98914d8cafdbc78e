"""Hydra launcher that runs the jobs of a multirun as tasks of a Ray cluster, on this machine or on many.

`hydra-ray-launcher`, the published one, holds cloudpickle at 2.2.1 and brings the tools of one cloud along; what is
needed of it is this page. Ray itself is imported only where jobs are launched, since Hydra imports every plugin at
every start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class RayLauncher(Launcher):
    """Runs each job as a Ray task.

    Args:
        init: arguments of `ray.init`; `address` names a cluster that is there, without one Ray starts its own here.
        remote: what a job needs, as for `ray.remote`: `num_cpus`, `num_gpus`, `resources`. Ray runs as many jobs at a
            time as the cluster has room for, and sets the threads of each to its `num_cpus`.
    """

    def __init__(self, init: Mapping[str, Any], remote: Mapping[str, Any]) -> None:
        self.init, self.remote = _plain(init), _plain(remote)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra knows of the sweep."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs, as many at a time as there is room for, and return what each returned, in order."""
        import ray

        from mnist_lightning.sweeps.job import prepare

        knows = prepare(self.hydra_context, self.config, self.task_function)
        started = not ray.is_initialized()
        if started:
            ray.init(**self.init)
        try:
            shared = ray.put(knows)
            # A job whose process was killed is not run again: its folder holds what it has left.
            task = ray.remote(**{"max_retries": 0, **self.remote})(_run)
            jobs = [
                task.remote(shared, list(overrides), initial_job_idx + number)
                for number, overrides in enumerate(job_overrides)
            ]
            return [_returned(job, list(overrides)) for job, overrides in zip(jobs, job_overrides, strict=True)]
        finally:
            if started:
                ray.shutdown()


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    return OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else dict(config)  # type: ignore


def _returned(job: Any, overrides: list[str]) -> JobReturn:
    """What a job returned, or that its process died: the others go on."""
    import ray
    from ray.exceptions import NodeDiedError, OutOfMemoryError, WorkerCrashedError

    from mnist_lightning.sweeps.returns import lost

    try:
        return ray.get(job)
    except (NodeDiedError, OutOfMemoryError, WorkerCrashedError):
        return lost(overrides)


def _run(shared: Any, overrides: list[str], number: int) -> JobReturn:
    """One job, in a Ray worker."""
    from mnist_lightning.sweeps.job import run_sweep_job

    return run_sweep_job(shared, overrides, number)
