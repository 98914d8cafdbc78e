"""The run folder: make one, find one, read and write what is in it.

Knows nothing of torch, Lightning or Hydra; paths and plain data only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from pathlib import Path

from mnist_lightning.errors import UserError

TRACEBACK_FILE = "traceback.txt"  # of a job that failed in a sweep
BEST, LAST = "checkpoints/best.ckpt", "checkpoints/last.ckpt"
PRETRAINED = Path(__file__).parents[1] / "pretrained" / "mnist.ckpt"

# The folder of the current run. In the environment, so that the worker processes of a run find the same one.
RUN_FOLDER = "MNIST_LIGHTNING_RUN_FOLDER"
# Within a sweep: what `latest` was when it began, "" for nothing. No job of the sweep reads or becomes `latest`.
LATEST = "MNIST_LIGHTNING_LATEST"


def new_run_folder(root: str) -> str:
    """Make `<root>/<date>/<time>-<short id>` and return it; the same one for the rest of this process.

    `mkdir` fails if the folder already exists, so two runs started in the same instant never share one.

    Raises:
        UserError: the folder cannot be made.
    """
    if made := os.environ.get(RUN_FOLDER):
        return made
    retries = 10
    while True:
        folder = (
            Path(root).expanduser() / time.strftime("%Y-%m-%d") / f"{time.strftime('%H-%M-%S')}-{secrets.token_hex(3)}"
        )
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            if folder.is_dir():
                continue
            raise UserError(f"{folder.parent} is not a folder: move it away or set another `outputs=`.") from None
        except OSError as error:
            if isinstance(error, FileNotFoundError) and retries:
                retries -= 1  # another run may just have removed the day's folder, which had become empty
                continue
            raise UserError(
                f"The run folder {folder} cannot be made ({error.strerror}): choose another with `outputs=`."
            ) from None
        os.environ[RUN_FOLDER] = str(folder)
        return str(folder)


def shown(path: Path) -> str:
    """A path as one would type it here: relative if it is below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def note_latest(outputs: Path) -> None:
    """Keep `latest` as it is now, for this process and those that it starts, until `release_latest`."""
    run = latest(outputs)
    os.environ[LATEST] = str(run.absolute()) if run else ""


def release_latest() -> None:
    """Undo `note_latest`."""
    os.environ.pop(LATEST, None)


def forget_run_folder() -> None:
    """Let the next `new_run_folder` make a new one, and undo `note_latest`."""
    os.environ.pop(RUN_FOLDER, None)
    os.environ.pop(LATEST, None)


def remove_with_empty_parents(folder: Path) -> None:
    """Remove a run folder, and the folders of its day and its kind if they are empty now and not around this one."""
    shutil.rmtree(folder, ignore_errors=True)
    for parent in list(folder.absolute().parents)[:2]:
        if Path.cwd().is_relative_to(parent):
            return
        with contextlib.suppress(OSError):
            parent.rmdir()


def mark_latest(run: Path, outputs: Path) -> None:
    """Make `<outputs>/latest` point to `run`: a relative link, or a text file where links are not supported.

    Does nothing within a sweep, whose best job is marked at its end.
    """
    if LATEST in os.environ:
        return
    outputs = outputs.expanduser()
    outputs.mkdir(parents=True, exist_ok=True)
    link = outputs / "latest"
    try:
        target = os.path.relpath(run.resolve(), outputs.resolve())
    except ValueError:  # on another drive, on Windows
        target = str(run.resolve())
    temporary = outputs / f".latest.{secrets.token_hex(4)}"
    try:
        temporary.symlink_to(target, target_is_directory=True)
    except OSError:
        temporary.write_text(target, encoding="utf-8")
    try:
        temporary.replace(link)
    except PermissionError:  # Windows does not replace a link to a folder
        link.unlink(missing_ok=True)
        temporary.replace(link)


def latest(outputs: Path) -> Path | None:
    """The last finished training run under `outputs`, or None; within a sweep, the one before the sweep."""
    if (noted := os.environ.get(LATEST)) is not None:
        return Path(noted) if noted else None
    outputs = outputs.expanduser()
    link = outputs / "latest"
    run = outputs / link.read_text(encoding="utf-8").strip() if link.is_file() else link.resolve()
    return run if run.is_dir() else None


def finished(outputs: Path, way_out: str) -> Path:
    """The run that `latest` names.

    Args:
        outputs: folder that it is looked up in.
        way_out: what to do if there is none, for the message.

    Raises:
        UserError: no run has finished there yet.
    """
    if (run := latest(outputs)) is None:
        raise UserError(f"There is no finished run under {outputs} yet: {way_out}.")
    return run


def find_checkpoint(ckpt: str | None, outputs: Path) -> tuple[Path, str]:
    """What `ckpt=` names, and a description of it: a `.ckpt` file, a run folder (its best), `latest` or `pretrained`.

    None stands for `latest` if there is one, else for `pretrained`.

    Raises:
        UserError: there is no such checkpoint.
    """
    if ckpt is None:
        ckpt = "latest" if latest(outputs) is not None else "pretrained"
    if ckpt == "pretrained":
        return PRETRAINED, "pretrained, the network that ships with the project"
    if ckpt == "latest":
        run = finished(outputs, "train one with `python scripts/train.py`, or take ckpt=pretrained")
        return _best_of(run), f"latest, {shown(run)}"
    path = Path(ckpt).expanduser()
    if path.is_dir():
        return _best_of(path), str(path)
    if path.is_file():
        return path, str(path)
    raise UserError(
        f"There is no checkpoint {ckpt}: give a .ckpt file, a run folder, `latest` or `pretrained` as ckpt=."
    )


def _best_of(run: Path) -> Path:
    if (run / BEST).is_file():
        return run / BEST
    raise UserError(f"The run folder {run} holds no {BEST}: did its first epoch end?")
