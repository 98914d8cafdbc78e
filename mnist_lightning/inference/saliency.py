"""Which pixels decided: the winning logit as a sum over the pixels of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mnist_lightning.inference.predictor import Predictor

STEPS = 16  # of the path from the empty image to this one
PATCH = 3  # side of the square that occlusion erases, pixels


def saliency(predictor: Predictor, image: np.ndarray) -> np.ndarray:
    """What each pixel adds to the logit of the winning class.

    By integrated gradients where the network is a torch module, and by occlusion where it is an ONNX file, which has
    no gradients.

    Args:
        predictor: of either engine.
        image: uint8 [28, 28], bright ink on 0.

    Returns:
        float32 [28, 28], above 0 where ink speaks for the class, below 0 where it speaks against; 0 off the ink.
    """
    return occlusion(predictor, image) if predictor.network is None else integrated_gradients(predictor, image)


def integrated_gradients(predictor: Predictor, image: np.ndarray) -> np.ndarray:
    """The gradient, averaged along the straight way from the empty image to this one and multiplied by the pixel.

    The sum over all pixels is what the ink as a whole adds (Sundararajan, Taly and Yan, "Axiomatic attribution for
    deep networks", 2017). Arguments and result are those of `saliency`.
    """
    import torch

    from mnist_lightning.models.networks import to_input

    pixels = to_input(torch.as_tensor(image)[None].to(predictor.device))
    with torch.enable_grad():
        # Midpoints of STEPS equal pieces.
        way = (torch.arange(STEPS, device=pixels.device) + 0.5)[:, None, None, None] / STEPS
        images = (way * pixels).requires_grad_()
        with torch.no_grad():
            winner = int(predictor.network(pixels).argmax())
        (gradient,) = torch.autograd.grad(predictor.network(images)[:, winner].sum(), images)
    return (gradient.mean(0) * pixels[0])[0].float().cpu().numpy()


def occlusion(predictor: Predictor, image: np.ndarray) -> np.ndarray:
    """What the winning logit loses when a small square is erased, shared out over the ink in the square.

    One reading for each square with ink in it, all in one batch (Zeiler and Fergus, "Visualizing and understanding
    convolutional networks", ECCV 2014). Arguments and result are those of `saliency`.
    """
    side = image.shape[0]
    corners = [
        (top, left)
        for top in range(1 - PATCH, side)
        for left in range(1 - PATCH, side)
        if image[max(top, 0) : top + PATCH, max(left, 0) : left + PATCH].any()
    ]
    erased = np.repeat(image[None], len(corners) + 1, axis=0)
    for one, (top, left) in zip(erased[1:], corners, strict=True):
        one[max(top, 0) : top + PATCH, max(left, 0) : left + PATCH] = 0
    logits = np.asarray(predictor.logits(erased))
    winner = int(logits[0].argmax())
    lost = logits[0, winner] - logits[1:, winner]
    found = np.zeros(image.shape, np.float32)
    ink = image.astype(np.float32)
    for loss, (top, left) in zip(lost.tolist(), corners, strict=True):
        square = (slice(max(top, 0), top + PATCH), slice(max(left, 0), left + PATCH))
        found[square] += loss * ink[square] / ink[square].sum() / PATCH**2
    return found
