"""The jobs of a multirun: each leaves a record whatever happens to it, and the others go on.

A job never raises what went wrong: Hydra would end the sweep with it. It writes it down in its folder, where whoever
adds the jobs up finds it, from whichever process or machine.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from mnist_lightning.errors import Interrupted, UserError
from mnist_lightning.run import files
from mnist_lightning.run import folder as runs
from mnist_lightning.run import record as records

log = logging.getLogger(__name__)

STOP_FILE = ".stop"  # in a sweep's folder: a job failed, and with sweep.fail_fast=true no other is to start


class Worker:
    """Goes with the task to a launcher's worker process, which may have nothing of the parent's environment.

    Attributes:
        inside: whether this is a worker process.
    """

    def __init__(self, inside: bool = False) -> None:
        self.inside = inside

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _arrive, ({key: os.environ[key] for key in (runs.RUN_FOLDER, runs.LATEST) if key in os.environ},)


def _arrive(environment: dict[str, str]) -> Worker:
    os.environ.update(environment)
    os.environ["TQDM_DISABLE"] = "1"  # the bars of several processes would overwrite each other
    return Worker(inside=True)


class NoteSweep(Callback):
    """Hydra's callback that remembers what sweep this process has started."""

    config: DictConfig | None = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Remember it and what `latest` is for its jobs, and forget that an earlier one in its folder was to stop."""
        NoteSweep.config = config
        runs.note_latest(Path(config.outputs))
        (Path(config.hydra.sweep.dir) / STOP_FILE).unlink(missing_ok=True)


_validate_each = Sweeper.validate_batch_is_legal


def _validate_each_kind(sweeper: Sweeper, batch: Sequence[Sequence[str]]) -> None:
    """Compose, before the first job, one config for each choice of groups, as in `model=cnn` or `+experiment=quick`.

    Hydra composes every job's, and the launcher does so again: 0.1 s a job. Those that differ in the values of
    settings only can all be composed or none; what the values are worth each job says itself.
    """
    groups = sweeper.hydra_context.config_loader.list_groups("")  # type: ignore[attr-defined,union-attr]

    def kind(override: str) -> str:
        key = override.partition("=")[0]
        return override if key.lstrip("+").split("/")[0].split("@")[0] in groups else key

    kinds = {tuple(map(kind, overrides)): overrides for overrides in reversed(batch)}
    _validate_each(sweeper, list(kinds.values()))


Sweeper.validate_batch_is_legal = _validate_each_kind  # type: ignore[method-assign,assignment]


def asked_for() -> dict[str, Any]:
    """What this job was asked for, for its record: `command`, `overrides`, `choices` and the `experiment` among them.

    Empty outside a script.
    """
    if not HydraConfig.initialized():
        return {}
    hydra = HydraConfig.get()
    overrides = list(hydra.overrides.task)
    choices = {group: choice for group, choice in hydra.runtime.choices.items() if not group.startswith("hydra/")}
    choices.pop("local", None)
    return {
        "command": shlex.join(["python", f"scripts/{hydra.job.name}.py", *overrides]),
        "overrides": overrides,
        "experiment": choices.get("experiment"),
        "choices": choices,
    }


def run_job(task: Callable[[], Any], settings: dict[str, Any], run: Path, worker: Worker) -> Any:
    """Do one job and return what it returns; None where it failed, which `run` then tells.

    Whatever happens, a `training_metrics.json` is left whose `status` is `finished`, `failed` or `interrupted` (or what
    else the task wrote), the latter two with an `error`, and a `traceback.txt` beside that of a failed one.

    Args:
        task: the job.
        settings: its settings, not checked yet.
        run: its folder.
        worker: where it runs.

    Raises:
        Interrupted, KeyboardInterrupt: Ctrl-C, which is to end the sweep.
    """
    hydra = HydraConfig.get()
    _name_lines(hydra.job.num)
    if worker.inside and hydra.launcher.get("cpus_per_task"):  # joblib and Ray see to it themselves
        os.environ["OMP_NUM_THREADS"] = str(hydra.launcher.cpus_per_task)  # torch reads it when it is imported
    stop, fail_fast = run.parent / STOP_FILE, settings.get("sweep", {}).get("fail_fast", False)
    if fail_fast and stop.exists():
        failed = stop.read_text(encoding="utf-8")
        record(run, settings, "interrupted", f"not started: sweep.fail_fast=true, and {failed} failed")
        return None
    log.info("job %s: %s", hydra.job.num, " ".join(hydra.overrides.task))
    try:
        return task()
    except Exception as error:
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        told = f"{kind}{error}".split("\n")[0]
        (run / runs.TRACEBACK_FILE).write_text(traceback.format_exc(), encoding="utf-8")
        record(run, settings, "failed", told, user_error=isinstance(error, UserError))
        log.error("failed: %s", told)
        if fail_fast:
            stop.write_text(f"job {hydra.job.num}", encoding="utf-8")
        return None
    except (Interrupted, KeyboardInterrupt) as error:
        record(run, settings, "interrupted", str(error) or "Interrupted.")
        if worker.inside and isinstance(error, Interrupted) and error.signum != signal.SIGINT:
            return None  # somebody ended this one process, not the sweep
        raise


def _name_lines(number: int) -> None:
    """Put the job's number before each line on the terminal: the lines of parallel jobs mix."""
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.setFormatter(logging.Formatter(f"[{number}] %(message)s"))


