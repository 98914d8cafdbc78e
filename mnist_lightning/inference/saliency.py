"""Which pixels decided: the winning logit as a sum over the ink, and what ink in the empty pixels would change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from mnist_lightning.inference.predictor import Predictor

STEPS = 16  # of the path from the empty image to this one, equally long
FAINT_STEPS = 32  # of the same path, most of them near the empty image
FAINT = 0.03  # share of the path after which a network that standardises its images sees most of their contrast
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
    """The gradient, averaged along the straight path from the empty image to this one and multiplied by the pixel.

    The sum over all pixels is what the ink as a whole adds (Sundararajan, Taly and Yan, "Axiomatic attribution for
    deep networks", 2017). For a network that standardises its images, most of the change lies in
    the first few hundredths of the path, so most steps do too. Arguments and result are those of `saliency`.
    """
    import torch

    from mnist_lightning.models.network import to_input

    pixels = to_input(torch.as_tensor(image)[None].to(predictor.device))
    with torch.enable_grad():
        share = torch.linspace(0, 1, FAINT_STEPS + 1, device=pixels.device)
        faint = FAINT * share / (1 + FAINT**2 - share**2).sqrt()  # equal steps of the contrast
        even = torch.linspace(0, 1, STEPS + 1, device=pixels.device)
        ends = torch.cat([faint, even]).sort().values
        lengths, middles = (each[:, None, None, None] for each in (ends.diff(), (ends[1:] + ends[:-1]) / 2))
        images = (middles * pixels).requires_grad_()
        with torch.no_grad():
            winner = int(predictor.network(pixels).argmax())
        (gradient,) = torch.autograd.grad(predictor.network(images)[:, winner].sum(), images)
    return ((lengths * gradient).sum(0) * pixels[0])[0].float().cpu().numpy()


def gaps(predictor: Predictor, image: np.ndarray) -> np.ndarray:
    """Which empty pixels decided: what a dot of ink there would take from the winning class.

    A dot as wide as a stroke is laid on every second pixel in turn, and the network reads all of these images: an
    occlusion test (Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014) with ink. Needs
    about 120 forward passes.

    Args:
        predictor: any.
        image: uint8 [28, 28], bright ink on 0.

    Returns:
        float32 [28, 28], 0 or more: by how much the log-odds of the winning class fall; 0 on ink and near the rim.
    """
    size = image.shape[0]
    centres = [(y + 0.5, x + 0.5) for y in range(2, size - 3, 2) for x in range(2, size - 3, 2)]
    free = [(y, x) for y, x in centres if image[int(y) : int(y) + 2, int(x) : int(x) + 2].mean() < 64]
    down, across = np.mgrid[0:size, 0:size]
    dots = [np.clip((_DOT - np.hypot(down - y, across - x)) * 255, 0, 255) for y, x in free]
    images = np.stack([image, *(np.maximum(image, dot) for dot in dots)]).astype(np.uint8)
    log_odds = _log_odds(np.asarray(predictor.logits(images), np.float64))
    coarse = np.zeros((size // 2, size // 2), np.float32)
    for (y, x), value in zip(free, (log_odds[0] - log_odds[1:]).tolist(), strict=True):
        coarse[int(y) // 2, int(x) // 2] = max(value, 0.0)
    fine = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    return (fine * (1 - image / 255)).astype(np.float32)


_DOT = 1.9  # radius of a dot, pixels, with its soft edge


def _log_odds(logits: np.ndarray) -> np.ndarray:
    """Log-odds [N] of the class that wins in the first row."""
    winner = int(logits[0].argmax())
    others = np.delete(logits, winner, axis=1)
    highest = others.max(axis=1)
    return logits[:, winner] - highest - np.log(np.exp(others - highest[:, None]).sum(axis=1))


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
