"""Any shape to features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import one, tally
from archwright.registry import register


@register("operators", "flatten", labels={"family": "shape"})
@dataclass(frozen=True)
class Flatten(Leaf):
    """All axes in one: (C, H, W) -> (C*H*W,)."""

    def layer(self, *inputs: Shape) -> Layer:
        """Flatten of torch."""
        one(self, inputs)
        return Layer(nn.Flatten, {})

    def output(self, *inputs: Shape) -> Shape:
        """(product of the sizes,)."""
        return (math.prod(one(self, inputs)),)

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """An image and features."""
        return [(cls(), ((2, 3, 4),)), (cls(), ((5,),))]
