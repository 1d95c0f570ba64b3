"""Skip connection of cell spaces: nothing, or a factorized reduction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.conv import ConvNormAct
from archwright.operators.rules import image, lean, one, tally
from archwright.registry import register


class FactorizedReduce(nn.Module):
    """ReLU, then two 1x1 convolutions of stride 2, one shifted by a position, side by side; batch norm."""

    def __init__(self, in_channels: int, out_channels: int, affine: bool = True, dims: int = 2) -> None:
        super().__init__()
        conv, half = getattr(nn, f"Conv{dims}d"), out_channels // 2
        self.even = conv(in_channels, half, 1, stride=2, bias=False)
        self.odd = conv(in_channels, out_channels - half, 1, stride=2, bias=False)
        self.norm = getattr(nn, f"BatchNorm{dims}d")(out_channels, affine=affine)
        self.dims = dims

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, in, h, w) -> (b, out, ceil(h / 2), ceil(w / 2))."""
        x = nn.functional.relu(x)
        shifted = nn.functional.pad(x, (-1, 1) * self.dims)  # the first position is dropped, a zero follows the last
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))


@register("operators", "skip", labels={"family": "connection"})
@dataclass(frozen=True)
class Skip(Leaf):
    """Identity; with stride 2 the factorized reduction of DARTS (Liu et al., 2019) and NASNet (Zoph et al., 2018).

    `channels` None keeps the input's. With other channels at stride 1 it is ReLU-conv1x1-BN, as in NAS-Bench-201.
    """

    stride: int = 1
    channels: int | None = None
    affine: bool = True

    def _plain(self, inputs: tuple[Shape, ...]) -> bool:
        return self.stride == 1 and self.channels in (None, one(self, inputs)[0])

    def layer(self, *inputs: Shape) -> Layer:
        """Identity, `ConvNormAct` or `FactorizedReduce`."""
        out = self.output(*inputs)[0]
        if self._plain(inputs):
            return Layer(nn.Identity, {})
        channels, sizes = image(self, inputs)
        arguments = {"in_channels": channels, "out_channels": out, "affine": self.affine, "dims": len(sizes)}
        if self.stride == 1:
            return lean(ConvNormAct, **arguments, kernel=1, activation_first=True)
        return lean(FactorizedReduce, **arguments)

    def output(self, *inputs: Shape) -> Shape:
        """The input shape, or (channels, ceil(size / stride)...)."""
        if self.stride not in (1, 2):
            raise SpaceError(f"stride of Skip must be 1 or 2, got {self.stride!r}")
        if self._plain(inputs):
            return inputs[0]
        channels, sizes = image(self, inputs)
        out = channels if self.channels is None else self.channels
        if not isinstance(out, int) or out < self.stride:
            raise SpaceError(f"channels of Skip with stride {self.stride} must be at least {self.stride}, got {out!r}")
        return (out, *(-(-size // self.stride) for size in sizes))

    def counts(self, *inputs: Shape) -> Counts:
        """The 1x1 convolutions, if any."""
        output = self.output(*inputs)
        if self._plain(inputs):
            return tally(output)
        weights, scales = inputs[0][0] * output[0], 2 * output[0]
        return tally(
            output,
            params=weights + scales * self.affine,
            macs=weights * math.prod(output[1:]),
            buffers=scales,
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """The two halves of the output are cut apart."""
        return {"even.weight": ("even", "in"), "odd.weight": ("odd", "in")}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Identity, new channels, reductions of even and odd sizes."""
        return [
            (cls(), ((4, 5, 5),)),
            (cls(channels=6), ((4, 5, 5),)),
            (cls(stride=2), ((4, 6, 6),)),
            (cls(stride=2, channels=7, affine=False), ((4, 7, 5),)),
            (cls(stride=2), ((4, 9),)),
        ]
