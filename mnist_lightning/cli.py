"""Turns a task into a script: Hydra on the outside, plain sentences for what the user got wrong.

Imports nothing heavy: `--help`, `--cfg job` and shell completion answer at once.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import string
import sys
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

from mnist_lightning import ranks, runs, settings
from mnist_lightning.errors import Interrupted, UserError

_script_began: float | None = time.perf_counter()


def job_began() -> float:
    """When this job began, by `time.perf_counter`: the script's first job with the script, a later one now."""
    global _script_began
    began, _script_began = _script_began, None
    return time.perf_counter() if began is None else began


CONF = Path(__file__).parent.parent / "conf"


Settings = dict[str, Any]
"""A composed config as plain dicts, lists, numbers and strings, each value checked."""


def script(
    config_name: str, *, on_every_rank: bool = False
) -> Callable[[Callable[[Settings, Path], Any]], Callable[[], None]]:
    """Decorate `task(settings, run folder)` into a script over `conf/<config_name>.yaml`.

    Exit codes: 0 done; 2 the user can put it right (one sentence on stderr, no traceback unless
    HYDRA_FULL_ERROR=1 or debug=...); 130 or 143 interrupted by Ctrl-C or SIGTERM; 1 a fault of the
    program, with its traceback.

    Under torchrun the first rank alone goes through Hydra and has a run folder. The others run the task too where
    it is made for it (`on_every_rank`), from the same command line but without writing; else they do nothing.
    """

    def decorate(task: Callable[[Settings, Path], Any]) -> Callable[[], None]:
        told: list[UserError | Interrupted] = []

        @functools.wraps(task)
        def checked(cfg: DictConfig) -> Any:
            try:
                plain = _plain(cfg)
                settings.check(plain)
                return task(plain, Path(HydraConfig.get().runtime.output_dir))
            except (UserError, Interrupted) as error:
                told.append(error)  # raised again below, past Hydra, which would print a line of its own
                _discard_empty_run_folder()
                if HydraConfig.get().mode != RunMode.RUN:
                    raise
            except KeyboardInterrupt:
                _discard_empty_run_folder()
                raise

        def main() -> None:
            if ranks.place().rank > 0:
                if on_every_rank:
                    _follow(config_name, task)
                return
            OmegaConf.register_new_resolver("run_folder", runs.new_run_folder, replace=True)
            runs.forget_run_folder()
            wanted = os.environ.get("HYDRA_FULL_ERROR")
            as_is = wanted == "1" or any(argument.startswith("debug=") for argument in sys.argv[1:])
            # Hydra then hands exceptions on instead of printing them, and we say them our way.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            try:
                for argument in sys.argv[1:]:
                    if argument.startswith("~") and not argument.startswith("~hydra"):
                        raise UserError(f"{argument} takes away what the program needs: set it to another value.")
                if ranks.place().world > 1 and {"--multirun", "-m"} & set(sys.argv[1:]):
                    raise UserError(
                        "A sweep does not go under torchrun: start it without, and each of its jobs starts a process a "
                        "device of this machine by itself."
                    )
                if {"--help", "-h"} & set(sys.argv[1:]):
                    print(_help(config_name))
                    return
                hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(checked)()
                if told:
                    raise told[0]
            except UserError as error:
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
                _fail(_explain(error), 2)
            except ValueError as error:  # Hydra's own answer to model=3
                if as_is or "Config group override" not in str(error):
                    raise
                _fail("A choice such as model=cnn is a name: a number or another value does not do there.", 2)
            finally:
                if wanted is None:
                    os.environ.pop("HYDRA_FULL_ERROR", None)

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
        plain = _plain(cfg)
        settings.check(plain)
        task(plain, ranks.NOWHERE)
    except (UserError, HydraException, OmegaConfBaseException) as error:
        if ranks.place().local_rank == 0:
            print(error if isinstance(error, UserError) else _explain(error), file=sys.stderr)
        _end(2)
    except Exception:
        traceback.print_exc()
        _end(1)


def _help(config_name: str) -> str:
    """What `--help` prints: the template in the script's config, filled in.

    Hydra would do it too, but takes a second to list the groups, and lists those of other scripts with them.
    """
    overrides = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose(config_name, overrides, return_hydra_config=True)
    template = string.Template(cfg.hydra.help.template)
    groups = [group for group in cfg.hydra.runtime.choices if not group.startswith(("hydra/", "local"))]
    OmegaConf.set_struct(cfg, False)
    del cfg.hydra
    return template.substitute(
        APP_CONFIG_GROUPS="".join(f"{group}: {', '.join(_choices(group))}\n" for group in sorted(groups)),
        CONFIG=OmegaConf.to_yaml(cfg),
    )


def _choices(group: str) -> list[str]:
    """What can be chosen of a group: `cnn`, `lenet5` and `mlp` of `model`."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml") if not path.stem.startswith("_"))


def _plain(cfg: DictConfig) -> Settings:
    """The composed config with its interpolations filled in, whole."""
    try:
        return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise UserError(_explain(error)) from None


def _fail(sentence: str, code: int) -> NoReturn:
    print(sentence, file=sys.stderr)
    _end(code)


def _end(code: int) -> NoReturn:
    if ranks.place().world > 1:  # past the clean-up of libraries that would wait for ranks which are gone
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _discard_empty_run_folder() -> None:
    """Remove a run folder in which nothing but Hydra's own files lie, so that nothing there looks like a result."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.RUN:
        return
    folder = Path(HydraConfig.get().runtime.output_dir)
    made = os.environ.get(runs.RUN_FOLDER)
    if made and Path(made).resolve() == folder.resolve() and not (folder / runs.METRICS_FILE).exists():
        shutil.rmtree(folder, ignore_errors=True)
        for parent in list(folder.parents)[:2]:  # the day's folder and the one of its kind, where they are empty now
            with contextlib.suppress(OSError):
                parent.rmdir()


def _explain(error: Exception) -> str:
    """One sentence for what Hydra or OmegaConf found wrong in the command line or in `conf/`."""
    text = str(error).strip()
    if match := re.search(r"UserError raised while resolving interpolation: (.*)", text):  # new_run_folder's
        return match[1]
    if match := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(match[1])
    if match := re.search(r"Could not find '([^']+)'", text):
        group, _, choice = match[1].rpartition("/")
        known = _choices(group)
        return f"There is no {group}={choice}{settings.did_you_mean(choice, known)} Known: {', '.join(known)}."
    if match := re.search(r"Could not load '([^']+)'", text):
        return f"There is no config {match[1]}: is conf/ complete?"
    if "mismatched input" in text or "token recognition error" in text or "no viable alternative" in text:
        return (
            f"The command line could not be read ({text.splitlines()[0]}): put values with spaces, commas, "
            "brackets or = in quotes twice, as in 'image=\"my digit (1).png\"'."
        )
    return " ".join(text.split())


def _unknown_key(key: str) -> str:
    group = key.split(".")[0]
    if key in settings.RULES:
        return f"There is no setting {key} here: it belongs to another choice of {group}= than the one made."
    groups = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name not in ("hydra", "local"))
    known = list(settings.RULES) if "." in key else [*groups, *settings.RULES]
    return f"There is no setting {key}{settings.did_you_mean(key, known)} `--cfg job` prints them all."
