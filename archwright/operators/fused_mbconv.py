"""Inverted residual whose expansion and depthwise convolution are one full convolution."""

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
    scaled,
    tally,
)
from archwright.operators.squeeze_excite import ChannelGate, gate_axes, gate_params
from archwright.registry import register


class FusedInvertedResidual(nn.Module):
    """Full convolution to the hidden channels, optional channel gate, 1x1 projection, optional identity."""

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        squeezed: int = 0,
        activation: str = "ReLU6",
        gate: str = "Sigmoid",
        projection: bool = True,
        identity: bool = False,
        dims: int = 2,
    ) -> None:
        super().__init__()
        conv, norm, act = getattr(nn, f"Conv{dims}d"), getattr(nn, f"BatchNorm{dims}d"), getattr(nn, activation)
        self.expand = nn.Sequential(
            conv(in_channels, hidden, kernel, stride, kernel // 2, bias=False), norm(hidden), act()
        )
        self.se = ChannelGate(hidden, squeezed, gate=gate) if squeezed else nn.Identity()
        self.project: nn.Module = nn.Identity()
        if projection:
            self.project = nn.Sequential(conv(hidden, out_channels, 1, bias=False), norm(out_channels))
        self.identity = identity

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, in, ...) -> (b, out, ...)."""
        y = self.project(self.se(self.expand(x)))
        return x + y if self.identity else y


@register("operators", "fused_mbconv", labels={"family": "convolution"})
@dataclass(frozen=True)
class FusedMBConv(Leaf):
    """Fused inverted residual (Gupta and Akin, 2020; Xiong et al., 2021, section 3.2).

    The input is added where stride is 1 and input and output have equally many channels. With `expand` exactly 1 one
    convolution straight to the output channels is all there is (Tan and Le, 2021); an elastic `expand` must therefore
    have all its choices above 1.
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"channels", "kernel", "expand"})

    channels: int
    kernel: int = 3
    stride: int = 1
    expand: float = 4
    se: float = 0.0
    activation: str = "relu6"
    gate: str = "sigmoid"

    def _hidden(self, channels: int) -> tuple[int, int]:
        hidden = scaled(channels, self.expand) if self.expand != 1 else self.channels
        return hidden, scaled(hidden, self.se) if self.se else 0

    def layer(self, *inputs: Shape) -> Layer:
        """`FusedInvertedResidual` for the rank of the input."""
        self.output(*inputs)
        channels, sizes = image(self, inputs)
        hidden, squeezed = self._hidden(channels)
        return lean(
            FusedInvertedResidual,
            in_channels=channels,
            hidden=hidden,
            out_channels=self.channels,
            kernel=self.kernel,
            stride=self.stride,
            squeezed=squeezed,
            activation=activation_class(self, self.activation),
            gate=activation_class(self, self.gate),
            projection=self.expand != 1,
            identity=self.stride == 1 and channels == self.channels,
            dims=len(sizes),
        )

    def output(self, *inputs: Shape) -> Shape:
        """(channels, positions...)."""
        return convolved(self, inputs)

    def counts(self, *inputs: Shape) -> Counts:
        """Everything works at the output size."""
        output = self.output(*inputs)
        channels, sizes = image(self, inputs)
        hidden, squeezed = self._hidden(channels)
        project = hidden * self.channels if self.expand != 1 else 0
        weights = channels * hidden * self.kernel ** len(sizes) + project
        scales = 2 * (hidden + (self.channels if project else 0))
        gate = gate_params(hidden, squeezed) if squeezed else 0
        return tally(
            output,
            params=weights + scales + gate,
            macs=weights * math.prod(output[1:]) + 2 * hidden * squeezed,
            buffers=scales,
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """The hidden channels are one axis; without projection they are the output's."""
        hidden = "hidden" if self.expand != 1 else "out"
        norms = norm_axes("expand.1", hidden)
        return {
            "expand.0.weight": (hidden, "in"),
            **norms,
            **gate_axes("se.", hidden),
            "project.0.weight": ("out", hidden),
        }

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """With and without identity, gate and projection."""
        return [
            (cls(8), ((8, 7, 6),)),
            (cls(8, kernel=5, stride=2, expand=6, se=0.25, activation="silu"), ((4, 9, 9),)),
            (cls(8, expand=1), ((4, 6, 6),)),
            (cls(8, expand=3), ((8, 9),)),
        ]
