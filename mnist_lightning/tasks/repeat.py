"""repeat(settings, run): repeat a finished training run from its folder alone, and check whether the numbers agree.

The folder may be somebody else's: its settings are checked like any command's, and may name no code that the user has
not allowed.
"""

from __future__ import annotations

import copy
import logging
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

from mnist_lightning import compat
from mnist_lightning.cli.check import check
from mnist_lightning.cli.commands import COMMANDS, program
from mnist_lightning.errors import UserError
from mnist_lightning.run import folder as runs
from mnist_lightning.run import provenance
from mnist_lightning.run.files import write_json
from mnist_lightning.run.record import read_metrics
from mnist_lightning.run.untrusted import short
from mnist_lightning.tasks.resume import NOT_KEPT
from mnist_lightning.tasks.settings import TrainSettings
from mnist_lightning.tasks.train import train
from mnist_lightning.types import Text

log = logging.getLogger(__name__)

FILE = "repeat.json"
"""In the new run's folder: what was repeated, whether it agrees, and what differs."""

NUMBERS = ("history", "best", "test", "temperature")  # of a record
MADE_WITH = (
    "python", "platform", "device", "cpu_capability", "precision", "threads", "host", "git_commit", "changes_sha256",
)  # fmt: skip
_OWN = (*NOT_KEPT, "experiment", "debug")  # settings of a run that are not in its checkpoints
# Trainer arguments that change no numbers.
_PLACES = ("callbacks", "default_root_dir", "enable_checkpointing", "logger", "plugins")
_MOST = 20  # printed lines of differences, at most


class Where(TypedDict):
    """`data.`: where the data are on this machine."""

    folder: Text
    mirrors: list[Text]


class RepeatSettings(TypedDict):
    """All settings of `conf/repeat.yaml`."""

    run: Text
    outputs: Text
    allow: list[Text]
    data: Where


Difference = tuple[str, Any, Any]
"""The name of a value, the value in the first run, the value in the repetition."""


def repeat(settings: RepeatSettings, run: Path) -> dict[str, Any]:
    """Train again as a finished run did, and compare the two.

    Args:
        settings: `conf/repeat.yaml` composed and checked.
        run: the new run folder, which exists.

    Returns:
        What `repeat.json` holds.

    Raises:
        UserError: the folder holds no finished run, or its settings cannot be used; nothing was trained.
        SystemExit: with code 1, where the numbers differ.
    """
    source, then = _find(settings["run"], Path(settings["outputs"]))
    for sentence in _doubts(then):
        log.warning("%s", sentence)
    with compat.heavy_imports():
        from mnist_lightning.models import checkpoint
    chosen = _settings(checkpoint.read(source / runs.LAST)[checkpoint.CARD].get("settings"), settings, source)
    _pin(chosen["data"], (then.get("dataset") or {}).get("name"))
    command = shlex.join([*program("repeat", home=True), f"run={source}"])
    asked = {"command": command} | {key: then[key] for key in ("overrides", "experiment", "choices") if key in then}
    train(chosen, run, asked)  # type: ignore[arg-type]

    now = read_metrics(run)  # rounded to as many digits as the other
    numbers = [*_numbers(then, now), *_weights(source, run)]
    found = {
        "schema_version": 1,
        "run": str(source.resolve()),
        "agrees": not numbers,
        "numbers": [list(each) for each in numbers],
        "made_with": [list(each) for each in _made_with(then, now, source, run)],
    }
    write_json(run / FILE, found)
    _say(found, source, len(now["history"]["epoch"]))
    if numbers:
        sys.exit(1)
    return found


