"""The search itself: asks the study for trials, has Hydra's launcher train them, reads the results from their folders.

One trial, one folder: `<outputs>/search/<study>/<number of the trial>`. How a trial ended is recorded in the
`training_metrics.json` there, which outlives a search that is killed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.trial import FrozenTrial

from mnist_lightning.cli import check as settings
from mnist_lightning.cli import multirun
from mnist_lightning.cli.commands import COMMANDS
from mnist_lightning.cli.overrides import is_in, key_of
from mnist_lightning.errors import UserError
from mnist_lightning.run import folder as runs
from mnist_lightning.run import record as records
from mnist_lightning.sweeps import returns, storage, study_report
from mnist_lightning.sweeps import space as spaces
from mnist_lightning.sweeps.objectives import DIRECTIONS, Outcome, check_search, epochs_of, outcome_of
from mnist_lightning.sweeps.samplers import Reseeded, pruner
from mnist_lightning.sweeps.study import Ledger

# Where and how something is computed, not what: may differ between two starts of the same search.
FREE = ("search", "outputs", "logger", "runtime", "hydra", "trainer.accelerator", "trainer.devices",
        "trainer.enable_progress_bar", "data.folder", "data.mirrors", "data.num_workers")  # fmt: skip
POLL = 1.0  # seconds between two checks on what other processes are doing


def search(config: DictConfig, arguments: Sequence[str], loader: ConfigLoader, launcher: Launcher) -> None:
    """Run trials until a study has its total, starting or continuing it.

    Args:
        config: `conf/train.yaml` composed with a `search=`, Hydra's part included.
        arguments: the overrides of the command line, without Hydra's own.
        loader: composes a trial's config.
        launcher: runs jobs, each given by its overrides.

    Raises:
        UserError: a setting is not allowed, or trial after trial fails.
    """
    given = _plain(config)
    wanted = given["search"]
    settings.check(given, COMMANDS["train"].function)
    check_search(wanted)
    for name in ("fail_fast", "ensemble"):
        if given["sweep"][name]:
            raise UserError(f"sweep.{name}=true is for sweeps, not for a search: leave it out.")
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(list(arguments))
    chosen, fixed = spaces.from_overrides(wanted["space"], overrides)
    space = spaces.Space(chosen)
    sampler = Reseeded(wanted["sampler"], space, wanted["seed"], wanted["startup_trials"])
    folder = Path(config.hydra.sweep.dir)
    address = storage.url(wanted, folder)
    if wanted["storage"]:
        storage.connect(address)  # before the folder is made, so that a typing error leaves none
    elif not (folder / storage.FILE).exists():
        _refuse_leftovers(folder, wanted["study"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be made ({error.strerror}): choose `outputs=`.") from None
    with storage.readable(address, opening=True):
        ledger = Ledger(
            name=wanted["study"],
            folder=folder,
            address=address,
            local=wanted["storage"] is None,
            total=wanted["n_trials"],
            directions=[DIRECTIONS[name] for name in wanted["objectives"]],
            sampler=sampler,
            pruner=pruner(wanted, given["trainer"]["max_epochs"]),
            terms={
                "objectives": wanted["objectives"],
                "space": space.as_text(),
                "command line": sorted(each for each in fixed if not _is_free(key_of(each))),
            },
            read_outcome=lambda number: outcome_of(folder / str(number), wanted["objectives"]),
        )
        begun = bool(ledger.trials())
    if not begun:
        _refuse_leftovers(folder, wanted["study"])
    if wanted["n_jobs"] > 1 and config.hydra.launcher._target_.endswith("BasicLauncher"):
        _say("search.n_jobs has no effect with hydra/launcher=basic, which runs one job after another.")
    OmegaConf.save(config, folder / "multirun.yaml")
    with storage.readable(address):
        Search(config, fixed, loader, launcher, ledger, folder, given).run()


def _is_free(key: str) -> bool:
    return key == "trainer" or is_in(key, *FREE)  # a choice of devices, not a number of epochs


def _refuse_leftovers(folder: Path, study: str) -> None:
    """Keep a new study from overwriting the trials of another, whose storage was deleted or is a different one."""
    if any(folder.glob(f"*/{records.METRICS_FILE}")):
        raise UserError(
            f"{folder} holds trials that are not in the study {study}: move the folder away, or begin another study "
            "with search.study=."
        )


class Search:
    """A running search; the arguments are those of `search`, read and opened."""

    def __init__(
        self,
        config: DictConfig,
        fixed: list[str],
        loader: ConfigLoader,
        launcher: Launcher,
        ledger: Ledger,
        folder: Path,
        given: dict[str, Any],
    ) -> None:
        self.given = dict(settings.dotted(given))
        self.config, self.fixed, self.loader, self.launcher = config, fixed, loader, launcher
        self.ledger, self.folder, self.wanted = ledger, folder, given["search"]
        self.failures = 0
        words = multirun.config_flags(config.hydra, "train")
        words += [each for each in fixed if not is_in(key_of(each), "search")]
        self.report = study_report.Report(ledger, folder, self.wanted["objectives"], words)

    def run(self) -> None:
        """Run trials until there are enough, then draw; `latest` then is the best trial's run."""
        patiently = storage.patiently
        done, total = patiently(self.ledger.counted), patiently(lambda: self.ledger.total)
        _say(f"Study {self.wanted['study']}: {done} of {total} trials done, in {runs.shown(self.folder.resolve())}")
        if total < self.wanted["n_trials"]:
            _say(f"search.n_trials={self.wanted['n_trials']}: there are no more than {total} different trials.")
        try:
            waiting = False
            while (done := patiently(self.ledger.counted)) < (total := patiently(lambda: self.ledger.total)):
                trials = patiently(lambda: self.ledger.claim(self.wanted["n_jobs"]))
                if trials:
                    self._launch(trials)
                elif patiently(self.ledger.running):
                    if not waiting:
                        _say(f"Waiting for the last {total - done} trials, which other processes are training")
                    time.sleep(POLL)
                waiting = not trials
        finally:
            patiently(self.ledger.close)
            patiently(self.report.table)
            self._mark_best()
        patiently(self.report.write)
        _say(patiently(self.report.summary))

    def _mark_best(self) -> None:
        runs.release_latest()
        if best := storage.patiently(self.report.best):
            run = self.folder / str(best[0].number)
            if (run / runs.BEST).is_file():  # the run is on this machine, and has what the other commands read
                runs.mark_latest(run, Path(self.config.outputs))

    def _launch(self, trials: list[FrozenTrial]) -> None:
        jobs: dict[int, list[str]] = {}
        for trial in trials:
            overrides = [*self.fixed, f"search.trial={trial.number}", *self.ledger.space.overrides(trial.params)]
            if refused := self._refused(trial, overrides):
                self._tell(trial, Outcome("failed", error=refused))
                continue
            self._set_aside(self.folder / str(trial.number))
            jobs[trial.number] = [*overrides, *self._resumed(trial)]
        if not jobs:
            return
        returned = self.launcher.launch(list(jobs.values()), initial_job_idx=next(iter(jobs)))
        for trial, job in zip([each for each in trials if each.number in jobs], returned, strict=True):
            self._tell(trial, self._outcome(trial.number, job))
        storage.patiently(self.report.table)

    def _set_aside(self, folder: Path) -> None:
        """Move away what is in the folder of a new trial: the study's storage is older than its folder."""
        if (folder / records.METRICS_FILE).exists():
            kept = folder.with_name(f"{folder.name}-before-{time.strftime('%Y-%m-%d-%H-%M-%S')}")
            folder.rename(kept)
            _say(f"{runs.shown(folder)} held a trial of which the study knows nothing: it lies in {kept.name} now")

    def _resumed(self, trial: FrozenTrial) -> list[str]:
        """The overrides that let a trial continue where one with the same values was killed; none if it cannot."""
        max_epochs = int(trial.params.get("trainer.max_epochs", self.given.get("trainer.max_epochs")) or 0)
        for number in storage.patiently(lambda: self.ledger.predecessors(trial)):
            path = self.folder / str(number) / runs.LAST
            epochs = epochs_of(self.folder / str(number))
            if path.is_file() and 0 < epochs <= max_epochs:  # after the last one, it is only scored
                storage.patiently(lambda number=number, epochs=epochs: self.ledger.inherit(trial, number, epochs))  # type: ignore[misc]
                _say(f"trial {trial.number}: goes on where trial {number} was killed, after epoch {epochs}")
                anew = ["ckpt=null"] if self.given.get("ckpt") else []
                return [*anew, f"ckpt_path={spaces.typed(str(path))}"]
        return []

    def _refused(self, trial: FrozenTrial, overrides: list[str]) -> str | None:
        """Why a trial's settings are not allowed, None if they are; checked before anything is launched."""
        values = self.ledger.space.values(trial.params)
        try:
            if set(values) <= set(self.given):
                settings.check(_nested(self.given | values), COMMANDS["train"].function)
            else:  # a group is chosen: composing takes a fifth of a second
                composed = _plain(self.loader.load_sweep_config(self.config, overrides))
                settings.check(composed, COMMANDS["train"].function)
        except (UserError, HydraException, OmegaConfBaseException) as error:
            return " ".join(str(error).split())
        return None

    def _outcome(self, number: int, job: JobReturn) -> Outcome:
        found = outcome_of(self.folder / str(number), self.wanted["objectives"])
        if found is not None and (found.state != "failed" or found.error):
            return found
        if (error := returns.error_of(job)) is not None:
            if returns.died(error):
                return Outcome("interrupted")  # its values are tried again
            inner = multirun.innermost(error)
            return Outcome("failed", error=" ".join(f"{type(inner).__name__}: {inner}".split()))
        return found or Outcome("failed", error="it left no result in its folder")

    def _tell(self, trial: FrozenTrial, outcome: Outcome) -> None:
        if not storage.patiently(lambda: self.ledger.tell(trial.number, outcome)):
            _say(f"trial {trial.number}: was given to another process meanwhile, its result does not count")
            return
        _say(self.report.line(trial, outcome))
        self.failures = self.failures + 1 if outcome.state == "failed" else 0
        if self.failures >= self.wanted["max_failures"]:
            raise UserError(
                f"The last {self.failures} trials failed, the last one with: {outcome.error.rstrip('.')}. Put it right "
                "and give the same command again, or raise search.max_failures."
            )


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    result: dict[str, Any] = {}
    for name, value in flat.items():
        *sections, key = name.split(".")
        inner = result
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[key] = value
    return result


def _plain(config: DictConfig) -> dict[str, Any]:
    """A config without Hydra's part, as plain data."""
    task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return OmegaConf.to_container(task, resolve=True)  # type: ignore[return-value]


def _say(text: str) -> None:
    print(text, flush=True)
