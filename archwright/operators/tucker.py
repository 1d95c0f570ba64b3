"""Tucker convolution of MobileDets: a full convolution between two low-rank ones."""

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


class TuckerConvolution(nn.Module):
    """1x1 compression, full convolution, 1x1 projection, optional identity."""

    def __init__(
        self,
        in_channels: int,
        compressed: int,
        hidden: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        activation: str = "ReLU6",
        identity: bool = False,
        dims: int = 2,
    ) -> None:
        super().__init__()
        conv, norm, act = getattr(nn, f"Conv{dims}d"), getattr(nn, f"BatchNorm{dims}d"), getattr(nn, activation)
        self.compress = nn.Sequential(conv(in_channels, compressed, 1, bias=False), norm(compressed), act())
        self.core = nn.Sequential(
            conv(compressed, hidden, kernel, stride, kernel // 2, bias=False), norm(hidden), act()
        )
        self.project = nn.Sequential(conv(hidden, out_channels, 1, bias=False), norm(out_channels))
        self.identity = identity

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, in, ...) -> (b, out, ...)."""
        y = self.project(self.core(self.compress(x)))
        return x + y if self.identity else y


def in_steps(channels: int, ratio: float, step: int = 8) -> int:
    """A share of a channel count, rounded half up to a multiple of `step`, at least one step."""
    return max(step, step * int(channels * ratio / step + 0.5))


@register("operators", "tucker", labels={"family": "convolution"})
@dataclass(frozen=True)
class Tucker(Leaf):
    """Generalised bottleneck (Xiong et al., 2021, MobileDets, section 3.2).

    1x1 to `compress` x input channels, kernel x kernel to `expand` x output channels, 1x1 to the output channels; inner
    sizes are multiples of 8. The input is added where stride is 1 and input and output have equally many channels.
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"channels", "kernel", "compress", "expand"})

    channels: int
    kernel: int = 3
    stride: int = 1
    compress: float = 0.25
    expand: float = 0.75
    activation: str = "relu6"

    def layer(self, *inputs: Shape) -> Layer:
        """`TuckerConvolution` for the rank of the input."""
        self.output(*inputs)
        channels, sizes = image(self, inputs)
        return lean(
            TuckerConvolution,
            in_channels=channels,
            compressed=in_steps(channels, self.compress),
            hidden=in_steps(self.channels, self.expand),
            out_channels=self.channels,
            kernel=self.kernel,
            stride=self.stride,
            activation=activation_class(self, self.activation),
            identity=self.stride == 1 and channels == self.channels,
            dims=len(sizes),
        )

    def output(self, *inputs: Shape) -> Shape:
        """(channels, positions...)."""
        return convolved(self, inputs)

    def counts(self, *inputs: Shape) -> Counts:
        """Compression at the input size, the rest at the output size."""
        output = self.output(*inputs)
        channels, sizes = image(self, inputs)
        compressed, hidden = in_steps(channels, self.compress), in_steps(self.channels, self.expand)
        compress, rest = channels * compressed, hidden * (compressed * self.kernel ** len(sizes) + self.channels)
        scales = 2 * (compressed + hidden + self.channels)
        return tally(
            output,
            params=compress + rest + scales,
            macs=compress * math.prod(sizes) + rest * math.prod(output[1:]),
            buffers=scales,
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Two inner axes."""
        return {
            "compress.0.weight": ("compressed", "in"),
            **norm_axes("compress.1", "compressed"),
            "core.0.weight": ("hidden", "compressed"),
            **norm_axes("core.1", "hidden"),
            "project.0.weight": ("out", "hidden"),
        }

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """With and without identity."""
        return [
            (cls(16), ((16, 7, 6),)),
            (cls(48, kernel=5, stride=2, compress=0.75), ((32, 9, 9),)),
            (cls(16, activation="hswish"), ((8, 9),)),
        ]
