"""Convolution with norm and activation, for series (C, L), images (C, H, W) and volumes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.norm import ChannelNorm
from archwright.operators.rules import activation_class, image, lean, member, positive, same_padding, tally, windows
from archwright.registry import register


class ConvNormAct(nn.Module):
    """Convolution, norm, activation; or activation, convolution, norm."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        norm: str = "batch",
        affine: bool = True,
        activation: str = "ReLU",
        activation_first: bool = False,
        dims: int = 2,
    ) -> None:
        super().__init__()
        conv = getattr(nn, f"Conv{dims}d")
        self.conv = conv(in_channels, out_channels, kernel, stride, padding, dilation, groups, bias)
        self.norm: nn.Module = nn.Identity()
        if norm == "batch":
            self.norm = getattr(nn, f"BatchNorm{dims}d")(out_channels, affine=affine)
        elif norm == "layer":
            self.norm = ChannelNorm(out_channels)
        self.act = getattr(nn, activation)()
        self.activation_first = activation_first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, in, ...) -> (b, out, ...)."""
        if self.activation_first:
            return self.norm(self.conv(self.act(x)))
        return self.act(self.norm(self.conv(x)))


@register("operators", "conv", labels={"family": "convolution"})
@dataclass(frozen=True)
class Conv(Leaf):
    """Convolution, norm and activation in this order, or activation first.

    `activation_first` gives the ReLU-conv-BN of DARTS (Liu et al., 2019) and NAS-Bench-201 (Dong and Yang, 2020).
    `padding` None keeps the size at stride 1; `bias` None means a bias exactly where there is no norm. `norm="layer"`
    normalises over the channels of each position.
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"channels", "kernel"})

    channels: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    norm: str = "batch"
    activation: str = "relu"
    bias: bool | None = None
    activation_first: bool = False
    padding: int | None = None
    affine: bool = True

    def _bias(self) -> bool:
        return self.norm == "none" if self.bias is None else self.bias

    def layer(self, *inputs: Shape) -> Layer:
        """`ConvNormAct` for the rank of the input."""
        self.output(*inputs)
        channels, sizes = image(self, inputs)
        return lean(
            ConvNormAct,
            in_channels=channels,
            out_channels=self.channels,
            kernel=self.kernel,
            stride=self.stride,
            padding=same_padding(self.kernel, self.dilation) if self.padding is None else self.padding,
            dilation=self.dilation,
            groups=self.groups,
            bias=self._bias(),
            norm=self.norm,
            affine=self.affine,
            activation=activation_class(self, self.activation),
            activation_first=self.activation_first,
            dims=len(sizes),
        )

    def output(self, *inputs: Shape) -> Shape:
        """(channels, positions...)."""
        channels, sizes = image(self, inputs)
        positive(self, "channels", "kernel", "stride", "dilation", "groups")
        member(self, "norm", self.norm, ("batch", "layer", "none"))
        if channels % self.groups or self.channels % self.groups:
            raise SpaceError(
                f"groups of Conv must divide its {channels} inputs and {self.channels} outputs, got {self.groups}"
            )
        return (
            self.channels,
            *windows(self, sizes, self.kernel, self.stride, padding=self.padding, dilation=self.dilation),
        )

    def counts(self, *inputs: Shape) -> Counts:
        """One multiply-accumulate for each weight and position."""
        output = self.output(*inputs)
        weights = self.channels * (inputs[0][0] // self.groups) * self.kernel ** (len(output) - 1)
        has_scale = self.norm == "layer" or (self.norm == "batch" and self.affine)
        return tally(
            output,
            params=weights + self.channels * (self._bias() + 2 * has_scale),
            macs=weights * math.prod(output[1:]),
            buffers=2 * self.channels if self.norm == "batch" else 0,
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """As by default; the input channels of a group are not cut."""
        return {"conv.weight": ("out", None)} if self.groups > 1 else {}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Images and series, both orders, every norm."""
        return [
            (cls(8), ((6, 9, 7),)),
            (cls(8, kernel=5, stride=2), ((6, 9, 9),)),
            (cls(8, kernel=5, dilation=2, norm="layer", activation="gelu"), ((6, 11),)),
            (cls(8, norm="none", activation="identity"), ((3, 4, 4),)),
            (cls(8, kernel=1, activation_first=True, affine=False), ((4, 6, 6),)),
            (cls(8, groups=8), ((8, 5, 5),)),
            (cls(8, groups=2, bias=True), ((4, 6, 5),)),
            (cls(8, kernel=2, stride=2, padding=0), ((4, 6, 6),)),
            (cls(4, kernel=3), ((2, 3, 4, 5),)),
        ]
