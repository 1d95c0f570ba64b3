"""Inverted residual whose 1x1 convolutions may be grouped, with a channel shuffle between them (FBNet)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import (
    activation_class,
    convolved,
    image,
    lean,
    norm_axes,
    scaled,
    tally,
)
from archwright.registry import register


class ShuffledResidual(nn.Module):
    """Grouped 1x1 expansion, channel shuffle, depthwise convolution, grouped 1x1 projection, optional identity."""

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: str = "ReLU",
        identity: bool = False,
        dims: int = 2,
    ) -> None:
        super().__init__()
        conv, norm, act = getattr(nn, f"Conv{dims}d"), getattr(nn, f"BatchNorm{dims}d"), getattr(nn, activation)
        self.expand = nn.Sequential(conv(in_channels, hidden, 1, groups=groups, bias=False), norm(hidden), act())
        self.depthwise = nn.Sequential(
            conv(hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False), norm(hidden), act()
        )
        self.project = nn.Sequential(conv(hidden, out_channels, 1, groups=groups, bias=False), norm(out_channels))
        self.groups, self.identity = groups, identity

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, in, ...) -> (b, out, ...)."""
        y = self.expand(x)
        if self.groups > 1:
            y = y.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)
        y = self.project(self.depthwise(y))
        return x + y if self.identity else y


@register("operators", "grouped_mbconv", labels={"family": "convolution"})
@dataclass(frozen=True)
class GroupedMBConv(Leaf):
    """The block of FBNet (Wu et al., 2019, section 3.1, figure 3).

    Unlike `MBConv` it has its first 1x1 convolution at expansion 1 as well. The input is added where stride is 1 and
    input and output have equally many channels. Grouped channels cannot be cut, so sizes are elastic in one group only.
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"kernel"})

    channels: int
    kernel: int = 3
    stride: int = 1
    expand: float = 1
    groups: int = 1
    activation: str = "relu"

    def layer(self, *inputs: Shape) -> Layer:
        """`ShuffledResidual` for the rank of the input."""
        self.output(*inputs)
        channels, sizes = image(self, inputs)
        return lean(
            ShuffledResidual,
            in_channels=channels,
            hidden=scaled(channels, self.expand),
            out_channels=self.channels,
            kernel=self.kernel,
            stride=self.stride,
            groups=self.groups,
            activation=activation_class(self, self.activation),
            identity=self.stride == 1 and channels == self.channels,
            dims=len(sizes),
        )

    def output(self, *inputs: Shape) -> Shape:
        """(channels, positions...)."""
        channels, _ = image(self, inputs)
        output = convolved(self, inputs, "groups")
        if any(n % self.groups for n in (channels, self.channels, scaled(channels, self.expand))):
            raise SpaceError(
                f"groups of GroupedMBConv must divide its {channels} inputs, {scaled(channels, self.expand)} hidden "
                f"channels and {self.channels} outputs, got {self.groups}"
            )
        return output

    def counts(self, *inputs: Shape) -> Counts:
        """Expansion at the input size, the rest at the output size."""
        output = self.output(*inputs)
        channels, sizes = image(self, inputs)
        hidden = scaled(channels, self.expand)
        expand, project = channels * hidden // self.groups, hidden * self.channels // self.groups
        depthwise, scales = hidden * self.kernel ** len(sizes), 2 * (2 * hidden + self.channels)
        return tally(
            output,
            params=expand + depthwise + project + scales,
            macs=expand * math.prod(sizes) + (depthwise + project) * math.prod(output[1:]),
            buffers=scales,
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """The hidden channels are one axis; the inputs of a group are not cut."""
        hidden = "hidden" if self.groups == 1 else None
        return {
            "expand.0.weight": (hidden, "in" if self.groups == 1 else None),
            **norm_axes("expand.1", hidden),
            "depthwise.0.weight": (hidden, None, "kernel", "kernel"),
            **norm_axes("depthwise.1", hidden),
            "project.0.weight": ("out" if self.groups == 1 else None, hidden),
            **({} if self.groups == 1 else norm_axes("project.1", None)),
        }

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """With and without groups, identity and expansion."""
        return [
            (cls(8), ((8, 7, 6),)),
            (cls(8, kernel=5, stride=2, groups=2), ((4, 9, 9),)),
            (cls(8, expand=3, groups=2), ((8, 9),)),
            (cls(6, kernel=5, expand=6), ((4, 6, 6),)),
        ]
