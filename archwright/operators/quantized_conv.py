"""Convolution at few bits, which may be a choice; rounding is a noise while candidates are mixed (QuantNAS).

Shvetsov et al., "QuantNAS for super resolution: searching for efficient quantization-friendly architectures against
quantization noise", 2022, section 3.2: rounding to bits is replaced by uniform noise of the same step, so that all
bits of a choice take one call: the step of the mixture is the weighted sum of the options' steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.formats import Format
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.conv import Conv
from archwright.operators.rules import activation_class, image, lean, member, positive, same_padding
from archwright.registry import register


class QuantizedConvNormAct(nn.Module):
    """Convolution of rounded weights with rounded inputs, norm, activation, or activation first; straight through.

    With `mixed`, weights and inputs get uniform noise instead while training, of the weighted sum of several bits'
    steps; in evaluation the weighted sum of the roundings.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        bits: int = 8,
        groups: int = 1,
        norm: str = "batch",
        activation: str = "ReLU",
        activation_first: bool = False,
        dims: int = 2,
    ) -> None:
        super().__init__()
        conv = getattr(nn, f"Conv{dims}d")
        self.conv = conv(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=norm == "none")
        self.norm = getattr(nn, f"BatchNorm{dims}d")(out_channels) if norm == "batch" else nn.Identity()
        self.act = getattr(nn, activation)()
        self.activation_first = activation_first
        self.bits = bits
        self.mixed = None  # (bits, shares) of the options of a mixture

    def peak(self, x: torch.Tensor) -> torch.Tensor:
        """Largest magnitude of each example or output channel, (n, 1, ...)."""
        return x.detach().abs().amax(tuple(range(1, x.dim())), keepdim=True).clamp_min(1e-8)

    def step(self, x: torch.Tensor, bits: int) -> torch.Tensor:
        """Step of a symmetric grid of `bits` bits over the range of each example or output channel, (n, 1, ...)."""
        return self.peak(x) / (2 ** (bits - 1) - 1)

    def rounded(self, x: torch.Tensor) -> torch.Tensor:
        """On the grid, or with the noise of the mixed grids; the gradient is that of the identity."""
        if self.mixed is None:
            return x + self.error(x, self.bits)
        bits, shares = self.mixed
        if not self.training:
            return x + sum(share * self.error(x, b) for b, share in zip(bits, shares, strict=True))
        scale = sum(share / (2 ** (b - 1) - 1) for b, share in zip(bits, shares, strict=True))
        return torch.addcmul(x, self.noise(x), self.peak(x) * scale)

    def noise(self, x: torch.Tensor) -> torch.Tensor:
        """Uniform in (-1/2, 1/2) in steps of 1/256, laid out as x; random bytes take less time than floats."""
        count = x.numel()
        drawn = torch.empty(-(-count // 8), dtype=torch.int64, device=x.device).random_(-(2**63), None)
        values = (drawn.view(torch.int8)[:count].to(x.dtype) + 0.5) / 256
        return values.as_strided(x.shape, torch.empty_like(x).stride())

    def error(self, x: torch.Tensor, bits: int) -> torch.Tensor:
        """What rounding adds, without a gradient."""
        step = self.step(x, bits)
        return (torch.round(x / step) * step - x).detach()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, in, ...) -> (b, out, ...)."""
        conv, x = self.conv, self.act(x) if self.activation_first else x
        run = (nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d)[x.dim() - 3]
        weight = self.rounded(conv.weight)
        y = self.norm(run(self.rounded(x), weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups))
        return y if self.activation_first else self.act(y)


@register("operators", "quantized_conv", labels={"family": "convolution"})
@dataclass(frozen=True)
class QuantizedConv(Leaf):
    """`Conv` whose weights and inputs have `bits` bits; all choices of bits share the weights.

    `norm` is `batch`, or `none`, which has a bias of full precision in its place.
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"channels", "kernel", "bits"})
    mixes: ClassVar[str] = "bits"  # mixtures tell the module the shares of this field's options

    channels: int
    kernel: int = 3
    stride: int = 1
    bits: int = 8
    activation: str = "relu"
    groups: int = 1
    norm: str = "batch"
    activation_first: bool = False

    def layer(self, *inputs: Shape) -> Layer:
        """`QuantizedConvNormAct` for the rank of the input."""
        self.output(*inputs)
        channels, sizes = image(self, inputs)
        return lean(
            QuantizedConvNormAct,
            in_channels=channels,
            out_channels=self.channels,
            kernel=self.kernel,
            stride=self.stride,
            padding=same_padding(self.kernel),
            bits=self.bits,
            groups=self.groups,
            norm=self.norm,
            activation=activation_class(self, self.activation),
            activation_first=self.activation_first,
            dims=len(sizes),
        )

    def _like(self) -> Conv:
        return Conv(
            self.channels,
            self.kernel,
            self.stride,
            groups=self.groups,
            norm=self.norm,
            activation=self.activation,
            activation_first=self.activation_first,
        )

    def output(self, *inputs: Shape) -> Shape:
        """(channels, positions...)."""
        positive(self, "bits")
        member(self, "norm", self.norm, ("batch", "none"))
        if not 2 <= self.bits <= 16:
            raise SpaceError(f"bits of QuantizedConv lie in 2..16, got {self.bits}")
        return self._like().output(*inputs)

    def formats(self) -> Mapping[str, Format]:
        """Integers with one scale an output channel."""
        return {"conv.weight": Format(f"int{self.bits}", self.bits, 0, self.bits - 1, -1, "f32")}

    def operand_bits(self) -> tuple[int, int]:
        """The same for both."""
        return self.bits, self.bits

    def counts(self, *inputs: Shape) -> Counts:
        """Those of the convolution; bytes are of float32 values, bit operations have a cost of their own."""
        return self._like().counts(*inputs)

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """As those of the convolution."""
        return self._like().axes()

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Images and series, many and few bits, groups, activation first."""
        return [
            (cls(8), ((6, 9, 7),)),
            (cls(8, kernel=5, stride=2, bits=4), ((6, 9, 9),)),
            (cls(4, bits=2, activation="gelu"), ((3, 11),)),
            (cls(8, groups=2, norm="none", activation_first=True), ((4, 6, 5),)),
        ]
