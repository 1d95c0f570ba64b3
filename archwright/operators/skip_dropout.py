"""Dropout behind the skip connections of a search, whose rate falls as the search goes on (P-DARTS)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import one, probability, tally
from archwright.registry import register


class FadingDropout(nn.Dropout):
    """Drops single values with probability `rate * left`; whoever trains the network lowers the buffer `left`."""

    left: torch.Tensor

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self.register_buffer("left", torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, ...) -> (b, ...)."""
        if not self.training:
            return x
        rate = self.left.to(x.dtype) * self.p
        return x * (torch.rand_like(x) >= rate) / (1.0 - rate)


@register("operators", "skip_dropout", labels={"family": "regularisation"})
@dataclass(frozen=True)
class SkipDropout(Leaf):
    """Dropout of single values behind a skip connection (Chen et al., 2019, "P-DARTS", section 3.3)."""

    rate: float = 0.4

    def layer(self, *inputs: Shape) -> Layer:
        """`FadingDropout`."""
        self.output(*inputs)
        return Layer(FadingDropout, {"rate": self.rate})

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        probability(self, "rate")
        return one(self, inputs)

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs), buffers=1)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """An image and tokens."""
        return [(cls(), ((4, 5, 5),)), (cls(0.0), ((5, 4),))]
