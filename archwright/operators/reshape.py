"""Another arrangement of the same values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import one, tally
from archwright.registry import register


class Rearranged(nn.Module):
    """The values of each example, in their order, in another shape."""

    def __init__(self, size: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, ...) -> (b, *size)."""
        return x.flatten(1).unflatten(1, self.size)


@register("operators", "reshape", labels={"family": "shape"})
@dataclass(frozen=True)
class Reshape(Leaf):
    """Any shape to `size`, of as many values, in their order.

    Series (C, P * n) to C * P patches of n values as tokens is `Reshape((C * P, n))`.
    """

    size: tuple[int, ...]

    def layer(self, *inputs: Shape) -> Layer:
        """`Rearranged`."""
        return Layer(Rearranged, {"size": self.output(*inputs)})

    def output(self, *inputs: Shape) -> Shape:
        """The size."""
        shape = one(self, inputs)
        if math.prod(shape) != math.prod(self.size):
            raise SpaceError(f"Reshape got {shape}, which has not as many values as its size {self.size}")
        return tuple(self.size)

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Series to patches, and an image to features."""
        return [(cls((6, 4)), ((2, 12),)), (cls((24,)), ((2, 3, 4),))]
