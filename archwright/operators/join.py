"""Where values meet: sum, concatenation and product of any number of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Operator, Shape
from archwright.operators.rules import tally
from archwright.registry import register


class AddAll(nn.Module):
    """Sum of the inputs."""

    def forward(self, first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        """Tensors of one shape -> a tensor of this shape."""
        for other in others:
            first = first + other
        return first


class MultiplyAll(nn.Module):
    """Elementwise product of the inputs; an input with size 1 along an axis is broadcast."""

    def forward(self, first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        """Tensors that broadcast -> their product."""
        for other in others:
            first = first * other
        return first


class ConcatAll(nn.Module):
    """Inputs side by side along one axis."""

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        """Tensors that agree on all other axes -> one tensor."""
        return torch.cat(values, dim=self.axis)


def same(operator: Operator, inputs: tuple[Shape, ...]) -> Shape:
    """The shape that all inputs share.

    Raises:
        SpaceError: if there is none.
    """
    if not inputs or len(set(inputs)) > 1:
        raise SpaceError(
            f"{type(operator).__name__} expects at least one input, all of one shape, got {inputs}; "
            "bring the branches to one shape, for example with 1x1 convolutions"
        )
    return inputs[0]


@register("operators", "add", labels={"family": "join"})
@dataclass(frozen=True)
class Add(Leaf):
    """Sum of inputs of one shape."""

    def layer(self, *inputs: Shape) -> Layer:
        """`AddAll`."""
        self.output(*inputs)
        return Layer(AddAll, {})

    def output(self, *inputs: Shape) -> Shape:
        """The shape of every input."""
        return same(self, inputs)

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """One to three inputs."""
        return [(cls(), ((3, 4),) * n) for n in (1, 2, 3)]


@register("operators", "mul", labels={"family": "join"})
@dataclass(frozen=True)
class Mul(Leaf):
    """Elementwise product of inputs of one shape, where one of them may have size 1 along an axis.

    The join of the multiplicative family: gates, FiLM, polynomial networks (Chrysos et al., 2025).
    """

    def layer(self, *inputs: Shape) -> Layer:
        """`MultiplyAll`."""
        self.output(*inputs)
        return Layer(MultiplyAll, {})

    def output(self, *inputs: Shape) -> Shape:
        """The broadcast shape."""
        if not inputs or len({len(shape) for shape in inputs}) > 1:
            raise SpaceError(f"Mul expects at least one input, all of one rank, got {inputs}")
        if any(len(set(sizes) - {1}) > 1 for sizes in zip(*inputs, strict=True)):
            raise SpaceError(f"Mul expects inputs of one shape, or of size 1 where they differ, got {inputs}")
        return tuple(max(sizes) for sizes in zip(*inputs, strict=True))

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output, as in the trace."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Equal and broadcast shapes."""
        return [(cls(), ((3, 4), (3, 4))), (cls(), ((3, 4, 4), (3, 1, 1), (1, 4, 4)))]


@register("operators", "concat_join", labels={"family": "join"})
@dataclass(frozen=True)
class ConcatJoin(Leaf):
    """Inputs side by side; `axis` 0 are the channels of images and series, -1 the features of tokens."""

    joins: ClassVar[str] = "concat"

    axis: int = 0

    def layer(self, *inputs: Shape) -> Layer:
        """`ConcatAll` along the axis, counted with the batch."""
        self.output(*inputs)
        return Layer(ConcatAll, {"axis": self.axis + 1 if self.axis >= 0 else self.axis})

    def output(self, *inputs: Shape) -> Shape:
        """The sizes along the axis added up."""
        if not inputs or not all(-len(shape) <= self.axis < len(shape) for shape in inputs):
            raise SpaceError(f"ConcatJoin expects inputs that have axis {self.axis}, got {inputs}")
        axis = self.axis % len(inputs[0])
        others = {shape[:axis] + shape[axis + 1 :] for shape in inputs}
        if len(others) > 1:
            raise SpaceError(f"ConcatJoin expects inputs that differ along axis {self.axis} alone, got {inputs}")
        shape = inputs[0]
        return (*shape[:axis], sum(s[axis] for s in inputs), *shape[axis + 1 :])

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Channels and features."""
        return [(cls(), ((3, 4, 4), (2, 4, 4))), (cls(-1), ((5, 2), (5, 3), (5, 4)))]
