"""Sharp separable convolution: two separable convolutions with any number of channels between them (sharpDARTS)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import convolved, image, lean, norm_axes, scaled, tally
from archwright.registry import register


class SharpSeparable(nn.Module):
    """ReLU, depthwise, 1x1, norm to the middle channels; the same again to the output, not strided or dilated."""

    def __init__(
        self,
        in_channels: int,
        middle: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        affine: bool = True,
        dims: int = 2,
    ) -> None:
        super().__init__()
        conv, norm = getattr(nn, f"Conv{dims}d"), getattr(nn, f"BatchNorm{dims}d")
        padding = kernel // 2
        self.first = nn.Sequential(
            nn.ReLU(),
            conv(in_channels, in_channels, kernel, stride, dilation * padding, dilation, in_channels, bias=False),
            conv(in_channels, middle, 1, bias=False),
            norm(middle, affine=affine),
        )
        self.second = nn.Sequential(
            nn.ReLU(),
            conv(middle, middle, kernel, 1, padding, groups=middle, bias=False),
            conv(middle, out_channels, 1, bias=False),
            norm(out_channels, affine=affine),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, in, ...) -> (b, out, ...)."""
        return self.second(self.first(x))


@register("operators", "sharp_sep_conv", labels={"family": "convolution"})
@dataclass(frozen=True)
class SharpSepConv(Leaf):
    """SharpSepConv (Hundt et al., 2019, "sharpDARTS", section 3.1).

    The channels between the halves are `middle`, or `ratio` times the output's: 1 is the plain separable convolution,
    4 the flood, a small fixed `middle` the choke. Stride and dilation act in the first half alone.
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"channels", "kernel", "ratio", "middle"})

    channels: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    ratio: float = 1
    middle: int | None = None
    affine: bool = True

    def _middle(self) -> int:
        return scaled(self.channels, self.ratio) if self.middle is None else self.middle

    def layer(self, *inputs: Shape) -> Layer:
        """`SharpSeparable`."""
        self.output(*inputs)
        channels, sizes = image(self, inputs)
        return lean(
            SharpSeparable,
            in_channels=channels,
            middle=self._middle(),
            out_channels=self.channels,
            kernel=self.kernel,
            stride=self.stride,
            dilation=self.dilation,
            affine=self.affine,
            dims=len(sizes),
        )

    def output(self, *inputs: Shape) -> Shape:
        """(channels, positions...)."""
        given = ("dilation",) if self.middle is None else ("dilation", "middle")
        return convolved(self, inputs, *given, dilation=self.dilation)

    def counts(self, *inputs: Shape) -> Counts:
        """All convolutions work at the output size."""
        output = self.output(*inputs)
        channels, sizes = image(self, inputs)
        middle, window = self._middle(), self.kernel ** len(sizes)
        weights = channels * (window + middle) + middle * (window + self.channels)
        scales = 2 * (middle + self.channels)
        return tally(
            output, params=weights + scales * self.affine, macs=weights * math.prod(output[1:]), buffers=scales
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """The channels between the halves are an axis of their own."""
        return {
            "first.1.weight": ("in", None),
            "first.2.weight": ("middle", "in"),
            **norm_axes("first.3", "middle"),
            "second.1.weight": ("middle", None),
            "second.2.weight": ("out", "middle"),
        }

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Plain, flood, choke, dilated."""
        return [
            (cls(8), ((6, 7, 6),)),
            (cls(8, kernel=5, stride=2, ratio=4, affine=False), ((4, 9, 9),)),
            (cls(8, middle=4, dilation=2), ((6, 9),)),
        ]
