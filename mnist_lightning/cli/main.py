"""Runs a command: Hydra on the outside, one plain sentence for what the user got wrong.

Imports nothing heavy: `--help`, `--cfg job` and shell completion answer at once.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shlex
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mnist_lightning import __version__, compat
from mnist_lightning.cli import elsewhere, multirun, words  # noqa: F401  elsewhere watches what Hydra reads
from mnist_lightning.cli.check import check, check_available, did_you_mean
from mnist_lightning.cli.commands import COMMANDS, Command, as_called, program
from mnist_lightning.cli.config import (
    CONF,
    choices,
    composed,
    folders,
    help_text,
    look_in,
    may_set_mode,
    plain,
    search_path,
)
from mnist_lightning.cli.explain import bad_choice, explain
from mnist_lightning.cli.overrides import key_of
from mnist_lightning.distributed import ranks
from mnist_lightning.errors import Interrupted, UserError, extras_named
from mnist_lightning.run import folder as runs
from mnist_lightning.run.record import METRICS_FILE

log = logging.getLogger(__name__)

UNREADABLE = (HydraException, OmegaConfBaseException, yaml.YAMLError)
"""What is raised if the command line or a config file cannot be read."""

OmegaConf.register_new_resolver("run_folder", runs.new_run_folder, replace=True)  # here, for worker processes as well


def main(name: str | None = None) -> None:
    """Run a command with the words of the command line, and end the program.

    Args:
        name: that of the command; None if it is the first word.

    Exit codes: 0 done; 2 an error that the user can put right (one sentence on stderr, no traceback unless
    HYDRA_FULL_ERROR=1 or debug=...); 130 or 143 interrupted by Ctrl-C or SIGTERM; 141 nobody reads
    the output any more, as after `| head`; 1 a bug in the program, with its traceback, or a run whose numbers `repeat`
    did not reproduce.
    """
    arguments = sys.argv[1:]
    if name is None:
        name, arguments = _first_word(arguments)
    as_is = os.environ.get("HYDRA_FULL_ERROR") == "1" or any(
        key_of(each) == "debug" and each.partition("=")[2] in choices("debug") for each in arguments
    )
    code = 0
    try:
        run(name, arguments)
    except UserError as error:
        if as_is:
            raise
        _fail(as_called(str(error)), 2)
    except Interrupted as error:
        _fail(str(error), 128 + error.signum)
    except KeyboardInterrupt:
        _fail("Interrupted.", 128 + signal.SIGINT)
    except BrokenPipeError:
        if not _is_unread():
            raise
        code = 141
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    # Only in the program itself, not in a test that runs its script.
    if (sys.orig_argv[1:2] == [sys.argv[0]] or sys.orig_argv[1:3] == ["-m", "mnist_lightning"]) and not code:
        compat.leave()
    if code:
        _end(code)


def _first_word(arguments: list[str]) -> tuple[str, list[str]]:
    """The command that `mnist-lightning` is to run, and its arguments."""
    names = {name.replace("_", "-"): name for name in COMMANDS}
    if arguments[:1] == ["-sc"]:  # Hydra's shell completion, which knows no commands: take the word out of the line
        line = os.environ.get("COMP_LINE", "")
        word = [*line.split(), "", ""][1]
        os.environ["COMP_LINE"] = line.replace(f" {word}", "", 1) if word in names else line
        return names.get(word, "train"), arguments
    if arguments and arguments[0].replace("_", "-") in names:
        return names[arguments[0].replace("_", "-")], arguments[1:]
    if arguments[:1] == ["--version"]:
        return "train", arguments
    if arguments[:1] not in ([], ["--help"], ["-h"], ["help"]):
        near = did_you_mean(arguments[0], list(names))
        _fail(f"There is no command {arguments[0]}{near} Known: {', '.join(names)}.", 2)
    print(f"usage: mnist-lightning <command> [key=value ...]\n\ncommands: {', '.join(names)}\n\n"
          "`mnist-lightning <command> --help` shows the settings of one.")  # fmt: skip
    sys.exit(0)


def run(name: str, arguments: list[str]) -> Any:
    """Run a command as the command line would, and return what its function returns (None for a sweep).

    Under torchrun only the first rank goes through Hydra and has a run folder. The others also run the command if it
    is made for that, but write nothing.

    Raises:
        UserError: something that was asked for is not possible.
        Interrupted, KeyboardInterrupt: Ctrl-C or SIGTERM.
    """
    command = COMMANDS[name]
    flags, overrides = words.arrange(arguments, name)
    if "--version" in flags:
        print(f"mnist-lightning {__version__}")
        return None
    look_in(_value(flags, "--config-dir", "-cd"))
    sweeps, helps = bool({"--multirun", "-m"} & set(flags)), bool(words.HELP & set(flags))
    config_name = _value(flags, "--config-name", "-cn") or name
    if command.positional:
        overrides = [words.named(each, command.positional) for each in overrides]
    if not {"--info", "-i"} & set(flags):  # which take a word
        for each in overrides:
            words.check_pair(each, name)
    overrides = [words.chosen(each) for each in overrides]
    asks = next((flag for flag in flags if flag in words.ASKS - words.HELP), None)
    _refuse(name, "" if helps else config_name, overrides, sweeps, asks)
    takes_text = functools.partial(words.is_text, function=command.function)
    overrides = [words.quoted(each, takes_text, sweeps) for each in overrides]
    _find_code()
    try:
        if ranks.place().rank > 0:
            if command.on_every_rank and not words.ASKS & set(flags):
                _follow(name, command, config_name, overrides)
            return None
        runs.forget_run_folder()
        if helps:
            print(help_text(config_name, overrides))
            return None
        if not any("hydra.searchpath" in each for each in overrides):
            overrides += search_path(folders()[:-1])
        with extras_named():  # those of a launcher; a job reports its own
            typed = shlex.join([*program(name, home=True), *arguments])
            return _through_hydra(name, command, [*flags, *overrides], typed)
    except multirun.Refused as error:
        raise error.error from None
    except UNREADABLE as error:
        raise UserError(explain(error, name)) from error
    except ValueError as error:
        if sentence := bad_choice(error, overrides):
            raise UserError(sentence) from error
        raise


def _through_hydra(name: str, command: Command, arguments: list[str], typed: str) -> Any:
    told: list[BaseException] = []
    results: list[Any] = []
    worker = multirun.Worker()
    report = command.load_report()

    def task(cfg: DictConfig) -> Any:
        run, sweeps = Path(HydraConfig.get().runtime.output_dir), HydraConfig.get().mode == RunMode.MULTIRUN
        if HydraConfig.get().job.chdir:
            os.chdir(HydraConfig.get().runtime.cwd)
            log.warning("hydra.job.chdir has no effect: paths are those of the folder that the command was given in.")

        def job() -> Any:
            settings = plain(cfg)
            check(settings, command.function, HydraConfig.get().overrides.task)
            check_available(settings)
            with extras_named():
                return command.load()(settings, run)

        if report is not None and sweeps:
            unresolved: dict[str, Any] = OmegaConf.to_container(cfg)  # type: ignore[assignment]
            return command.value(multirun.run_job(job, unresolved, run, worker))
        try:
            results.append(job())
        except (UserError, Interrupted, BrokenPipeError, OmegaConfBaseException) as error:
            told.append(error)  # raised again below, past Hydra, which would print a line of its own
            _discard_empty_run_folder()
            if sweeps:
                raise
        except KeyboardInterrupt:
            _discard_empty_run_folder()
            raise
        return command.value(results[-1]) if results else None

    root = logging.getLogger()
    handlers = list(root.handlers)
    try:
        once = contextlib.nullcontext() if may_set_mode(arguments) else compat.composed_once()
        with once, compat.hydra_arguments(arguments), multirun.summed_up(report, typed):
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(task)()
    finally:  # for a caller from Python: Hydra's handlers would go on writing into this run's folder, which may be gone
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:] = handlers
    if told:
        raise told[0]
    return results[0] if len(results) == 1 else None


def _refuse(name: str, config_name: str, overrides: list[str], sweeps: bool, asks: str | None) -> None:
    """Refuse what Hydra would accept and then fail on; `asks` is a flag that prints something and does nothing else."""
    for override in overrides:
        key = key_of(override)
        may_go = key in words.OPTIONAL or key.startswith(("hydra", "callbacks.", "logger."))
        if override.startswith("~") and not may_go:
            raise UserError(f"{override} takes away what the program needs: set it to another value.")
        if key == "search.trial":
            raise UserError(f"{override} is for the search itself to set: leave it out.")
    if ranks.place().world > 1 and sweeps:
        raise UserError(
            "A sweep cannot run under torchrun: start it without, and each job starts one process per device of "
            "this machine by itself."
        )
    if sweeps and asks:
        raise UserError(f"-m cannot be combined with {asks}: leave -m out to see what one job would get.")
    if config_name in COMMANDS and config_name != name:
        raise UserError(
            f"--config-name {config_name} is the config of another command: run scripts/{config_name}.py instead."
        )


def _value(flags: list[str], *names: str) -> str | None:
    """The value of a flag."""
    return next((flags[place + 1] for place, flag in enumerate(flags) if flag in names), None)


def _follow(name: str, command: Command, config_name: str, overrides: list[str]) -> None:
    """Run the command as a rank that is not the first: no Hydra job, no folder, no log.

    A mistake that each machine finds is reported by one of its ranks.
    """
    try:
        settings = plain(composed(config_name, overrides))
        check(settings, command.function, overrides)
        check_available(settings)
        given = [each for each in overrides if not key_of(each).startswith("hydra")]
        command.load()(settings, ranks.NOWHERE, asked={"overrides": given})
    except (UserError, *UNREADABLE) as error:
        if ranks.place().local_rank == 0:
            print(error if isinstance(error, UserError) else explain(error, name), file=sys.stderr)
        _end(2)
    except Exception:
        traceback.print_exc()
        _end(1)


def _find_code() -> None:
    """Let Hydra find the user's own modules in the current folder, and the plugins of a checkout that is not installed.

    Here and in worker processes; at the end of the path, so that nothing there replaces an installed package.
    """
    folders = [str(Path.cwd())]
    if (CONF.parent / "hydra_plugins").is_dir():
        folders.append(str(CONF.parent))
    sys.path += [each for each in folders if each not in sys.path]
    known = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    os.environ["PYTHONPATH"] = os.pathsep.join([*known, *(each for each in folders if each not in known)])
    Plugins.instance()


def _fail(sentence: str, code: int) -> NoReturn:
    print(sentence, file=sys.stderr)
    _end(code)


def _is_unread() -> bool:
    """Whether nobody reads the output any more; what Python still holds of it is then discarded."""
    try:
        os.write(sys.stdout.fileno(), b"\n")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _end(code: int) -> NoReturn:
    if ranks.place().world > 1:  # skips the clean-up of libraries that would wait for ranks which are gone
        compat.leave_at_once(code)
    sys.exit(code)


def _discard_empty_run_folder() -> None:
    """Remove a run folder that holds only Hydra's own files, so that it does not look like a result."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.RUN:
        return
    folder = Path(HydraConfig.get().runtime.output_dir)
    made = os.environ.get(runs.RUN_FOLDER)
    if made and Path(made).resolve() == folder.resolve() and not (folder / METRICS_FILE).exists():
        runs.remove_with_empty_parents(folder)
