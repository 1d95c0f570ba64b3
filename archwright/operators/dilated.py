"""Dilated depthwise separable convolution of DARTS."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.depthwise_separable import ActDepthwisePointwise
from archwright.operators.rules import activation_class, convolved, image, lean, tally
from archwright.registry import register


@register("operators", "dilated", labels={"family": "convolution"})
@dataclass(frozen=True)
class Dilated(Leaf):
    """Activation, dilated depthwise convolution, 1x1 convolution, norm (Liu et al., 2019, section 3.1)."""

    elastic: ClassVar[frozenset[str]] = frozenset({"channels", "kernel"})

    channels: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 2
    activation: str = "relu"
    affine: bool = True

    def layer(self, *inputs: Shape) -> Layer:
        """`ActDepthwisePointwise` once."""
        self.output(*inputs)
        channels, sizes = image(self, inputs)
        return lean(
            ActDepthwisePointwise,
            in_channels=channels,
            out_channels=self.channels,
            kernel=self.kernel,
            stride=self.stride,
            dilation=self.dilation,
            affine=self.affine,
            activation=activation_class(self, self.activation),
            dims=len(sizes),
        )

    def output(self, *inputs: Shape) -> Shape:
        """(channels, positions...)."""
        return convolved(self, inputs, "dilation", dilation=self.dilation)

    def counts(self, *inputs: Shape) -> Counts:
        """Both convolutions work at the output size."""
        output = self.output(*inputs)
        channels, sizes = image(self, inputs)
        weights = channels * (self.kernel ** len(sizes) + self.channels)
        return tally(
            output,
            params=weights + 2 * self.channels * self.affine,
            macs=weights * math.prod(output[1:]),
            buffers=2 * self.channels,
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Depthwise on the input channels."""
        return {"first.1.weight": ("in", None)}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Images and series."""
        return [(cls(8), ((6, 9, 8),)), (cls(8, kernel=5, stride=2, affine=False), ((4, 11),))]
