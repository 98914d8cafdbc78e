"""The jobs of a multirun: each leaves a record no matter how it ends, and the others go on.

A job never raises its error, since Hydra would then end the sweep. It records the error in its folder, where the
summary of the sweep reads it, from any process or machine.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mnist_lightning.cli.commands import program
from mnist_lightning.cli.overrides import is_in, key_of
from mnist_lightning.errors import Interrupted, UserError
from mnist_lightning.run import folder as runs
from mnist_lightning.run import record as records

log = logging.getLogger(__name__)

STOP_FILE = ".stop"  # in a sweep's folder: a job failed, and with sweep.fail_fast=true no other may start
DIED = "its process ended without an error message: killed, or out of memory"


class Worker:
    """Travels with the task to a launcher's worker process, which may not inherit the parent's environment.

    Attributes:
        inside: whether this is a worker process.
    """

    def __init__(self, inside: bool = False) -> None:
        self.inside = inside

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        environment = {key: os.environ[key] for key in (runs.RUN_FOLDER, runs.LATEST) if key in os.environ}
        return _arrive, (environment, sys.argv[0])


def _arrive(environment: dict[str, str], program: str) -> Worker:
    os.environ.update(environment)
    sys.argv[:1] = [program]  # as `multiprocessing` does it; a launcher's own says nothing about the command
    os.environ["TQDM_DISABLE"] = "1"  # the bars of several processes would overwrite each other
    return Worker(inside=True)


class Refused(BaseException):
    """A run or sweep that must not start; not an `Exception`, since Hydra turns those of a callback into warnings.

    Args:
        error: what to tell the user.
    """

    def __init__(self, error: UserError) -> None:
        super().__init__(str(error))
        self.error = error


class RunFolders(Callback):
    """Hydra's callback that keeps new runs out of the folders of old ones, and remembers what sweep was started."""

    sweep: DictConfig | None = None
    """The config of the sweep that this process has started."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Refuse a run folder that holds a run, or that cannot be made.

        Raises:
            Refused: it holds one, or cannot be made.
        """
        _remove_unused(config.hydra.run)
        folder = _made(config.hydra.run, "hydra.run.dir")
        if folder is None:
            return
        if any((folder / name).exists() for name in (records.METRICS_FILE, ".hydra")):
            raise Refused(
                UserError(
                    f"hydra.run.dir={config.hydra.run.dir} holds a run already: name another folder, or leave "
                    "hydra.run.dir out, and each run gets a new one."
                )
            )
        _check_new(folder, config, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Refuse a sweep folder that holds a sweep; remember the sweep, and what `latest` is for its jobs.

        Raises:
            Refused: it holds one. A search continues in its folder.
        """
        _remove_unused(config.hydra.sweep)
        searching = bool(config.get("search"))  # it makes its folder itself, once it has checked its settings
        folder = None if searching else _made(config.hydra.sweep, "hydra.sweep.dir")
        if folder is not None and ((folder / "multirun.yaml").exists() or _job_folders(folder)):
            raise Refused(
                UserError(
                    f"hydra.sweep.dir={config.hydra.sweep.dir} holds a sweep already: name another folder, or leave "
                    "hydra.sweep.dir out, and each sweep gets a new one."
                )
            )
        if folder is not None:
            _check_new(folder, config, "hydra.sweep.dir")
        RunFolders.sweep = config
        runs.note_latest(Path(config.outputs))


def _made(place: DictConfig, key: str) -> Path | None:
    """Make the folder that Hydra is going to use; None if its name cannot be read: Hydra says why."""
    try:
        folder = _absolute(place.dir)
    except OmegaConfBaseException:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(
            UserError(f"{key}={place.dir} cannot be made ({error.strerror}): name another folder, or leave {key} out.")
        ) from None
    return folder


def _check_new(folder: Path, config: DictConfig, key: str) -> None:
    """Refuse a non-empty folder that a config file names: its files may be anybody's. A typed one may be used."""
    given: Any = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)  # some hold a job's interpolations
    typed = any(key_of(str(each)) == key for each in given)
    if not typed and folder.is_dir() and any(folder.iterdir()):
        raise Refused(
            UserError(
                f"{folder} is not empty, and a config file names it as {key}: type {key}= to use it all the same."
            )
        )


