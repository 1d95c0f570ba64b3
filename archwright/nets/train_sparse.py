"""Training of a network under masks, whatever rule makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from archwright.nets.checkpoint import TrainState
from archwright.nets.masks import Masks
from archwright.nets.recipe import Recipe
from archwright.nets.train import TrainResult, train
from archwright.tasks.base import Task


class MaskedNet(nn.Module):
    """A network whose passes see masked weights.

    Args:
        net: plain network.
        masks: made for it.
    """

    def __init__(self, net: nn.Module, masks: Masks) -> None:
        super().__init__()
        self.net, self.masks, self.progress = net, masks, 0.0

    def forward(self, *inputs: Tensor) -> Tensor:
        """Outputs (batch, ...) for inputs (batch, ...)."""
        with self.masks.masking(self.net, self.progress):
            outputs: Tensor = self.net(*inputs)
        return outputs


def train_sparse(net: nn.Module, task: Task, recipe: Recipe, masks: Masks, *, seed: int = 0) -> TrainResult:
    """Train a network under masks in place; at the end masked weights are zero.

    Args:
        net: plain module, task inputs -> (batch, outputs).
        task: data and loss.
        recipe: of the whole training, all phases of the masks included, which begin with an epoch.
        masks: made for `net`.
        seed: of batches, augmentation and dropout.

    Raises:
        EvaluationError: as `train`.
    """
    whole = MaskedNet(net, masks)

    def advance(record: dict[str, Any], state: Callable[[], TrainState]) -> None:
        whole.progress = record["epoch"] / recipe.epochs

    result = train(whole, task, recipe, seed=seed, on_epoch=advance)
    masks.settle(net)
    return result


__all__ = ["MaskedNet", "train_sparse"]
