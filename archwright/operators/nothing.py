"""What a state that leaves a cell unseen becomes: an image without channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from archwright.operators.base import Composite, Counts, Example, Layer, Leaf, Run, Shape
from archwright.operators.rules import image, tally
from archwright.registry import register


class NoChannels(nn.Module):
    """Takes no channel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, ...) -> (b, 0, ...)."""
        return x[:, :0]


@register("operators", "nothing", labels={"family": "shape", "gradient": False})
@dataclass(frozen=True)
class Nothing(Leaf):
    """Zero channels of an image; beside others in a concatenation it is not there."""

    def layer(self, *inputs: Shape) -> Layer:
        """`NoChannels`."""
        self.output(*inputs)
        return Layer(NoChannels, {})

    def output(self, *inputs: Shape) -> Shape:
        """(0, positions...)."""
        return (0, *image(self, inputs)[1])

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing at all."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Image and series."""
        return [(cls(), ((3, 4, 4),)), (cls(), ((3, 4),))]


@register("operators", "unless_read", labels={"family": "composite"})
@dataclass(frozen=True)
class UnlessRead(Composite):
    """A state as it is, or nothing if one of `sources` is its number.

    A chain of these finds the states that no node of a cell reads, each with the few decisions of one node.
    """

    state: int
    sources: tuple[int, ...]

    def flow(self, run: Run, *inputs: Any) -> Any:
        """(C, ...) -> (C, ...) or (0, ...)."""
        return run(self.inner("nothing", Nothing()), *inputs) if self.state in self.sources else inputs[0]

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """A state that is read by a later node."""
        return [(cls(2, (2, 1)), ((3, 4, 4),))]
