"""Digits published smaller than 28x28 -> the form of MNIST, and scikit-learn's set of them."""

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from mnist_lightning.ink.normalise import normalise, normalise_ink

_ENOUGH = 16  # least side of an image that is normalised as it is, pixels
_FINE = 96  # side to which a small image is enlarged, pixels
_PAPER, _INK = 64, 192  # greys of the enlarged image that become 0 and 255


def enlarge(image: np.ndarray) -> np.ndarray:
    """Bring a small grey digit into the form of MNIST.

    16x16 and more are enough for the normaliser. Enlarging 8x8 alone leaves soft strokes, which a network trained on
    MNIST misreads, so their edges are sharpened again before the normaliser shrinks them.

    Args:
        image: uint8 [H, W], bright ink on dark, which may touch the edge.

    Returns:
        uint8 [28, 28], bright ink on 0.
    """
    if max(image.shape) >= _ENOUGH:
        return normalise_ink(np.pad(image, 2))
    rim = max(image.shape) // 4  # shows the background to the normaliser, whatever the ink touches
    image = cv2.copyMakeBorder(image, rim, rim, rim, rim, cv2.BORDER_CONSTANT)
    factor = _FINE / max(image.shape)
    soft = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return normalise(np.clip((soft - _PAPER) * (255 / (_INK - _PAPER)), 0, 255).astype(np.uint8))


def load_sklearn_digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1,797 digits of 8x8 that scikit-learn carries (E. Alpaydin, C. Kaynak, 1998), in the form of MNIST.

    Returns:
        uint8 [1797, 28, 28] images and uint8 [1797] labels, in scikit-learn's order, which is by writer.
    """
    spec = find_spec("sklearn")
    assert spec, "scikit-learn is a dependency of this package"
    assert spec.origin
    # What sklearn.datasets.load_digits reads; calling it would import SciPy and more, which takes over a second.
    table = np.loadtxt(Path(spec.origin).parent / "datasets/data/digits.csv.gz", np.uint8, delimiter=",")
    grey = np.rint(table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return np.stack([enlarge(image) for image in grey]), table[:, -1]
