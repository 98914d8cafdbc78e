"""How Lightning's checkpoints reach the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.fabric.plugins import TorchCheckpointIO

from mnist_lightning.models import checkpoint as checkpoints


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all.

    Lightning itself writes a temporary file in TMPDIR and copies it over the old checkpoint, byte by byte if the two
    are on different file systems: a run killed during that loses both.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to the local file `path`."""
        checkpoints.write(checkpoint, Path(path))
