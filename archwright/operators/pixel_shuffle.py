"""Channels to positions: the up-sampling of super-resolution networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import positive, ranked, tally
from archwright.registry import register


@register("operators", "pixel_shuffle", labels={"family": "rearrangement"})
@dataclass(frozen=True)
class PixelShuffle(Leaf):
    """(C f^2, H, W) to (C, f H, f W): f^2 neighbouring channels make a square (Shi et al., 2016, equation 4)."""

    kind: ClassVar[str] = "group"  # neighbouring channels belong together: their order matters

    factor: int = 2

    def layer(self, *inputs: Shape) -> Layer:
        """`PixelShuffle` of torch."""
        self.output(*inputs)
        return Layer(nn.PixelShuffle, {"upscale_factor": self.factor})

    def output(self, *inputs: Shape) -> Shape:
        """(channels / factor^2, factor x height, factor x width)."""
        channels, height, width = ranked(self, inputs, 3)
        positive(self, "factor")
        if channels % self.factor**2:
            raise SpaceError(
                f"PixelShuffle by {self.factor} needs channels divisible by {self.factor**2}, got {channels}; give the "
                f"convolution before it {self.factor**2} times the channels that are wanted"
            )
        return channels // self.factor**2, self.factor * height, self.factor * width

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Two factors."""
        return [(cls(), ((12, 4, 5),)), (cls(3), ((9, 3, 2),))]
