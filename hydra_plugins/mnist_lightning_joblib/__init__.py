"""Hydra launcher that runs the jobs of a multirun in worker processes of this machine.

`hydra-joblib-launcher`, the published one, runs all jobs in one pool: a worker that is killed takes the jobs of the
others with it, and those that were still to come. Here each worker is a pool of its own, so that its end concerns its
own job only.
"""

from __future__ import annotations

import multiprocessing
import queue
import threading
from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from mnist_lightning.errors import UserError

STOPPING = 60.0  # seconds that workers have to write down where they are, after Ctrl-C


class JoblibLauncher(Launcher):
    """Runs as many jobs at a time as there are workers; a worker takes one job after another.

    Args:
        n_jobs: workers; -1 for one per core. They share the cores as their threads.
    """

    def __init__(self, n_jobs: Any = -1, **_: Any) -> None:  # others: of the published launcher's config, if installed
        self.n_jobs = n_jobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra knows of the sweep.

        Raises:
            UserError: `n_jobs` is not a number of workers.
        """
        good = isinstance(self.n_jobs, int) and not isinstance(self.n_jobs, bool)
        if not good or self.n_jobs < -1 or self.n_jobs == 0:
            raise UserError(
                f"hydra.launcher.n_jobs={self.n_jobs} is not allowed: expected a whole number, 1 or more, or -1 for "
                "one per core."
            )
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and return what each returned, in order."""
        import joblib

        from mnist_lightning.sweeps.job import prepare

        cores = joblib.cpu_count()
        workers = min(cores if self.n_jobs == -1 else self.n_jobs, len(job_overrides))
        knows = prepare(self.hydra_context, self.config, self.task_function)
        threads = max(1, cores // (cores if self.n_jobs == -1 else self.n_jobs))
        sweep = _Sweep(knows, [list(each) for each in job_overrides], initial_job_idx, threads)
        return sweep.run(workers)


class _Sweep:
    """The jobs of one launch, and the threads that hand them to the workers."""

    def __init__(self, knows: tuple[Any, ...], jobs: list[list[str]], first: int, threads: int) -> None:
        self.knows, self.jobs, self.first, self.threads = knows, jobs, first, threads
        self.waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.results: dict[int, JobReturn] = {}
        self.stopped: BaseException | None = None
        for number in range(len(jobs)):
            self.waiting.put(number)

    def run(self, workers: int) -> list[JobReturn]:
        """Start the workers, wait for all jobs; Ctrl-C lets running jobs write down where they are.

        Raises:
            BaseException: what ended the sweep, such as Ctrl-C, here or in a job.
        """
        threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException as error:
            self.stopped = error
            for thread in threads:
                thread.join(STOPPING / workers)
            raise
        if self.stopped is not None:
            raise self.stopped
        return [self.results[number] for number in range(len(self.jobs))]

    def _serve(self) -> None:
        """One worker's thread: a job after the other, a new process where one was killed."""
        from concurrent.futures.process import BrokenProcessPool

        from joblib.externals import loky

        from mnist_lightning.sweeps.returns import lost

        pool = None
        try:
            while self.stopped is None:
                try:
                    number = self.waiting.get_nowait()
                except queue.Empty:
                    return
                pool = pool or loky.ProcessPoolExecutor(1, env={"OMP_NUM_THREADS": str(self.threads)})
                try:
                    job = pool.submit(
                        _run, multiprocessing.get_start_method(), self.knows, self.jobs[number], self.first + number
                    )
                    self.results[number] = job.result()
                except BrokenProcessPool:
                    self.results[number] = lost(self.jobs[number])
                    pool.shutdown(wait=False, kill_workers=True)
                    pool = None
        except BaseException as error:  # of this thread or of the job: the sweep is to end, and `run` raises it
            self.stopped = self.stopped or error
        finally:
            if pool is not None:
                pool.shutdown(wait=True, kill_workers=self.stopped is not None)


def _run(start_method: str, knows: Any, overrides: list[str], number: int) -> JobReturn:
    """One job, in a worker."""
    from mnist_lightning.sweeps.job import run_sweep_job

    multiprocessing.set_start_method(start_method, force=True)  # loky's own cannot start a DataLoader's workers
    return run_sweep_job(knows, overrides, number)
