"""Depthwise separable convolution: a filter for each channel, then a 1x1 convolution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import (
    activation_class,
    convolved,
    image,
    lean,
    norm_axes,
    tally,
)
from archwright.registry import register


class DepthwisePointwise(nn.Module):
    """Depthwise convolution, norm, activation, 1x1 convolution, norm, activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        affine: bool = True,
        activation: str = "ReLU",
        dims: int = 2,
    ) -> None:
        super().__init__()
        conv, norm = getattr(nn, f"Conv{dims}d"), getattr(nn, f"BatchNorm{dims}d")
        self.depthwise = conv(in_channels, in_channels, kernel, stride, kernel // 2, groups=in_channels, bias=False)
        self.norm1 = norm(in_channels, affine=affine)
        self.pointwise = conv(in_channels, out_channels, 1, bias=False)
        self.norm2 = norm(out_channels, affine=affine)
        self.act = getattr(nn, activation)()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, in, ...) -> (b, out, ...)."""
        x = self.act(self.norm1(self.depthwise(x)))
        return self.act(self.norm2(self.pointwise(x)))


class ActDepthwisePointwise(nn.Module):
    """Activation, depthwise convolution, 1x1 convolution, norm; with `twice` two of them, the first one strided."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        twice: bool = False,
        affine: bool = True,
        activation: str = "ReLU",
        dims: int = 2,
    ) -> None:
        super().__init__()
        conv, norm, act = getattr(nn, f"Conv{dims}d"), getattr(nn, f"BatchNorm{dims}d"), getattr(nn, activation)
        middle = in_channels if twice else out_channels
        padding = dilation * (kernel // 2)
        self.first = nn.Sequential(
            act(),
            conv(in_channels, in_channels, kernel, stride, padding, dilation, groups=in_channels, bias=False),
            conv(in_channels, middle, 1, bias=False),
            norm(middle, affine=affine),
        )
        self.second: nn.Module = nn.Identity()
        if twice:
            self.second = nn.Sequential(
                act(),
                conv(middle, middle, kernel, 1, padding, dilation, groups=middle, bias=False),
                conv(middle, out_channels, 1, bias=False),
                norm(out_channels, affine=affine),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, in, ...) -> (b, out, ...)."""
        return self.second(self.first(x))


@register("operators", "depthwise_separable", labels={"family": "convolution"})
@dataclass(frozen=True)
class DepthwiseSeparable(Leaf):
    """Depthwise-norm-activation-pointwise-norm-activation of MobileNet (Howard et al., 2017, section 3.1).

    `twice` gives the separable convolution of NASNet (Zoph et al., 2018) and DARTS (Liu et al., 2019): twice
    activation-depthwise-pointwise-norm.
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"channels", "kernel"})

    channels: int
    kernel: int = 3
    stride: int = 1
    twice: bool = False
    activation: str = "relu"
    affine: bool = True

    def layer(self, *inputs: Shape) -> Layer:
        """`DepthwisePointwise`, or `ActDepthwisePointwise` twice."""
        self.output(*inputs)
        channels, sizes = image(self, inputs)
        return lean(
            ActDepthwisePointwise if self.twice else DepthwisePointwise,
            in_channels=channels,
            out_channels=self.channels,
            kernel=self.kernel,
            stride=self.stride,
            affine=self.affine,
            activation=activation_class(self, self.activation),
            dims=len(sizes),
            **({"twice": True} if self.twice else {}),
        )

    def output(self, *inputs: Shape) -> Shape:
        """(channels, positions...)."""
        return convolved(self, inputs)

    def counts(self, *inputs: Shape) -> Counts:
        """All convolutions work at the output size."""
        output = self.output(*inputs)
        channels, sizes = image(self, inputs)
        weights = channels * (self.kernel ** len(sizes) + self.channels)
        if self.twice:
            weights += channels * (self.kernel ** len(sizes) + channels)
        scales = 2 * (channels + self.channels)
        return tally(
            output,
            params=weights + scales * self.affine,
            macs=weights * math.prod(output[1:]),
            buffers=scales,
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """The channels between the two halves of `twice` are an axis of their own."""
        if not self.twice:
            return {"depthwise.weight": ("in", None), **norm_axes("norm1", "in")}
        return {
            "first.1.weight": ("in", None),
            "first.2.weight": ("middle", "in"),
            **norm_axes("first.3", "middle"),
            "second.1.weight": ("middle", None),
            "second.2.weight": ("out", "middle"),
        }

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Once and twice."""
        return [
            (cls(8), ((6, 7, 6),)),
            (cls(8, kernel=5, stride=2, twice=True, affine=False), ((6, 7, 7),)),
            (cls(8, twice=True, activation="silu"), ((4, 9),)),
        ]