def _find(named: str, outputs: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of a finished run, and its record."""
    source = Path(named).expanduser()
    if named == "latest":
        source = runs.finished(outputs, "name a run folder with run=")
    if not source.is_dir():
        raise UserError(f"There is no run folder {named}: give one, or `latest`, as run=.")
    then = read_metrics(source)
    if then["status"] != "finished":
        raise UserError(
            f"{source} did not finish (its status is {then['status']}), so there is nothing to compare with."
        )
    if "members" in then:
        raise UserError(f"{source} is an ensemble, which nothing was trained for: repeat its members.")
    if not (source / runs.LAST).is_file():
        raise UserError(f"{source} cannot be repeated: the settings of a run lie in {runs.LAST}, which is not there.")
    return source, then


def _doubts(then: Mapping[str, Any]) -> Iterator[str]:
    """Why the numbers may differ, one sentence per reason: the checkout is a different one, or the run was resumed."""
    if resumed := (then.get("hyperparameters") or {}).get("ckpt_path"):
        yield (
            f"The run went on from {short(resumed)}: if it was begun with other settings, such as fewer epochs, one "
            "run does not give its numbers again."
        )
    there, here = then.get("environment") or {}, provenance.checkout()
    before, now = there.get("git_commit"), here["git_commit"]
    if before and now and before != now:
        made = short(before).strip("'")
        yield f"The run was made at commit {made}, and this checkout is at {now}: the numbers may differ."
    if "changes_sha256" in there and there["changes_sha256"] != here["changes_sha256"]:
        if there["changes_sha256"] is None:
            yield "This checkout has uncommitted changes, which the run was made without: the numbers may differ."
        else:
            yield (
                f"The run was made with uncommitted changes ({provenance.CHANGES} in its folder), which are not those "
                "of this checkout: the numbers may differ."
            )


def _settings(kept: Any, given: RepeatSettings, source: Path) -> dict[str, Any]:
    """The settings to train with: those of the run, except for where things are on this machine."""
    from mnist_lightning.cli import parts

    where = str(source / runs.LAST)
    needed = TrainSettings.__annotations__.keys() - {*_OWN}
    if not isinstance(kept, Mapping) or (missing := sorted(needed - kept.keys())):
        lacking = "settings" if not isinstance(kept, Mapping) else missing[0]
        raise UserError(
            f"{where} cannot be repeated: it does not say its {lacking}. Was it made by an earlier version?"
        )
    chosen: dict[str, Any] = {key: copy.deepcopy(value) for key, value in kept.items() if key in needed}
    chosen |= {
        "outputs": given["outputs"],
        "allow": given["allow"],
        "ckpt_path": None,
        "logger": None,
        "search": None,
        "sweep": {"ensemble": False, "fail_fast": False},
    }
    parts.check_targets(chosen, given["allow"], where)
    check(chosen, COMMANDS["train"].function)
    for key in _PLACES:
        if key in chosen["trainer"]:
            raise UserError(f"{where} cannot be repeated: its trainer.{key} may write anywhere.")
    # A trial that finished was not pruned, and the numbers do not need the study.
    callbacks = {name: part for name, part in chosen["callbacks"].items() if part}
    chosen["callbacks"] = {
        name: part for name, part in callbacks.items() if not str(part.get("_target_")).endswith(".Pruning")
    }
    chosen["data"] |= {key: value for key, value in given["data"].items() if key in chosen["data"]}
    return chosen


def _pin(data: dict[str, Any], loaded: Any) -> None:
    """Replace `auto` by the data set that was loaded then, regardless of what can be fetched now."""
    if data.get("name") == "auto" and loaded in ("mnist", "digits"):
        data["name"] = loaded
        if loaded == "digits":
            data["batch_size"] = data.get("fallback_batch_size", data["batch_size"])


def _numbers(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    """The numbers of two records that differ, as they are written: with six significant digits."""
    for key in NUMBERS:
        yield from _differences(key, then.get(key), now.get(key))


def _differences(name: str, then: Any, now: Any) -> Iterator[Difference]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*then, *now]):
            yield from _differences(f"{name}.{key}", then.get(key), now.get(key))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for place, (before, after) in enumerate(zip(then, now, strict=True), start=1):
            yield from _differences(f"{name}[{place}]", before, after)
    elif then != now:
        yield name, then, now


def _weights(source: Path, run: Path) -> Iterator[Difference]:
    """The checkpoints whose weights are not identical to the last bit."""
    import torch

    from mnist_lightning.models import checkpoint

    for name in (runs.LAST, runs.BEST):
        if not (source / name).is_file() or not (run / name).is_file():
            continue
        then, now = (checkpoint.read(folder / name)["state_dict"] for folder in (source, run))
        differing = [key for key in {**then, **now} if key not in then or key not in now
                     or not torch.equal(then[key], now[key])]  # fmt: skip
        if differing:
            yield f"weights of {name}", f"{len(then)} tensors", f"{len(differing)} of them differ"


def _made_with(then: Mapping[str, Any], now: Mapping[str, Any], source: Path, run: Path) -> Iterator[Difference]:
    """What the two runs were made with, where it is known for both and differs."""
    before, after = then.get("environment") or {}, now["environment"]
    for key in MADE_WITH:
        if key in before and before[key] != after[key]:
            yield key, before[key], after[key]
    packages = [_packages(folder / provenance.PACKAGES) for folder in (source, run)]
    if packages[0]:
        yield from _differences("packages", *packages)
    if inputs := then.get("inputs"):
        yield from _differences("inputs", inputs, now["inputs"])


def _packages(path: Path) -> dict[str, str]:
    """Name -> version from a `packages.txt`, which may come from anybody."""
    try:
        with path.open("rb") as file:
            text = file.read(1 << 20).decode("utf-8", "replace")
    except OSError:
        return {}
    return dict(re.findall(r"^([\w.-]{1,100})==([\w.+!-]{1,100})$", text, re.MULTILINE))


def _say(found: Mapping[str, Any], source: Path, epochs: int) -> None:
    """Log the last lines."""
    log.info("")
    if found["agrees"]:
        log.info("The numbers agree with %s to the last digit:", runs.shown(source))
        log.info("  history of %d epochs, best epoch, test scores, weights", epochs)
        return
    log.info("The numbers differ from %s:", runs.shown(source))
    _table(found["numbers"])
    log.info("what the two were made with:" if found["made_with"] else "Nothing differs in what they were made with.")
    _table(found["made_with"])


def _table(differences: list[Any]) -> None:
    """Log the differences; the values may come from anybody, and are shortened."""
    for name, then, now in differences[:_MOST]:
        log.info("  %s: %s then, %s now", short(name).strip("'"), short(then), short(now))
    if len(differences) > _MOST:
        log.info("  and %d more, in %s", len(differences) - _MOST, FILE)
