"""LitServe with this project's network, for `serving.py`: `python benchmarks/rival.py NETWORK PORT`.

What a user of it would write: a PNG in base64 in, the digit and its probabilities out, read in batches.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import cv2
import litserve
import numpy as np

from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.ink.images import decode_picture
from mnist_lightning.ink.normalise import normalise

NETWORK, PORT = sys.argv[1:] if len(sys.argv) == 3 else ("", "0")


class Digits(litserve.LitAPI):
    """The steps that LitServe asks for."""

    def setup(self, device: str) -> None:
        """Load the network, in the worker."""
        cv2.setNumThreads(1)
        self.predictor = Predictor.load(Path(NETWORK), "cpu", threads=1)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe reads a type as a query parameter
        """A request as an image."""
        return normalise(decode_picture(base64.b64decode(request["image"])).pixels)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Images as one batch."""
        return np.stack(inputs)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The probabilities of a batch."""
        return self.predictor.probabilities(images if images.ndim == 3 else images[None])

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        """A batch as rows."""
        return list(output)

    def encode_response(self, output: np.ndarray) -> dict[str, Any]:
        """A row as an answer."""
        return {"digit": int(output.argmax()), "probabilities": output.ravel().tolist()}


if __name__ == "__main__":
    api = Digits(max_batch_size=64, batch_timeout=0.0)
    server = litserve.LitServer(api, accelerator="cpu", timeout=60)
    server.run(host="127.0.0.1", port=int(PORT), log_level="error", generate_client_file=False)
