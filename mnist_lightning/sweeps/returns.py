"""What a launcher returned for a job: whether it failed, and why."""

from __future__ import annotations

import contextlib
import io

from hydra.core.utils import JobReturn, JobStatus


class WorkerDied(Exception):
    """The process of a job was killed, for example because memory ran out."""


def error_of(job: JobReturn) -> Exception | None:
    """The exception that a job ended with; None if it succeeded."""
    if job.status == JobStatus.COMPLETED:
        return None
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # Hydra prints a line of its own, and raises
            job.return_value  # noqa: B018
    except Exception as error:
        return error
    return None


def lost(overrides: list[str]) -> JobReturn:
    """A stand-in for the return of a job whose process died."""
    job = JobReturn(overrides=overrides, status=JobStatus.FAILED)
    job.return_value = WorkerDied("its process was killed")
    return job


def died(error: Exception) -> bool:
    """Whether the job's process was killed, rather than the job having failed."""
    return isinstance(error, WorkerDied)
