"""Normalisation as an operator of its own.

Batch norm: Ioffe and Szegedy, 2015. Layer norm: Ba et al., 2016. Group norm: Wu and He, 2018.
RMS norm: Zhang and Sennrich, 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import member, positive, ranked, tally
from archwright.registry import register

KINDS = ("batch", "layer", "rms", "group")


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each position of a series or image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, ...) -> (b, c, ...)."""
        last = nn.functional.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias)
        return last.movedim(-1, 1)


class ChannelRMSNorm(nn.Module):
    """RMS norm over the channels of each position of a series or image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, ...) -> (b, c, ...)."""
        return nn.functional.rms_norm(x.movedim(1, -1), self.weight.shape, self.weight).movedim(-1, 1)


@register("operators", "norm", labels={"family": "norm"})
@dataclass(frozen=True)
class Norm(Leaf):
    """Batch, layer, RMS or group norm.

    `first` says that the channels are the first axis, as in images; by default they are so for `batch` and `group`, and
    for every kind on inputs of three or more axes. Tokens (L, D) are normalised over their last axis.
    """

    kind: str = "batch"
    groups: int = 8
    first: bool | None = None

    def _channels(self, inputs: tuple[Shape, ...]) -> tuple[int, bool]:
        shape = ranked(self, inputs, 1, 2, 3, 4)
        member(self, "kind", self.kind, KINDS)
        positive(self, "groups")
        first = self.first
        if first is None:
            first = len(shape) > 2 or self.kind in ("batch", "group")
        if not first and self.kind in ("batch", "group"):
            raise SpaceError(f"Norm of kind {self.kind!r} needs channels first, got first=False; use 'layer' or 'rms'")
        channels = shape[0] if first else shape[-1]
        if self.kind == "group" and channels % self.groups:
            raise SpaceError(f"groups of Norm must divide the {channels} channels, got {self.groups}")
        return channels, first and len(shape) > 1

    def layer(self, *inputs: Shape) -> Layer:
        """A norm of torch, or one over the channel axis."""
        channels, first = self._channels(inputs)
        if self.kind == "batch":
            cls: type[nn.Module] = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[len(inputs[0]) - 1]
            return Layer(cls, {"num_features": channels})
        if self.kind == "group":
            return Layer(nn.GroupNorm, {"num_groups": self.groups, "num_channels": channels})
        if first:
            return Layer(ChannelNorm if self.kind == "layer" else ChannelRMSNorm, {"channels": channels})
        return Layer(nn.LayerNorm if self.kind == "layer" else nn.RMSNorm, {"normalized_shape": channels})

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        self._channels(inputs)
        return inputs[0]

    def counts(self, *inputs: Shape) -> Counts:
        """Scale and shift; no multiply-accumulates are counted, as in the trace."""
        channels, _ = self._channels(inputs)
        return tally(
            inputs[0],
            params=channels if self.kind == "rms" else 2 * channels,
            buffers=2 * channels if self.kind == "batch" else 0,
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Every tensor lies on the channels."""
        return {name: ("in",) for name in ("weight", "bias", "running_mean", "running_var")}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Every kind on the shapes it meets."""
        return [
            (cls("batch"), ((6, 5, 5),)),
            (cls("batch"), ((6, 5),)),
            (cls("batch"), ((6,),)),
            (cls("layer"), ((6, 5, 4),)),
            (cls("layer"), ((5, 6),)),
            (cls("rms"), ((5, 6),)),
            (cls("rms", first=True), ((6, 5),)),
            (cls("group", groups=2), ((6, 5, 5),)),
        ]