def record(run: Path, settings: dict[str, Any], status: str, error: str, user_error: bool = False) -> None:
    """Write how a job ended into its `training_metrics.json`, beside what it had reached by then."""
    ended = records.Record.open(run)
    if not (run / records.METRICS_FILE).is_file():
        ended.started(settings, **asked_for())
    ended.interrupted(error) if status == "interrupted" else ended.failed(error, user_error)


@contextlib.contextmanager
def summed_up(report: Callable[[Path, dict[str, Any]], int] | None) -> Iterator[None]:
    """Around `hydra.main`: at the end of a sweep, however it ends, report on its folder and exit with what that says.

    Args:
        report: from the sweep's folder, `outputs` and the settings of `sweep.` to an exit code; None for scripts whose
            sweeps nobody adds up.
    """
    NoteSweep.config = None
    code = 0
    try:
        yield
    finally:
        config = NoteSweep.config
        # A search keeps its own ledger, and other processes may be at work on it.
        if config is not None and report is not None and not config.get("search"):
            folder = Path(config.hydra.sweep.dir)
            _write_down_the_dead(folder, config)
            (folder / STOP_FILE).unlink(missing_ok=True)
            if any(folder.glob(f"*/{records.METRICS_FILE}")):
                code = report(folder, {"outputs": config.outputs, **config.sweep})
            else:
                _discard(folder)
    if code:
        sys.exit(code)


def _write_down_the_dead(sweep: Path, config: DictConfig) -> None:
    """Jobs still `running` once their sweep is over were killed; on Slurm they may well run on."""
    if "SlurmLauncher" in config.hydra.launcher._target_:
        return
    for hydra_folder in sweep.glob("*/.hydra"):
        run = hydra_folder.parent
        path = run / records.METRICS_FILE
        if path.exists() and records.read_metrics(run).get("status") != "running":
            continue
        began, asked = path.exists(), hydra_folder / "overrides.yaml"
        record(run, {}, "interrupted", "its process ended without a word: killed, or out of memory")
        if not began and asked.exists():  # a process may be killed while Hydra still writes its files
            files.write_json(path, {**records.read_metrics(run), "overrides": list(OmegaConf.load(asked))})


def _discard(sweep: Path) -> None:
    """Remove the folder of a sweep that never started a job."""
    if {path.name for path in sweep.glob("*")} <= {"multirun.yaml"}:
        runs.remove_with_empty_parents(sweep)
