"""Stochastic depth: whole values dropped at random while training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import one, probability, tally
from archwright.registry import register


class PathDropout(nn.Module):
    """Drops each example's value with `rate * progress` while training; the rest is scaled up.

    `progress` rises from 0 to 1 over the training (ScheduledDropPath, Zoph et al., 2018, section 3); it is 1 unless
    somebody sets it.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.progress = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, ...) -> (b, ...)."""
        rate = self.rate * self.progress
        if not self.training or rate == 0.0:
            return x
        kept = torch.rand((x.shape[0],) + (1,) * (x.dim() - 1), device=x.device) >= rate
        return x * kept.to(x.dtype) / (1.0 - rate)


def set_progress(net: nn.Module, progress: float) -> None:
    """Tell every path dropout in a network how much of the training is over, in [0, 1]."""
    for module in net.modules():
        if isinstance(module, PathDropout):
            module.progress = progress


@register("operators", "drop_path", labels={"family": "regularisation"})
@dataclass(frozen=True)
class DropPath(Leaf):
    """Drop path (Larsson et al., 2017, section 3) with probability `rate` at the end of the training."""

    rate: float = 0.2

    def layer(self, *inputs: Shape) -> Layer:
        """`PathDropout`."""
        self.output(*inputs)
        return Layer(PathDropout, {"rate": self.rate})

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        probability(self, "rate")
        return one(self, inputs)

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """An image and tokens."""
        return [(cls(), ((4, 5, 5),)), (cls(0.0), ((5, 4),))]
