"""ONNX Runtime Web, fetched with npm when an export asks for it, and checked."""

from __future__ import annotations

import base64
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from mnist_lightning.errors import UserError
from mnist_lightning.run.files import digest

VERSION = "1.30.0"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"  # of the package as npm packs it
_FILES = {
    "main": "package/dist/ort.wasm.min.mjs",
    "loader": "package/dist/ort-wasm-simd-threaded.mjs",
    "wasm": "package/dist/ort-wasm-simd-threaded.wasm",
}


def files() -> dict[str, str]:
    """The three files that a page needs, in base64: `main`, `loader` and `wasm`.

    Raises:
        UserError: npm is missing, or cannot fetch the package.
        RuntimeError: the package is not the expected one.
    """
    if (npm := shutil.which("npm")) is None:
        raise UserError("engine=onnxruntime-web fetches its runtime with npm, which is not installed: install Node.js.")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"onnxruntime-web@{VERSION}", "--silent", "--pack-destination", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        packed = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(packed) != 1:
            reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["npm gave no reason"]
            raise UserError(f"npm could not fetch onnxruntime-web {VERSION}: {reason[0]}.")
        found = digest(packed[0])
        if found != SHA256:
            raise RuntimeError(f"onnxruntime-web {VERSION} has the SHA-256 {found}; expected {SHA256}.")
        return {name: base64.b64encode(_member(packed[0], path)).decode() for name, path in _FILES.items()}


def _member(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as package:
        file = package.extractfile(name)
        assert file is not None
        return file.read()
