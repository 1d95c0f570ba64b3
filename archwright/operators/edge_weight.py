"""A place where a mixture weighs a whole edge; in a network it does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import one, tally
from archwright.registry import register


@register("operators", "edge_weight", labels={"family": "connection"})
@dataclass(frozen=True)
class EdgeWeight(Leaf):
    """Identity; in a supernet's mixture times `weights[vector][index]` (PC-DARTS, Xu et al., 2020, equation 4)."""

    vector: str
    index: int
    count: int

    def layer(self, *inputs: Shape) -> Layer:
        """Identity."""
        return Layer(nn.Identity, {})

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        return one(self, inputs)

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """One edge of two."""
        return [(cls("edges", 0, 2), ((4, 5, 5),))]
