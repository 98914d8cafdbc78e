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
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mnist_lightning import runs, settings
from mnist_lightning.errors import Interrupted, UserError

STARTED = time.perf_counter()
"""When the script began, as near as Python code can tell."""

CONF = Path(__file__).parent.parent / "conf"


Settings = dict[str, Any]
"""A composed config as plain dicts, lists, numbers and strings, each value checked."""


def script(config_name: str) -> Callable[[Callable[[Settings, Path], Any]], Callable[[], None]]:
    """Decorate `task(settings, run folder)` into a script over `conf/<config_name>.yaml`.

    Exit codes: 0 done; 2 the user can put it right (one sentence on stderr, no traceback unless
    HYDRA_FULL_ERROR=1 or debug=...); 130 or 143 interrupted by Ctrl-C or SIGTERM; 1 a fault of the
    program, with its traceback.
    """

    def decorate(task: Callable[[Settings, Path], Any]) -> Callable[[], None]:
        told: list[UserError | Interrupted] = []

        @functools.wraps(task)
        def checked(cfg: DictConfig) -> Any:
            plain = OmegaConf.to_container(cfg, resolve=True)
            try:
                settings.check(plain)  # type: ignore[arg-type]
                return task(plain, Path(HydraConfig.get().runtime.output_dir))  # type: ignore[arg-type]
            except (UserError, Interrupted) as error:
                told.append(error)  # raised again below, past Hydra, which would print a line of its own
                _discard_empty_run_folder()
                if HydraConfig.get().mode != RunMode.RUN:
                    raise
            except KeyboardInterrupt:
                _discard_empty_run_folder()
                raise

        def main() -> None:
            OmegaConf.register_new_resolver("run_folder", runs.new_run_folder, replace=True)
            runs.forget_run_folder()
            wanted = os.environ.get("HYDRA_FULL_ERROR")
            traceback = wanted == "1" or any(argument.startswith("debug=") for argument in sys.argv[1:])
            # Hydra then hands exceptions on instead of printing them, and we say them our way.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            try:
                hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(checked)()
                if told:
                    raise told[0]
            except UserError as error:
                if traceback:
                    raise
                _fail(str(error), 2)
            except Interrupted as error:
                _fail(str(error), 128 + error.signum)
            except KeyboardInterrupt:
                _fail("Interrupted.", 128 + signal.SIGINT)
            except (HydraException, OmegaConfBaseException) as error:
                if traceback:
                    raise
                _fail(_explain(error), 2)
            finally:
                if wanted is None:
                    os.environ.pop("HYDRA_FULL_ERROR", None)

        return main

    return decorate


def _fail(sentence: str, code: int) -> NoReturn:
    print(sentence, file=sys.stderr)
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
    if match := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(match[1])
    if match := re.search(r"Could not find '([^']+)'", text):
        group, _, choice = match[1].rpartition("/")
        known = sorted(path.stem for path in (CONF / group).glob("*.yaml") if not path.stem.startswith("_"))
        return f"There is no {group}={choice}{settings.did_you_mean(choice, known)}; known: {', '.join(known)}."
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
    return f"There is no setting {key}{settings.did_you_mean(key, known)}; `--cfg job` prints them all."
