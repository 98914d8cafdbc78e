"""The file that the service reads with: an ONNX file, made from the checkpoint if there is none yet."""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mnist_lightning.errors import UserError
from mnist_lightning.inference.predictor import ONNX
from mnist_lightning.run import folder as runs
from mnist_lightning.run.files import digest

log = logging.getLogger("mnist_lightning")

Precision = Literal["auto", "float32", "int8"]


def fast_int8() -> bool:
    """Whether this processor multiplies 8-bit numbers faster than others, as far as the system says."""
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return platform.machine() == "arm64"  # a Mac with an Apple processor
    return bool(words & {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})


def find(ckpt: str | None, outputs: Path, precision: Precision, allow: Sequence[str] = ()) -> tuple[Path, str]:
    """The ONNX file to read with, and a description of it.

    An `.onnx` file is taken as it is. For a checkpoint it is the file that was exported from it: beside it, in its run
    folder, or in the user's cache. If there is none, a separate process makes it, so that this one does not import
    PyTorch.

    Args:
        ckpt: as everywhere (see `runs.find_checkpoint`).
        outputs: folder that `latest` is looked up in.
        precision: `auto` takes int8 where the processor is fast at it.
        allow: modules outside of this package whose networks a checkpoint may name.

    Raises:
        UserError: there is no such network, or it cannot be exported here.
    """
    path, word = runs.find_checkpoint(ckpt, outputs)
    if path.suffix == ONNX:
        return path, word
    if precision == "auto":
        precision = "int8" if fast_int8() else "float32"
    suffix = ".int8.onnx" if precision == "int8" else ONNX
    origin = digest(path)
    made = _cache() / f"{origin}{suffix}"
    for found in (path.with_name(path.stem + suffix), path.parent.parent / "export" / f"mnist{suffix}", made):
        if found.is_file() and _source(found) == origin:
            return found, word
    log.info("Exporting %s to %s, once.", path, made)
    _export(path, made, "int8" if precision == "int8" else None, allow)
    return made, word


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mnist_lightning"


def _source(path: Path) -> str | None:
    """SHA-256 of the checkpoint that an ONNX file was made from, as its card says."""
    from mnist_lightning.inference import onnx_file

    try:
        return onnx_file.read(path)[1].get("export", {}).get("sha256")
    except UserError:
        return None


def _export(path: Path, target: Path, quantize: str | None, allow: Sequence[str]) -> None:
    settings = json.dumps(
        {"ckpt": str(path.absolute()), "output": str(target), "quantize": quantize, "allow": list(allow)}
    )
    code = (
        "import json, sys; from mnist_lightning.export.command import export; from mnist_lightning.errors import "
        "UserError\ntry: export(**json.loads(sys.argv[1]))\n"
        "except UserError as error: print(error, file=sys.stderr); sys.exit(2)"
    )
    done = subprocess.run([sys.executable, "-c", code, settings], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1][:300]
        if done.returncode == 2:
            raise UserError(f"{path} cannot be exported to ONNX: {reason}")
        raise UserError(
            f"{path} cannot be exported to ONNX here ({reason}): install the extra `export`, or give an .onnx file "
            "as ckpt=."
        )
