"""A callback of the project's own."""

import lightning.pytorch as pl
import torch


class GradientNorm(pl.Callback):
    """Logs the norm of the gradient of every n-th step.

    Args:
        every_n_steps: steps between two values.
    """

    def __init__(self, every_n_steps: int = 10) -> None:
        self.every_n_steps = every_n_steps

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer) -> None:
        """Measure, once in a while."""
        if trainer.global_step % self.every_n_steps == 0:
            gradients = [weight.grad for weight in pl_module.parameters() if weight.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            for logger in trainer.loggers:
                logger.log_metrics({"step/gradient_norm": float(norm)}, trainer.global_step)
