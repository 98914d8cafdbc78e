"""train(settings, run): a whole job, from its settings to its artefacts.

Everything heavy is imported inside the function, after the allocator has been set up.
"""

from __future__ import annotations

import logging
import shlex
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_lightning import compat
from mnist_lightning.cli import multirun
from mnist_lightning.cli.commands import program
from mnist_lightning.cli.config import job_began
from mnist_lightning.distributed import launcher, ranks
from mnist_lightning.errors import Interrupted, UserError
from mnist_lightning.run import folder as runs
from mnist_lightning.run import machine, signals
from mnist_lightning.run.clock import Laps
from mnist_lightning.run.record import Record
from mnist_lightning.tasks import resume
from mnist_lightning.tasks.settings import TrainSettings, check_together, without_effect

if TYPE_CHECKING:
    import lightning.pytorch as pl

    from mnist_lightning.models.classifier import Classifier

log = logging.getLogger(__name__)


@dataclass
class Job:
    """One training run while it is set up and carried out.

    Attributes:
        settings: all settings, as plain data.
        run: its folder; `ranks.NOWHERE` for all ranks but the first.
        laps: where its time goes.
        record: what it has reached.
        start: the checkpoint that it starts from or resumes; None where it starts from scratch.
        asked: what the user asked for (see `multirun.asked_for`).
        resumes: whether it continues the run of `start`.
        given: the content of `start`.
        data, model, trainer, loggers: its parts.
    """

    settings: dict[str, Any]
    run: Path
    laps: Laps
    record: Record
    start: Path | None = None
    asked: dict[str, Any] = field(default_factory=dict)
    resumes: bool = False
    given: dict[str, Any] | None = None
    data: Any = None
    model: Classifier | None = None
    trainer: pl.Trainer | None = None
    loggers: list[Any] = field(default_factory=list)

    @property
    def allowed(self) -> list[str]:
        """The modules and classes outside this package that its own checkpoints may name."""
        return [str(self.settings["model"].get("_target_", "")), *self.settings["allow"]]


def train(
    settings: TrainSettings, run: Path, asked: dict[str, Any] | None = None, chosen: bool = False
) -> dict[str, Any]:
    """Train a network, score its best checkpoint on the test images, and leave everything in the run folder.

    If several devices of this machine train together, it starts a process for each and waits for them. A
    process that is one of several trains with the others; only the first of them prints, writes and scores.

    Args:
        settings: `conf/train.yaml` composed and checked.
        run: the run folder, which exists; `ranks.NOWHERE` for all ranks but the first.
        asked: what the user asked for, for the record; None for `multirun.asked_for` of this process.
        chosen: whether the settings are final, as those that `launcher` passes to a rank.

    Returns:
        What `training_metrics.json` holds.

    Raises:
        UserError: something that was asked for is not possible; nothing was trained.
        Interrupted: Ctrl-C or SIGTERM; `last.ckpt` can be resumed, and the artefacts so far are written.
    """
    laps = Laps(job_began())
    asked = multirun.asked_for() if asked is None else asked
    final, start = _choose(dict(settings), asked.get("overrides", []), chosen)
    typed = asked.get("overrides", [])
    if final["ckpt_path"] and not chosen:  # else it is known already
        asked = resume.asked(asked, Path(final["ckpt_path"]))
    if count := ranks.to_start(final):
        return _launch(final, run, count, asked, typed)
    first = ranks.place().rank == 0
    if not first:  # the first one logs it
        logging.getLogger("mnist_lightning").setLevel(logging.ERROR)
    for sentence in without_effect(final):
        log.warning("%s", sentence)
    _prepare_machine(final["runtime"])
    laps.lap("settings")
    with compat.heavy_imports():
        from mnist_lightning.tasks import finish, fit, loggers, setup
    laps.lap("imports")
    job = Job(final, run, laps, Record(run if first else None), start, asked, bool(final["ckpt_path"]))
    try:
        setup.setup(job)
    except BaseException:
        loggers.close_failed(job.loggers)
        raise
    try:
        if final["train"]:
            fit.fit(job)
        if first:
            with signals.handled(_interrupt, once=True):
                finish.finish(job)
    except (Interrupted, KeyboardInterrupt, SystemExit) as error:  # SystemExit: Lightning's own answer to SIGTERM
        signum = signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
        interrupted = error if isinstance(error, Interrupted) else Interrupted(signum)
        if first:
            finish.interrupt(job, str(interrupted))
            if not chosen:  # for ranks that it started, `_launch` does it
                _tell_how_to_resume(final, run, typed)
        raise interrupted from None
    except Exception as error:
        job.record.failed(str(error), isinstance(error, UserError))
        loggers.close_failed(job.loggers)
        raise
    return job.record.content


