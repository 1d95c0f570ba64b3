"""Residual connection around a body."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Composite, Counts, Example, Layer, Leaf, Operator, Run, Shape
from archwright.operators.conv import Conv
from archwright.operators.join import AddAll
from archwright.operators.linear import Linear
from archwright.operators.rules import member, norm_axes, tally
from archwright.registry import register


class First(nn.Module):
    """The first input."""

    def forward(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """(y, x) -> y."""
        return y


class AddProjected(nn.Module):
    """Body output plus the input through a 1x1 convolution and batch norm, or a linear map of tokens."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, dims: int = 2) -> None:
        super().__init__()
        if dims == 0:
            self.project: nn.Module = nn.Linear(in_channels, out_channels, bias=False)
            self.norm: nn.Module = nn.Identity()
        else:
            self.project = getattr(nn, f"Conv{dims}d")(in_channels, out_channels, 1, stride, bias=False)
            self.norm = getattr(nn, f"BatchNorm{dims}d")(out_channels)

    def forward(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """(b, out, h', w'), (b, in, h, w) -> (b, out, h', w')."""
        return y + self.norm(self.project(x))


@register("operators", "shortcut", labels={"family": "join"})
@dataclass(frozen=True)
class Shortcut(Leaf):
    """Adds its second input to the first where both have one shape; otherwise the first alone. No parameters."""

    def layer(self, *inputs: Shape) -> Layer:
        """`AddAll` or `First`."""
        self.output(*inputs)
        return Layer(AddAll if inputs[0] == inputs[1] else First, {})

    def output(self, *inputs: Shape) -> Shape:
        """The first shape."""
        if len(inputs) != 2:
            raise SpaceError(f"Shortcut takes the body's output and its input, got {inputs}")
        return inputs[0]

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Equal and different shapes."""
        return [(cls(), ((3, 4, 4), (3, 4, 4))), (cls(), ((6, 2, 2), (3, 4, 4)))]


@register("operators", "projection", labels={"family": "join"})
@dataclass(frozen=True)
class Projection(Leaf):
    """Adds the projected second input to the first (He et al., 2016, equation 2 and option C).

    Images and series: 1x1 convolution with the stride that the shapes ask for, batch norm. With `tokens`: a linear map
    of the last axis.
    """

    tokens: bool = False

    def _stride(self, inputs: tuple[Shape, ...]) -> int:
        if len(inputs) != 2 or not inputs[0] or len(inputs[0]) != len(inputs[1]):
            raise SpaceError(f"Projection takes the body's output and its input, of one rank, got {inputs}")
        y, x = inputs
        if self._dims(inputs) == 0:
            if y[:-1] != x[:-1]:
                raise SpaceError(f"Projection of tokens expects equally many of them, got {inputs}")
            return 1
        stride = -(-x[1] // y[1])
        if tuple(-(-size // stride) for size in x[1:]) != y[1:]:
            raise SpaceError(f"Projection expects a body that divides all sizes by one stride, got {x} -> {y}")
        return stride

    def _dims(self, inputs: tuple[Shape, ...]) -> int:
        return 0 if self.tokens or len(inputs[0]) == 1 else len(inputs[0]) - 1

    def layer(self, *inputs: Shape) -> Layer:
        """`AddProjected`."""
        stride, dims = self._stride(inputs), self._dims(inputs)
        axis = 0 if dims else -1
        return Layer(
            AddProjected,
            {"in_channels": inputs[1][axis], "out_channels": inputs[0][axis], "stride": stride, "dims": dims},
        )

    def output(self, *inputs: Shape) -> Shape:
        """The first shape."""
        self._stride(inputs)
        return inputs[0]

    def counts(self, *inputs: Shape) -> Counts:
        """The projection."""
        y, x = self.output(*inputs), inputs[1]
        if self._dims(inputs) == 0:
            return tally(y, params=y[-1] * x[-1], macs=math.prod(y) * x[-1])
        return tally(y, params=y[0] * (x[0] + 2), macs=math.prod(y) * x[0], buffers=2 * y[0])

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """The output channels are those of the body."""
        norms = norm_axes("norm", "in0")
        return {"project.weight": ("in0", "in1"), **norms}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Images with stride, series, tokens, features."""
        return [
            (cls(), ((6, 4, 4), (3, 7, 8))),
            (cls(), ((6, 8), (4, 8))),
            (cls(tokens=True), ((5, 6), (5, 4))),
            (cls(), ((6,), (4,))),
        ]


@register("operators", "residual", labels={"family": "composite"})
@dataclass(frozen=True)
class Residual(Composite):
    """body(x) + x (He et al., 2016).

    `shortcut`: `identity` adds x only where the shapes agree, `projection` always adds a projected x, `none` adds
    nothing. `tokens` says that a projection maps the last axis.
    """

    body: Operator
    shortcut: str = "identity"
    tokens: bool = False

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Run the body, then join."""
        member(self, "shortcut", self.shortcut, ("identity", "projection", "none"))
        y = run(self.body, *inputs)
        if self.shortcut == "none":
            return y
        join: Leaf = Shortcut() if self.shortcut == "identity" else Projection(self.tokens)
        return run(self.inner("shortcut", join), y, inputs[0])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Every shortcut."""
        return [
            (cls(Conv(4)), ((4, 6, 6),)),
            (cls(Conv(6, stride=2)), ((4, 6, 6),)),
            (cls(Conv(6, stride=2), "projection"), ((4, 7, 6),)),
            (cls(Linear(6), "projection", tokens=True), ((5, 4),)),
            (cls(Linear(4), "none"), ((4,),)),
        ]