def _remove_unused(place: DictConfig) -> None:
    """Remove the new folder that Hydra made before it came to a config that names another one."""
    made = os.environ.get(runs.RUN_FOLDER)
    with contextlib.suppress(OmegaConfBaseException, OSError):
        if made and Path(made).absolute() != _absolute(place.dir):
            Path(made).rmdir()
            runs.remove_with_empty_parents(Path(made))
            Path(made).parents[2].rmdir()  # `outputs` itself, if nothing else is in it


def _absolute(folder: Any) -> Path:
    return Path(str(folder)).absolute()  # a `hydra.job.chdir` does not move it


def _job_folders(sweep: Path) -> list[Path]:
    """The folders below a sweep's, at any depth, in which a job was started."""
    found = {path.parent for name in (records.METRICS_FILE, ".hydra") for path in sweep.rglob(name)}
    return sorted(found)


def asked_for(name: str = "train") -> dict[str, Any]:
    """What was asked of this job, for its record: `command`, `overrides`, `choices` and the `experiment` among them.

    Empty outside a command. `name` is that of the command.
    """
    if not HydraConfig.initialized():
        return {}
    hydra = HydraConfig.get()
    overrides = list(hydra.overrides.task)
    # A trial is repeated without its search, which has it already.
    words = [each for each in overrides if not is_in(key_of(each), "search")]
    choices = {group: choice for group, choice in hydra.runtime.choices.items() if not group.startswith("hydra/")}
    choices.pop("local", None)
    return {
        "command": shlex.join([*program(name, home=True), *config_flags(hydra, name), *words]),
        "overrides": overrides,
        "experiment": choices.get("experiment"),
        "choices": choices,
    }


def config_flags(hydra: HydraConf, name: str) -> list[str]:
    """The flags that say where the config came from, if it is not the command's own."""
    flags = [] if hydra.job.config_name == name else ["--config-name", str(hydra.job.config_name)]
    places = [each.path for each in hydra.runtime.config_sources if each.provider == "command-line"]
    return [*flags, *(word for place in places for word in ("--config-dir", place))]


def run_job(task: Callable[[], Any], settings: dict[str, Any], run: Path, worker: Worker) -> Any:
    """Run one job and return its result; None if it failed, which the record in `run` says.

    In any case a `training_metrics.json` is left, whose `status` is `finished`, `failed` or `interrupted` (or what
    else the task wrote), the last two with an `error`. A failed job also leaves a `traceback.txt`.

    Args:
        task: the job.
        settings: its settings, not checked yet.
        run: its folder.
        worker: where it runs.

    Raises:
        Interrupted, KeyboardInterrupt: Ctrl-C, which ends the sweep.
    """
    hydra = HydraConfig.get()
    _name_lines(hydra.job.num)
    if worker.inside and hydra.launcher.get("cpus_per_task"):  # joblib and Ray do this themselves
        os.environ["OMP_NUM_THREADS"] = str(hydra.launcher.cpus_per_task)  # torch reads it when it is imported
    stop, fail_fast = Path(hydra.sweep.dir) / STOP_FILE, settings.get("sweep", {}).get("fail_fast", False)
    if fail_fast and stop.exists():
        failed = stop.read_text(encoding="utf-8")
        record(run, settings, "interrupted", f"not started: sweep.fail_fast=true, and {failed} failed")
        return None
    log.info("job %s: %s", hydra.job.num, " ".join(hydra.overrides.task))
    try:
        return task()
    except Exception as error:
        sentence = sentence_of(error)
        (run / runs.TRACEBACK_FILE).write_text(traceback.format_exc(), encoding="utf-8")
        record(run, settings, "failed", sentence, user_error=isinstance(error, UserError))
        log.error("failed: %s", sentence)
        if fail_fast:
            stop.write_text(f"job {hydra.job.num}", encoding="utf-8")
        return None
    except (Interrupted, KeyboardInterrupt) as error:
        record(run, settings, "interrupted", str(error) or "Interrupted.")
        if worker.inside and isinstance(error, Interrupted) and error.signum != signal.SIGINT:
            return None  # this one process was ended, not the sweep
        raise


