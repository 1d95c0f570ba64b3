"""Random sparse networks: the neutral baseline of every method that finds sparse ones.

Several random masks over the nodes (output channels of convolutions, features of linear maps) of a fresh network are
drawn at the wanted sparsity, the one of least loss before any training is kept, and the network is trained with it. The
paper finds that the chosen mask trains no better than the first one drawn; `RandomSparse` reports both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from archwright.errors import ConfigurationError
from archwright.nets.masks import MASKED
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.tasks.base import Task


def node_mask(net: nn.Module, sparsity: float, rng: np.random.Generator) -> dict[str, Tensor]:
    """Name of a layer -> mask of its weight, whole nodes at a time; the last layer, whose nodes are outputs, is kept.

    Args:
        net: with convolutions or linear maps.
        sparsity: share of the nodes of each layer that are zero; one node always stays.
        rng: draws the nodes.

    Raises:
        ConfigurationError: if there is no layer to mask or the share is none.
    """
    layers = [(name, m) for name, m in net.named_modules() if isinstance(m, MASKED)][:-1]
    if not layers or not 0.0 <= sparsity < 1.0:
        raise ConfigurationError(
            f"random node masks need hidden layers and a sparsity in [0, 1), got {len(layers)} layers and {sparsity}"
        )
    masks = {}
    for name, layer in layers:
        nodes = len(layer.weight)
        kept = rng.choice(nodes, max(1, round((1.0 - sparsity) * nodes)), replace=False)
        mask = torch.zeros_like(layer.weight)
        mask[torch.from_numpy(kept)] = 1.0
        masks[name] = mask
    return masks


def masked(net: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """The network with fixed masks, in place; masked weights stay zero whatever trains it."""
    for name, mask in masks.items():
        prune.custom_from_mask(net.get_submodule(name), "weight", mask)
    return net


@dataclass(frozen=True)
class RandomSparse:
    """Metrics of both trained networks, by name.

    Attributes:
        chosen: of the mask with the least loss before training.
        first: of the first mask drawn.
        losses: of all masks before training, (candidates,).
    """

    chosen: dict[str, float]
    first: dict[str, float]
    losses: np.ndarray


def random_sparse(
    make: Callable[[], nn.Module],
    task: Task,
    recipe: Recipe,
    sparsity: float,
    *,
    candidates: int = 20,
    seed: int = 0,
) -> RandomSparse:
    """Train the best of some random node masks and the first of them alike, and measure both on the test part.

    Args:
        make: the same fresh network at every call.
        task: data, loss and metrics.
        recipe: of both trainings.
        sparsity: share of zero nodes of each hidden layer.
        candidates: masks that are drawn.
        seed: of masks and trainings.
    """
    rng = np.random.default_rng([seed, 0x5A5E])
    drawn = [node_mask(make(), sparsity, rng) for _ in range(candidates)]
    losses = np.array([_loss(masked(make(), m), task) for m in drawn])

    def trained(masks: Mapping[str, Tensor]) -> dict[str, float]:
        net = masked(make(), masks)
        train(net, task, recipe, seed=seed)
        return evaluate(net, task, "test")

    return RandomSparse(trained(drawn[int(losses.argmin())]), trained(drawn[0]), losses)


@dataclass(frozen=True)
class BesideRandom:
    """What a sparse method reached, never without random masks at the same sparsity.

    Attributes:
        name: of the method.
        sparsity: of its weights; the share of zero nodes in the random masks.
        metrics: of its network on the test part.
        random: on the same architecture, trained with the same recipe.
    """

    name: str
    sparsity: float
    metrics: Mapping[str, float]
    random: RandomSparse

    def line(self, metric: str) -> str:
        """The comparison in words."""
        return (
            f"{self.name} at {100 * self.sparsity:g} % sparsity: {metric} {self.metrics[metric]:.4g}; random masks: "
            f"{self.random.chosen[metric]:.4g} the best of {len(self.random.losses)} by first loss, "
            f"{self.random.first[metric]:.4g} the first"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "method": self.name,
            "sparsity": self.sparsity,
            "metrics": dict(self.metrics),
            "random_chosen": self.random.chosen,
            "random_first": self.random.first,
        }


def beside_random(
    name: str,
    metrics: Mapping[str, float],
    make: Callable[[], nn.Module],
    task: Task,
    recipe: Recipe,
    sparsity: float,
    *,
    candidates: int = 20,
    seed: int = 0,
) -> BesideRandom:
    """The metrics of any sparse method's network beside random masks; what reports of sparse methods are made of.

    Args:
        name: of the method.
        metrics: of its network on the test part.
        make: a fresh network of the architecture that it found, the same at every call.
        task: data, loss and metrics.
        recipe: that its network was trained with.
        sparsity: of its network.
        candidates: masks that are drawn.
        seed: of masks and trainings.
    """
    return BesideRandom(
        name, sparsity, metrics, random_sparse(make, task, recipe, sparsity, candidates=candidates, seed=seed)
    )


@torch.no_grad()
def _loss(net: nn.Module, task: Task) -> float:
    """Mean loss on the training part, batch norms over each batch as at the first step of a training."""
    total = sum(float(task.loss(net(x), y)) * len(y) for x, y in task.train.batches(256))
    return total / len(task.train)
