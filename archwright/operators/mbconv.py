"""Inverted residual with a depthwise convolution, the block of MobileNetV2, V3 and their descendants."""

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


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, optional channel gate, 1x1 projection, optional identity."""

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
        expansion: bool = True,
        identity: bool = False,
        dims: int = 2,
    ) -> None:
        super().__init__()
        conv, norm, act = getattr(nn, f"Conv{dims}d"), getattr(nn, f"BatchNorm{dims}d"), getattr(nn, activation)
        self.expand: nn.Module = nn.Identity()
        if expansion:
            self.expand = nn.Sequential(conv(in_channels, hidden, 1, bias=False), norm(hidden), act())
        self.depthwise = nn.Sequential(
            conv(hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False), norm(hidden), act()
        )
        self.se = ChannelGate(hidden, squeezed, gate=gate) if squeezed else nn.Identity()
        self.project = nn.Sequential(conv(hidden, out_channels, 1, bias=False), norm(out_channels))
        self.identity = identity

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, in, ...) -> (b, out, ...)."""
        y = self.project(self.se(self.depthwise(self.expand(x))))
        return x + y if self.identity else y


@register("operators", "mbconv", labels={"family": "convolution"})
@dataclass(frozen=True)
class MBConv(Leaf):
    """Inverted residual (Sandler et al., 2018, section 3.3); with squeeze-and-excitation where `se` > 0.

    The input is added where stride is 1 and input and output have equally many channels, unless `residual` is False.
    `se` is the share of the hidden channels that the gate keeps (Howard et al., 2019). With `expand` exactly 1 there is
    no expansion convolution, as published; an elastic `expand` must therefore have all its choices above 1.
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"channels", "kernel", "expand"})

    channels: int
    kernel: int = 3
    stride: int = 1
    expand: float = 4
    se: float = 0.0
    activation: str = "relu6"
    gate: str = "sigmoid"
    residual: bool = True

    def _hidden(self, channels: int) -> tuple[int, int]:
        hidden = scaled(channels, self.expand)
        return hidden, scaled(hidden, self.se) if self.se else 0

    def layer(self, *inputs: Shape) -> Layer:
        """`InvertedResidual` for the rank of the input."""
        self.output(*inputs)
        channels, sizes = image(self, inputs)
        hidden, squeezed = self._hidden(channels)
        return lean(
            InvertedResidual,
            in_channels=channels,
            hidden=hidden,
            out_channels=self.channels,
            kernel=self.kernel,
            stride=self.stride,
            squeezed=squeezed,
            activation=activation_class(self, self.activation),
            gate=activation_class(self, self.gate),
            expansion=self.expand != 1,
            identity=self.residual and self.stride == 1 and channels == self.channels,
            dims=len(sizes),
        )

    def output(self, *inputs: Shape) -> Shape:
        """(channels, positions...)."""
        return convolved(self, inputs)

    def counts(self, *inputs: Shape) -> Counts:
        """Expansion at the input size, the rest at the output size."""
        output = self.output(*inputs)
        channels, sizes = image(self, inputs)
        hidden, squeezed = self._hidden(channels)
        positions = math.prod(output[1:])
        depthwise, project = hidden * self.kernel ** len(sizes), hidden * self.channels
        expand = channels * hidden if self.expand != 1 else 0
        scales = 2 * (self.channels + hidden * (2 if expand else 1))  # batch norms: as many buffers as parameters
        gate = gate_params(hidden, squeezed) if squeezed else 0
        return tally(
            output,
            params=expand + depthwise + project + scales + gate,
            macs=expand * math.prod(sizes) + (depthwise + project) * positions + 2 * hidden * squeezed,
            buffers=scales,
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """The hidden channels are one axis; without expansion they are the input's."""
        hidden = "hidden" if self.expand != 1 else "in"
        return {
            "expand.0.weight": (hidden, "in"),
            **norm_axes("expand.1", hidden),
            "depthwise.0.weight": (hidden, None),
            **norm_axes("depthwise.1", hidden),
            **gate_axes("se.", hidden),
            "project.0.weight": ("out", hidden),
        }

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """With and without identity, gate and expansion."""
        return [
            (cls(8, expand=4), ((8, 7, 6),)),
            (cls(8, kernel=5, stride=2, expand=6, se=0.25, activation="hswish", gate="hsigmoid"), ((4, 9, 9),)),
            (cls(8, expand=1), ((4, 6, 6),)),
            (cls(8, expand=3), ((8, 9),)),
            (cls(8, expand=2, residual=False), ((8, 5, 5),)),
        ]