def innermost(error: BaseException) -> BaseException:
    """The cause of an error: the outer ones only say where it surfaced. A `UserError` explains itself."""
    seen = {id(error)}
    while not isinstance(error, UserError):
        inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if inner is None or id(inner) in seen:
            break
        error = inner
        seen.add(id(error))
    return error


def sentence_of(error: BaseException) -> str:
    """One line for what went wrong."""
    error = innermost(error)
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return f"{kind}{error}".strip().split("\n")[0]


def _name_lines(number: int) -> None:
    """Put the job's number before each line on the terminal: the lines of parallel jobs mix."""
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.setFormatter(logging.Formatter(f"[{number}] %(message)s"))


def record(
    run: Path,
    settings: dict[str, Any],
    status: str,
    error: str,
    user_error: bool = False,
    asked: dict[str, Any] | None = None,
) -> None:
    """Write how a job ended into its `training_metrics.json`, in addition to what it had reached by then.

    Args:
        run: its folder.
        settings: its settings, as far as they are known.
        status: `failed` or `interrupted`.
        error: why, one sentence.
        user_error: whether the user can put it right.
        asked: what was asked of it; None for `asked_for` of the job that this process runs.
    """
    ended = records.Record.open(run)
    if not (run / records.METRICS_FILE).is_file():
        ended.started(settings, **(asked_for() if asked is None else asked))
    ended.interrupted(error) if status == "interrupted" else ended.failed(error, user_error)


@contextlib.contextmanager
def summed_up(report: Callable[[Path, dict[str, Any]], int] | None, command: str) -> Iterator[None]:
    """Around `hydra.main`: after a sweep, however it ends, report on its folder and exit with the report's code.

    Args:
        report: takes the sweep's folder, and `outputs`, `command` and the settings of `sweep.`, and returns an exit
            code; None for commands without such a report.
        command: the command line that started the sweep.
    """
    RunFolders.sweep = None
    code = 0
    try:
        yield
    finally:
        config = RunFolders.sweep
        if config is not None:
            runs.release_latest()
        # A search keeps its own ledger, and other processes may be working on it.
        if config is not None and report is not None and not config.get("search"):
            folder = _absolute(config.hydra.sweep.dir)
            _record_the_dead(folder, config)
            (folder / STOP_FILE).unlink(missing_ok=True)
            if _job_folders(folder):
                code = report(folder, {"outputs": config.outputs, "command": command, **config.sweep})
            else:
                _discard(folder)
    if code:
        sys.exit(code)


def _record_the_dead(sweep: Path, config: DictConfig) -> None:
    """Record jobs still `running` after the end of their sweep as killed; on Slurm they may really be running."""
    if "SlurmLauncher" in config.hydra.launcher._target_:
        return
    for run in _job_folders(sweep):
        record_death(run)


def record_death(run: Path, overrides: list[str] | None = None) -> None:
    """Record that the process of a job was killed, unless the job had already ended.

    Args:
        run: its folder.
        overrides: those of the job; None for those that Hydra wrote into its folder.
    """
    if (run / records.METRICS_FILE).exists():
        with contextlib.suppress(UserError, AttributeError):  # what is not a record is left as it is
            if records.read_metrics(run).get("status") == "running":
                record(run, {}, "interrupted", DIED)
        return
    if overrides is None:
        with contextlib.suppress(OSError, ValueError, TypeError):  # it may have died while Hydra wrote its files
            overrides = list(OmegaConf.load(run / ".hydra" / "overrides.yaml"))
    record(run, {}, "interrupted", DIED, asked={"overrides": overrides} if overrides else {})


def _discard(sweep: Path) -> None:
    """Remove the folder of a sweep that never started a job."""
    if {path.name for path in sweep.glob("*")} <= {"multirun.yaml"}:
        runs.remove_with_empty_parents(sweep)
