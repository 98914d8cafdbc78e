"""An ONNX network as a PyTorch module, so that Lightning can score it as any other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mnist_lightning.inference.onnx_predictor import OnnxPredictor


class OnnxNetwork(nn.Module):
    """Reads images as `OnnxPredictor` does, on the CPU; it has no weights that PyTorch knows."""

    def __init__(self, predictor: OnnxPredictor) -> None:
        super().__init__()
        self._predictor = predictor

    def forward(self, images: Tensor) -> Tensor:
        """Float images [N, 1, H, W] in [0, 1] -> logits, float32 [N, C]."""
        found = self._predictor.run(images.detach().cpu().float().numpy())
        return torch.from_numpy(found).to(images.device)
