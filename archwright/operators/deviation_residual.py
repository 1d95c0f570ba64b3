"""Residual connection whose body is normalised and whose output gets the input's deviation back.

Batch norm takes the deviation of an image's features away, which networks for super-resolution need. AdaDM (Liu et al.,
2021, "AdaDM: enabling normalization for image super-resolution") keeps the norm and multiplies the body's output by a
function of the deviation that was lost; QuantNAS (Shvetsov et al., 2022) takes an affine function of it, which starts
as 1.5 times the deviation, so that activations keep a range that few bits represent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Composite, Counts, Example, Layer, Leaf, Operator, Run, Shape
from archwright.operators.conv import Conv
from archwright.operators.norm import Norm
from archwright.operators.rules import tally
from archwright.registry import register


class AddRescaled(nn.Module):
    """y (a std(x) + b) + x with learned a and b; the deviation is that of each example."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(1.5))
        self.offset = nn.Parameter(torch.tensor(0.0))

    def forward(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """(b, c, ...), (b, c, ...) -> (b, c, ...)."""
        centred = x - x.mean(dim=tuple(range(1, x.dim())), keepdim=True)
        deviation = (centred.square().mean(dim=tuple(range(1, x.dim())), keepdim=True) + 1e-8).sqrt()
        return y * (self.slope * deviation + self.offset) + x


@register("operators", "rescaled_shortcut", labels={"family": "join"})
@dataclass(frozen=True)
class RescaledShortcut(Leaf):
    """Adds its second input to the first, which is rescaled by the second one's deviation."""

    def layer(self, *inputs: Shape) -> Layer:
        """`AddRescaled`."""
        self.output(*inputs)
        return Layer(AddRescaled, {})

    def output(self, *inputs: Shape) -> Shape:
        """The first shape."""
        if len(inputs) != 2 or not inputs[0] or inputs[0] != inputs[1]:
            raise SpaceError(f"RescaledShortcut takes the body's output and its input, of one shape, got {inputs}")
        return inputs[0]

    def counts(self, *inputs: Shape) -> Counts:
        """Two parameters."""
        return tally(self.output(*inputs), params=2)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Images and series."""
        return [(cls(), ((3, 4, 4), (3, 4, 4))), (cls(), ((3, 5), (3, 5)))]


@register("operators", "deviation_residual", labels={"family": "composite"})
@dataclass(frozen=True)
class DeviationResidual(Composite):
    """body(batch norm(x)) times an affine function of x's deviation, plus x; the body keeps the shape."""

    body: Operator

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Norm, body, join."""
        y = run(self.body, run(self.inner("norm", Norm("batch")), *inputs))
        return run(self.inner("join", RescaledShortcut()), y, inputs[0])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """A body of one convolution."""
        return [(cls(Conv(4, norm="none")), ((4, 6, 6),))]
