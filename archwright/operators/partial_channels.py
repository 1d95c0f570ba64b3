"""Partial channel connections: an operator on a part of the channels, the rest pass by (PC-DARTS)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Composite, Counts, Example, Layer, Leaf, Operator, Run, Shape
from archwright.operators.conv import Conv
from archwright.operators.rules import image, positive, tally
from archwright.registry import register


class TakeChannels(nn.Module):
    """The first channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, ...) -> (b, channels, ...)."""
        return x[:, : self.channels].clone()  # dense, so that nothing that reads it has to copy it again


class JoinAndShuffle(nn.Module):
    """Puts the channels that passed by behind the others and shuffles all in groups."""

    def __init__(self, channels: int, groups: int, pool: bool, dims: int = 2) -> None:
        super().__init__()
        self.channels, self.groups = channels, groups
        self.pool: nn.Module = getattr(nn, f"MaxPool{dims}d")(2, 2) if pool else nn.Identity()

    def forward(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """(b, part, ...), (b, c, ...) -> (b, c, ...)."""
        joined = torch.cat([y, self.pool(x[:, self.channels :])], dim=1)
        last = joined.movedim(1, -1).unflatten(-1, (self.groups, -1))  # channels last in memory, as they come
        return last.transpose(-1, -2).flatten(-2).movedim(-1, 1)


@register("operators", "first_channels", labels={"family": "shape"})
@dataclass(frozen=True)
class FirstChannels(Leaf):
    """The first 1 / share of the channels, or the first `channels` where that is given."""

    share: int = 4
    channels: int | None = None

    def layer(self, *inputs: Shape) -> Layer:
        """`TakeChannels`."""
        return Layer(TakeChannels, {"channels": self.output(*inputs)[0]})

    def output(self, *inputs: Shape) -> Shape:
        """(channels / share, positions...)."""
        channels, sizes = image(self, inputs)
        if self.channels is not None:
            if not 0 < self.channels <= channels:
                raise SpaceError(f"channels of FirstChannels must be 1 to {channels}, got {self.channels}")
            return (self.channels, *sizes)
        positive(self, "share")
        if channels % self.share:
            raise SpaceError(f"share of FirstChannels must divide the {channels} channels, got {self.share}")
        return (channels // self.share, *sizes)

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """A quarter, and five."""
        return [(cls(), ((8, 4, 4),)), (cls(channels=5), ((8, 4, 4),))]


@register("operators", "partial_join", labels={"family": "join"})
@dataclass(frozen=True)
class PartialJoin(Leaf):
    """Joins a part that was computed with the channels that passed by, and shuffles (Xu et al., 2020, their code).

    Where the part is smaller than the input, the others are max-pooled by two.
    """

    share: int = 4

    def layer(self, *inputs: Shape) -> Layer:
        """`JoinAndShuffle`."""
        self.output(*inputs)
        y, x = inputs
        arguments = {"channels": y[0], "groups": self.share, "pool": y[1:] != x[1:], "dims": len(x) - 1}
        return Layer(JoinAndShuffle, arguments)

    def output(self, *inputs: Shape) -> Shape:
        """The input's channels at the part's size."""
        positive(self, "share")
        if len(inputs) != 2 or not all(inputs) or inputs[1][0] != self.share * inputs[0][0]:
            raise SpaceError(
                f"PartialJoin takes 1/{self.share} of the channels and the input they are of, got {inputs}"
            )
        y, x = inputs
        if y[1:] not in (x[1:], tuple(size // 2 for size in x[1:])):
            raise SpaceError(f"PartialJoin expects a part of the input's size or half of it, got {inputs}")
        return (x[0], *y[1:])

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Same size and half."""
        return [(cls(), ((2, 4, 4), (8, 4, 4))), (cls(2), ((4, 2, 2), (8, 4, 4)))]


@register("operators", "partial_channels", labels={"family": "composite"})
@dataclass(frozen=True)
class PartialChannels(Composite):
    """`body` on the first 1 / share of the channels (PC-DARTS, Xu et al., 2020, equation 3)."""

    body: Operator
    share: int = 4

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Take, run, join."""
        if len(inputs) != 1:
            raise SpaceError(f"PartialChannels takes one input, got {len(inputs)}")
        (x,) = inputs
        y = run(self.body, run(self.inner("part", FirstChannels(self.share)), x))
        return run(self.inner("join", PartialJoin(self.share)), y, x)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """A convolution on half of the channels."""
        return [(cls(Conv(4), 2), ((8, 6, 6),)), (cls(Conv(2, stride=2)), ((8, 6, 6),))]
