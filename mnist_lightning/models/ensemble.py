"""Several trained networks as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mnist_lightning.errors import UserError


class Ensemble(nn.Module):
    """Trained networks that vote with equal weights (Lakshminarayanan et al., NeurIPS 2017).

    `tasks/ensemble.py` builds one from the runs of a sweep.

    Args:
        members: networks with the same classes.

    Raises:
        UserError: there are no members.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if not members:
            raise UserError("An ensemble needs trained networks: train them with experiment=ensemble.")
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, num_classes] whose softmax is the mean of the members' probabilities."""
        votes = torch.stack([member(images).float().log_softmax(1) for member in self.members])
        return votes.logsumexp(0) - math.log(len(self.members))
