"""Series standardised window by window around a forecasting network, and its forecasts put back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Composite, Counts, Example, Layer, Leaf, Operator, Run, Shape
from archwright.operators.linear import Linear
from archwright.operators.rules import ranked, tally
from archwright.registry import register


class Standardised(nn.Module):
    """Each series of a window without its mean, in units of its deviation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, l) -> (b, c, l)."""
        mean = x.mean(2, keepdim=True)
        return (x - mean) / ((x - mean).square().mean(2, keepdim=True) + 1e-5).sqrt()


class PutBack(nn.Module):
    """Forecasts of the first series of a window, in units of their deviations around their means."""

    def forward(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """(b, k, horizon), (b, c, l) -> (b, k, horizon)."""
        x = x[:, : y.shape[1]]
        mean = x.mean(2, keepdim=True)
        return y * ((x - mean).square().mean(2, keepdim=True) + 1e-5).sqrt() + mean


@register("operators", "window_standard", labels={"family": "norm"})
@dataclass(frozen=True)
class WindowStandard(Leaf):
    """Series (C, L) with mean 0 and deviation 1 each."""

    def layer(self, *inputs: Shape) -> Layer:
        """`Standardised`."""
        self.output(*inputs)
        return Layer(Standardised, {})

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        return ranked(self, inputs, 2)

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Three series."""
        return [(cls(), ((3, 8),))]


@register("operators", "window_restore", labels={"family": "norm"})
@dataclass(frozen=True)
class WindowRestore(Leaf):
    """Forecasts (K, horizon) with the means and deviations of the first K of the series (C, L)."""

    def layer(self, *inputs: Shape) -> Layer:
        """`PutBack`."""
        self.output(*inputs)
        return Layer(PutBack, {})

    def output(self, *inputs: Shape) -> Shape:
        """The shape of the forecasts."""
        if len(inputs) != 2 or {len(shape) for shape in inputs} != {2} or inputs[0][0] > inputs[1][0]:
            raise SpaceError(f"WindowRestore expects forecasts (K, horizon) and series (C, L), K <= C, got {inputs}")
        return inputs[0]

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """All of three series, and one of them."""
        return [(cls(), ((3, 4), (3, 8))), (cls(), ((1, 4), (3, 8)))]


@register("operators", "window_norm", labels={"family": "composite"})
@dataclass(frozen=True)
class WindowNorm(Composite):
    """A body from series (C, L) to forecasts of the first K, without levels and scales (RevIN, Kim et al., 2022).

    Series of which means and scales drift are read in units of their own window, and forecasts are put back. Without
    the learned scale and shift of the publication (equations 1 to 3).
    """

    body: Operator = field(default_factory=lambda: Linear(4))

    def flow(self, run: Run, *inputs: object) -> object:
        """Standardise, run the body, put back."""
        y = run(self.body, run(self.inner("standard", WindowStandard()), *inputs))
        return run(self.inner("restore", WindowRestore()), y, *inputs)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """A linear forecast of each series."""
        return [(cls(), ((3, 8),))]
