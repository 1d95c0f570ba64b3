"""The first tokens or channels alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import one, positive, tally
from archwright.registry import register


class Leading(nn.Module):
    """The first entries along the first axis of each example."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, n, ...) -> (b, count, ...)."""
        return x[:, : self.count]


@register("operators", "first_rows", labels={"family": "shape"})
@dataclass(frozen=True)
class FirstRows(Leaf):
    """The first `count` tokens of (L, D), series of (C, L), or channels."""

    count: int

    def layer(self, *inputs: Shape) -> Layer:
        """`Leading`."""
        self.output(*inputs)
        return Layer(Leading, {"count": self.count})

    def output(self, *inputs: Shape) -> Shape:
        """(count, ...)."""
        first, *rest = one(self, inputs)
        positive(self, "count")
        if self.count > first:
            raise SpaceError(f"count of FirstRows must be at most the {first} rows of its input, got {self.count}")
        return (self.count, *rest)

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Tokens and features."""
        return [(cls(2), ((5, 8),)), (cls(3), ((6,),))]
