"""Masks over the weights of a network or supernet: what every method of unstructured sparsity shares.

A `Masks` is a module beside the network. Within `masking` the masked tensors stand in for the weights of all
convolutions and linear maps, so that passes and their gradients see them; the weights themselves stay whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

MASKED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class Masks(nn.Module, ABC):
    """What a rule of sparsity remembers or learns about a network's weights.

    Args:
        net: whose convolutions and linear maps may be masked.
        sparsity: share of each weight tensor that is zero at the end.
    """

    def __init__(self, net: nn.Module, sparsity: float) -> None:
        super().__init__()
        self.sparsity = sparsity
        self.names = [f"{name}.weight" for name, m in net.named_modules() if isinstance(m, MASKED)]

    @contextmanager
    def masking(self, net: nn.Module, progress: float) -> Iterator[None]:
        """Masked tensors stand in for the weights.

        Args:
            net: the network, or a copy of it.
            progress: share of the training or search that is over.
        """
        self.advance(net, progress)
        places: list[tuple[dict[str, Any], Tensor]] = []
        try:
            for i, name in enumerate(self.names):
                place: dict[str, Any] = net.get_submodule(name.rpartition(".")[0])._parameters
                weight = place["weight"]
                masked = self.masked(i, weight, progress)
                if masked is not weight:
                    places.append((place, weight))
                    place["weight"] = masked
            yield
        finally:
            for place, weight in places:
                place["weight"] = weight

    def advance(self, net: nn.Module, progress: float) -> None:
        """Called before each pass: what is due at this progress, such as a first mask."""

    @abstractmethod
    def masked(self, index: int, weight: Tensor, progress: float) -> Tensor:
        """What stands in for weight `names[index]`; the weight itself where it is not masked now."""

    @torch.no_grad()
    def settle(self, net: nn.Module) -> None:
        """Write the masks of the end into the weights, in place."""
        self.advance(net, 1.0)
        for i, name in enumerate(self.names):
            weight = net.get_parameter(name)
            weight.copy_(self.masked(i, weight, 1.0))


def largest(values: Tensor, sparsity: float) -> Tensor:
    """A mask of ones at the largest values of a tensor; one at least."""
    flat = values.detach().flatten()
    kept = max(1, round((1.0 - sparsity) * flat.numel()))
    return torch.zeros_like(flat).index_fill_(0, flat.topk(kept, sorted=False).indices, 1.0).view_as(values)


def magnitude_masks(net: nn.Module, sparsity: float) -> dict[str, Tensor]:
    """Name of a layer -> mask of its weight that keeps the largest magnitudes of each tensor."""
    return {name: largest(m.weight.abs(), sparsity) for name, m in net.named_modules() if isinstance(m, MASKED)}


def masks_of(net: nn.Module) -> dict[str, Tensor]:
    """Name of a layer -> mask of the weights that are not zero."""
    return {name: (m.weight != 0).float() for name, m in net.named_modules() if isinstance(m, MASKED)}


def zero_share(net: nn.Module) -> float:
    """Share of zeros among the weights that masks may cover."""
    weights = [m.weight for m in net.modules() if isinstance(m, MASKED)]
    return sum(int((w == 0).sum()) for w in weights) / max(1, sum(w.numel() for w in weights))


__all__ = ["MASKED", "Masks", "largest", "magnitude_masks", "masks_of", "zero_share"]