def _interrupt(signum: int) -> None:
    """End what comes after the fit at once: it makes no step that would have to be completed."""
    raise Interrupted(signum)


def _launch(settings: dict[str, Any], run: Path, count: int, asked: dict[str, Any], typed: list[str]) -> dict[str, Any]:
    """Train in several processes on this machine."""
    try:
        return launcher.launch(settings, run, count, asked)
    except Interrupted:
        _tell_how_to_resume(settings, run, typed)
        raise


def _tell_how_to_resume(settings: dict[str, Any], run: Path, typed: list[str]) -> None:
    """Print the command that resumes a run, if it got far enough for that."""
    if (run / runs.LAST).is_file():
        from mnist_lightning.cli import parts

        words = [*program("train"), f"ckpt_path={runs.shown(run)}"]
        words += resume.not_in_checkpoint(settings, typed)
        homes = sorted({target.rpartition(".")[0] for target in parts.foreign_targets(settings)} - {""})
        if homes and not settings["allow"]:  # permission to build the parts that are not the package's
            words.append(f"allow=[{','.join(homes)}]")
        log.info("Resume with: %s", shlex.join(words))


def _choose(settings: dict[str, Any], overrides: list[str], final: bool) -> tuple[dict[str, Any], Path | None]:
    """The settings to use, and the checkpoint to start from or to resume.

    A resumed run takes its settings from its checkpoint; they are read here, before the ranks are started.

    Args:
        settings: as the command line composes them.
        overrides: those on the command line.
        final: whether the settings already are those of the checkpoint.
    """
    if (search := settings.get("search")) and search["trial"] is None:
        raise UserError("search= is for many runs: add -m, as in `python scripts/train.py -m search=lr`.")
    if not final:  # what a checkpoint keeps of a fine-tuning holds `ckpt` besides the `ckpt_path` that resumes it
        check_together(settings)
    outputs = Path(settings["outputs"])
    if not settings["ckpt_path"]:
        if teacher := settings["distill"]["teacher"]:
            path, _ = runs.find_checkpoint(teacher, outputs)
            settings["distill"] = {**settings["distill"], "teacher": _fixed(teacher, path)}
        if not settings["ckpt"]:
            return settings, None
        start, word = runs.find_checkpoint(settings["ckpt"], outputs)
        log.info("Starting from %s", word)
        return {**settings, "ckpt": _fixed(settings["ckpt"], start)}, start
    start = resume.find(settings["ckpt_path"], outputs)
    resume.check_unfinished(start, overrides)
    with compat.heavy_imports():
        from mnist_lightning.cli import parts
        from mnist_lightning.models import checkpoint

    given = checkpoint.read(start)
    done = resume.check_resumable(given, start)
    if not final:
        own = set(map(str, parts.targets(settings)))
        settings = resume.settings(settings, given[checkpoint.CARD].get("settings") or {}, overrides, start)
        parts.check_targets(settings, settings["allow"], str(start), own)
    log.info("Resuming %s after epoch %d", runs.shown(start), done)
    return {**settings, "ckpt_path": str(start)}, start


def _fixed(named: str, found: Path) -> str:
    """A name for a checkpoint that stays valid: not `latest`, which may be another run tomorrow."""
    return named if named == "pretrained" else str(found.resolve())


def _prepare_machine(runtime: dict[str, Any]) -> None:
    """Set what has to be set before torch is imported."""
    if runtime["keep_memory"]:
        machine.keep_freed_memory()
    machine.wait_briefly(asleep=runtime["wait_asleep"])
