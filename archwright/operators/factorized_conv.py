"""A wide convolution as two narrow ones, 1 x k and k x 1 (NASNet)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import lean, norm_axes, odd, positive, ranked, tally, windows
from archwright.registry import register


class RowThenColumn(nn.Module):
    """ReLU, 1 x k convolution, norm, ReLU, k x 1 convolution, norm; each strides along its own axis."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, affine: bool = True) -> None:
        super().__init__()
        pad = kernel // 2
        self.row = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, (1, kernel), (1, stride), (0, pad), bias=False),
            nn.BatchNorm2d(out_channels, affine=affine),
        )
        self.column = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, (kernel, 1), (stride, 1), (pad, 0), bias=False),
            nn.BatchNorm2d(out_channels, affine=affine),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, in, h, w) -> (b, out, h', w')."""
        return self.column(self.row(x))


@register("operators", "factorized_conv", labels={"family": "convolution"})
@dataclass(frozen=True)
class FactorizedConv(Leaf):
    """1 x k then k x 1 convolution of images (Zoph et al., 2018, "NASNet", section 3.1)."""

    elastic: ClassVar[frozenset[str]] = frozenset({"channels"})

    channels: int
    kernel: int = 7
    stride: int = 1
    affine: bool = True

    def layer(self, *inputs: Shape) -> Layer:
        """`RowThenColumn`."""
        self.output(*inputs)
        return lean(
            RowThenColumn,
            in_channels=inputs[0][0],
            out_channels=self.channels,
            kernel=self.kernel,
            stride=self.stride,
            affine=self.affine,
        )

    def output(self, *inputs: Shape) -> Shape:
        """(channels, h', w')."""
        _, *sizes = ranked(self, inputs, 3)
        positive(self, "channels", "stride")
        odd(self, self.kernel)
        return (self.channels, *windows(self, tuple(sizes), self.kernel, self.stride))

    def counts(self, *inputs: Shape) -> Counts:
        """The first convolution works at the full height."""
        output = self.output(*inputs)
        row, column = self.kernel * inputs[0][0] * self.channels, self.kernel * self.channels**2
        scales = 4 * self.channels
        return tally(
            output,
            params=row + column + scales * self.affine,
            macs=row * inputs[0][1] * output[2] + column * math.prod(output[1:]),
            buffers=scales,
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """The channels between the convolutions are an axis of their own."""
        return {
            "row.1.weight": ("middle", "in", None, None),
            **norm_axes("row.2", "middle"),
            "column.1.weight": ("out", "middle", None, None),
        }

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Both published windows."""
        return [(cls(8), ((6, 9, 7),)), (cls(8, kernel=3, stride=2, affine=False), ((4, 7, 6),))]
