"""Linear map in number formats with shared scales: MXINT, MXFP, NVFP4, NVINT4 and plain integers, as choices.

The formats and their exact grids are those of `archwright/formats.py` (OCP Microscaling Formats 1.0; Chen et al., INT
vs FP, arXiv 2510.25602). Blocks run along the input features, as products sum over them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.formats import Format, number_format
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import positive, ranked, tally
from archwright.registry import register


class FormatLinearLayer(nn.Module):
    """Linear map of rounded inputs by rounded weights; gradients go straight through.

    A format is (bits, exponent bits, mantissa bits, elements that share a scale or 0, "e8m0", "e4m3" or "f32").
    """

    def __init__(self, in_features: int, out_features: int, weights: tuple, inputs: tuple, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias)
        self.weights = weights
        self.inputs = inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, ..., in) -> (b, ..., out)."""
        weight = self.rounded(self.linear.weight[None], *self.weights)[0]
        return nn.functional.linear(self.rounded(x, *self.inputs), weight, self.linear.bias)

    def rounded(self, x: torch.Tensor, bits: int, exponent: int, mantissa: int, block: int, scale: str) -> torch.Tensor:
        """Each x[i] as the format represents that tensor, with the gradient of the identity."""
        y = x.detach()
        if block:
            y = nn.functional.pad(y, (0, -x.shape[-1] % block)).unflatten(-1, (-1, block))
        else:
            y = y.unsqueeze(-2)
        top = 2.0 ** (bits - 1) - 1
        if exponent:  # the last code of E4M3 is no number
            last = 2 ** (mantissa + 1) - 1 - ((exponent, mantissa) == (4, 3))
            top = last * 2.0 ** (2 ** (exponent - 1) - mantissa)
        dims = -1 if block else tuple(range(1, y.dim()))
        peak = y.abs().amax(dims, keepdim=True)
        peak = torch.where(peak > 0, peak, torch.ones_like(peak))
        step = self.scale(peak, top, exponent, scale)
        y = self.nearest(y / step, top, exponent, mantissa) * step
        return x + (y.flatten(-2)[..., : x.shape[-1]] - x).detach()

    def scale(self, peak: torch.Tensor, top: float, exponent: int, scale: str) -> torch.Tensor:
        """Scale of each block as it can be stored, from the block's largest magnitude."""
        if scale == "e8m0":
            power = self.power(peak if exponent else peak / top)
            if exponent:
                power = power - 2 ** (exponent - 1)
            else:  # rounded up, so that nothing is clipped
                power = power + (torch.exp2(power) < peak / top).to(power.dtype)
            return torch.exp2(power.clamp(-127, 127))
        if scale == "e4m3":
            whole = peak.amax(tuple(range(1, peak.dim())), keepdim=True) / top / 448.0
            return self.nearest(peak / top / whole, 448.0, 4, 3).clamp_min(2.0**-9) * whole
        return peak / top

    def power(self, x: torch.Tensor) -> torch.Tensor:
        """Exponent of the largest power of two not above x >= 0, -inf of 0; exact, and ONNX has no frexp."""
        power = torch.log2(x).floor()
        power = power - (torch.exp2(power) > x).to(x.dtype)
        return power + (torch.exp2(power + 1) <= x).to(x.dtype)

    def nearest(self, y: torch.Tensor, top: float, exponent: int, mantissa: int) -> torch.Tensor:
        """Nearest value of the element type, ties to even codes."""
        y = y.clamp(-top, top)
        if not exponent:
            return torch.round(y)
        step = torch.exp2(self.power(y.abs()).clamp_min(2 - 2 ** (exponent - 1)) - mantissa)
        return (torch.round(y / step) * step).clamp(-top, top)


def _literal(f: Format) -> tuple[int, int, int, int, str]:
    return f.bits, f.exponent, f.mantissa, f.block, f.scale


@register("operators", "format_linear", labels={"family": "linear"})
@dataclass(frozen=True)
class FormatLinear(Leaf):
    """Linear map of features (F,) or tokens (L, D) whose `weights` and `inputs` are in named number formats.

    Names are those of `archwright.formats.FORMATS`; either may be a choice.
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"features"})
    kind: ClassVar[str] = "group"  # neighbouring inputs share a scale: their order matters

    features: int
    weights: str = "mxint8"
    inputs: str = "mxint8"
    bias: bool = True

    def output(self, *inputs: Shape) -> Shape:
        """The input shape with `features` in place of its last axis."""
        shape = ranked(self, inputs, 1, 2)
        positive(self, "features")
        number_format(self.weights), number_format(self.inputs)
        return (*shape[:-1], self.features)

    def layer(self, *inputs: Shape) -> Layer:
        """`FormatLinearLayer`."""
        self.output(*inputs)
        return Layer(
            FormatLinearLayer,
            {
                "in_features": inputs[0][-1],
                "out_features": self.features,
                "weights": _literal(number_format(self.weights)),
                "inputs": _literal(number_format(self.inputs)),
                "bias": self.bias,
            },
        )

    def formats(self) -> Mapping[str, Format]:
        """That of the weights; the bias is floating-point."""
        return {"linear.weight": number_format(self.weights)}

    def operand_bits(self) -> tuple[int, int]:
        """Of the elements, without their share of the scales."""
        return number_format(self.weights).bits, number_format(self.inputs).bits

    def counts(self, *inputs: Shape) -> Counts:
        """One multiply-accumulate for each weight and token; bytes are of float32 values."""
        output = self.output(*inputs)
        weights = inputs[0][-1] * self.features
        return tally(output, params=weights + self.features * self.bias, macs=weights * math.prod(output[:-1]))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Integers and floating point, features and tokens."""
        return [
            (cls(8), ((6,),)),
            (cls(8, "nvfp4", "mxfp8", bias=False), ((5, 40),)),
            (cls(4, "int4", "mxfp6"), ((5, 34),)),
        ]
