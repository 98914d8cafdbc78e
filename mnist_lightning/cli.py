"""Turns a task into a script: Hydra on the outside, plain sentences for what the user got wrong.

Imports nothing heavy: `--help`, `--cfg job` and shell completion answer at once.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mnist_lightning import multirun, ranks, runs, settings
from mnist_lightning.config import CONF, Settings, explain, help_text, plain
from mnist_lightning.errors import Interrupted, UserError

_script_began: float | None = time.perf_counter()


def job_began() -> float:
    """When this job began, by `time.perf_counter`: the script's first job with the script, a later one now."""
    global _script_began
    began, _script_began = _script_began, None
    return time.perf_counter() if began is None else began


OmegaConf.register_new_resolver("run_folder", runs.new_run_folder, replace=True)  # here, for worker processes as well


def script(
    config_name: str,
    *,
    report: Callable[[Path, dict[str, Any]], int] | None = None,
    texts: tuple[str, ...] = (),
    on_every_rank: bool = False,
) -> Callable[[Callable[[Settings, Path], Any]], Callable[[], None]]:
    """Decorate `task(settings, run folder)` into a script over `conf/<config_name>.yaml`.

    Args:
        config_name: the config file.
        report: adds up the folder of a sweep (`-m`) when it is over, given `outputs` and the settings of `sweep.` too,
            and returns the exit code. With it a job that fails is written down and the others go on, whichever launcher
            runs them.
        texts: settings that are plain text, in which `=` or `<` need no quotes of Hydra's.

    Exit codes: 0 done; 2 the user can put it right (one sentence on stderr, no traceback unless
    HYDRA_FULL_ERROR=1 or debug=...); 130 or 143 interrupted by Ctrl-C or SIGTERM; 1 a fault of the
    program, with its traceback.

    Under torchrun the first rank alone goes through Hydra and has a run folder. The others run the task too where
    it is made for it (`on_every_rank`), from the same command line but without writing; else they do nothing.
    """

    def decorate(task: Callable[[Settings, Path], Any]) -> Callable[[], None]:
        told: list[UserError | Interrupted] = []
        worker = multirun.Worker()

        @functools.wraps(task)
        def checked(cfg: DictConfig) -> Any:
            run, sweeps = Path(HydraConfig.get().runtime.output_dir), HydraConfig.get().mode == RunMode.MULTIRUN

            def job() -> Any:
                given = plain(cfg)
                settings.check(given)
                return task(given, run)

            if report is not None and sweeps:
                unresolved: Settings = OmegaConf.to_container(cfg)  # type: ignore[assignment]
                return multirun.run_job(job, unresolved, run, worker)
            try:
                return job()
            except (UserError, Interrupted) as error:
                told.append(error)  # raised again below, past Hydra, which would print a line of its own
                _discard_empty_run_folder()
                if sweeps:
                    raise
            except KeyboardInterrupt:
                _discard_empty_run_folder()
                raise

        def main() -> None:
            if ranks.place().rank > 0:
                if on_every_rank:
                    _follow(config_name, task)
                return
            runs.forget_run_folder()
            wanted = os.environ.get("HYDRA_FULL_ERROR")
            as_is = wanted == "1" or any(argument.startswith("debug=") for argument in sys.argv[1:])
            # Hydra then hands exceptions on instead of printing them, and we say them our way.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            sys.argv[1:] = [_quoted(argument, texts) for argument in sys.argv[1:]]
            try:
                for argument in sys.argv[1:]:
                    if argument.startswith("~") and not argument.startswith("~hydra"):
                        raise UserError(f"{argument} takes away what the program needs: set it to another value.")
                if ranks.place().world > 1 and {"--multirun", "-m"} & set(sys.argv[1:]):
                    raise UserError(
                        "A sweep does not go under torchrun: start it without, and each of its jobs starts a process a "
                        "device of this machine by itself."
                    )
                _find_plugins()
                if {"--help", "-h"} & set(sys.argv[1:]):
                    print(help_text(config_name))
                    return
                with multirun.summed_up(report):
                    hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(checked)()
                if told:
                    raise told[0]
            except (UserError, multirun.Refused) as error:
                if as_is:
                    raise
                _fail(str(error), 2)
            except Interrupted as error:
                _fail(str(error), 128 + error.signum)
            except KeyboardInterrupt:
                _fail("Interrupted.", 128 + signal.SIGINT)
            except (HydraException, OmegaConfBaseException) as error:
                if as_is:
                    raise
                _fail(explain(error), 2)
            except ValueError as error:  # Hydra's own answer to model=3
                if as_is or "Config group override" not in str(error):
                    raise
                _fail("A choice such as model=cnn is a name: a number or another value does not do there.", 2)
            finally:
                if wanted is None:
                    os.environ.pop("HYDRA_FULL_ERROR", None)
            if sys.orig_argv[1:2] == [sys.argv[0]]:  # this is the program, and not a test that runs its script
                _leave()

        return main

    return decorate


def _follow(config_name: str, task: Callable[[Settings, Path], Any]) -> None:
    """Run the task as a rank that is not the first: no Hydra job, no folder, no log.

    A mistake that each machine finds is told by one rank of it.
    """
    arguments = sys.argv[1:]
    if any(argument.startswith("-") for argument in arguments):  # --help, --cfg, -m: the first one's affair
        return
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = hydra.compose(config_name, arguments)
        given = plain(cfg)
        settings.check(given)
        task(given, ranks.NOWHERE)
    except (UserError, HydraException, OmegaConfBaseException) as error:
        if ranks.place().local_rank == 0:
            print(error if isinstance(error, UserError) else explain(error), file=sys.stderr)
        _end(2)
    except Exception:
        traceback.print_exc()
        _end(1)


def _find_plugins() -> None:
    """Let Hydra find our plugins.

    Hydra lists the folders of `hydra_plugins`, and an editable installation keeps ours out of sight: the checkout has
    to be on the path, here and in worker processes.
    """
    project = str(CONF.parent)
    if project not in sys.path:
        sys.path.append(project)
    known = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if project not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([*known, project])


def _quoted(argument: str, texts: tuple[str, ...]) -> str:
    """`where=model=cnn` as Hydra's grammar wants it, `where='model=cnn'`; other arguments stay as they are."""
    key, equals, value = argument.partition("=")
    if not equals or key not in texts or value[:1] in ("'", '"') or value in ("null", "???"):
        return argument
    return f"{key}='" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _leave() -> NoReturn:
    """End the program as Python does, but without taking torch and all else apart object by object: 1.5 s."""
    # Not a join of each thread: joblib's ends only when it is told that the program does.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    logging.shutdown()
    _exit_at_once(0)


def _exit_at_once(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _fail(sentence: str, code: int) -> NoReturn:
    print(sentence, file=sys.stderr)
    _end(code)


def _end(code: int) -> NoReturn:
    if ranks.place().world > 1:  # past the clean-up of libraries that would wait for ranks which are gone
        _exit_at_once(code)
    sys.exit(code)


def _discard_empty_run_folder() -> None:
    """Remove a run folder in which nothing but Hydra's own files lie, so that nothing there looks like a result."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.RUN:
        return
    folder = Path(HydraConfig.get().runtime.output_dir)
    made = os.environ.get(runs.RUN_FOLDER)
    if made and Path(made).resolve() == folder.resolve() and not (folder / runs.METRICS_FILE).exists():
        runs.remove_with_empty_parents(folder)
