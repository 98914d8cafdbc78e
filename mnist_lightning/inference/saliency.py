"""Which pixels decided: the winning logit as a sum over the pixels of an image."""

from __future__ import annotations

import numpy as np
import torch

from mnist_lightning.inference.predictor import Predictor
from mnist_lightning.models.network import to_input

STEPS = 16  # of the path from the empty image to this one


def saliency(predictor: Predictor, image: np.ndarray) -> np.ndarray:
    """What each pixel adds to the logit of the winning class, by integrated gradients.

    The gradient is averaged along the straight way from the empty image to this one and multiplied by the
    pixel: the sum over all pixels is what the ink as a whole adds (Sundararajan, Taly and Yan, "Axiomatic
    attribution for deep networks", 2017).

    Args:
        predictor: its network must be a torch module.
        image: uint8 [28, 28], bright ink on 0.

    Returns:
        float32 [28, 28], above 0 where ink speaks for the class, below 0 where it speaks against; 0 off the ink.
    """
    pixels = to_input(torch.as_tensor(image)[None].to(predictor.device))
    with torch.enable_grad():
        # Midpoints of STEPS equal pieces.
        way = (torch.arange(STEPS, device=pixels.device) + 0.5)[:, None, None, None] / STEPS
        images = (way * pixels).requires_grad_()
        with torch.no_grad():
            winner = int(predictor.network(pixels).argmax())
        (gradient,) = torch.autograd.grad(predictor.network(images)[:, winner].sum(), images)
    return (gradient.mean(0) * pixels[0])[0].float().cpu().numpy()
