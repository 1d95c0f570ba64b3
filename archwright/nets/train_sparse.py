"""Training of a network under masks, whatever rule makes them."""

from __future__ import annotations

from torch import Tensor, nn

from archwright.nets.masks import Masks
from archwright.nets.recipe import Recipe
from archwright.nets.train import TrainResult, train
from archwright.tasks.base import Task


class MaskedNet(nn.Module):
    """A network whose passes see masked weights.

    Args:
        net: plain network.
        masks: made for it.
        steps: of its training; every pass in training mode is one.
    """

    def __init__(self, net: nn.Module, masks: Masks, steps: int) -> None:
        super().__init__()
        self.net, self.masks, self.steps, self.done = net, masks, steps, 0

    def forward(self, *inputs: Tensor) -> Tensor:
        """Outputs (batch, ...) for inputs (batch, ...)."""
        with self.masks.masking(self.net, min(1.0, self.done / self.steps)):
            outputs: Tensor = self.net(*inputs)
        self.done += self.training
        return outputs


def train_sparse(net: nn.Module, task: Task, recipe: Recipe, masks: Masks, *, seed: int = 0) -> TrainResult:
    """Train a network under masks in place; at the end masked weights are zero.

    Args:
        net: plain module, task inputs -> (batch, outputs).
        task: data and loss.
        recipe: of the whole training, all phases of the masks included.
        masks: made for `net`.
        seed: of batches, augmentation and dropout.

    Raises:
        EvaluationError: as `train`.
    """
    steps = recipe.epochs * max(1, len(task.train) // recipe.batch)
    result = train(MaskedNet(net, masks, steps), task, recipe, seed=seed)
    masks.settle(net)
    return result


__all__ = ["MaskedNet", "train_sparse"]
