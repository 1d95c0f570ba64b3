"""Encodings of where tokens stand, added to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import lean, member, ranked, tally
from archwright.registry import register

KINDS = ("waves", "learned", "conv", "none")


class Waves(nn.Module):
    """Sines and cosines of the position in wave lengths from 2 pi to 20,000 pi."""

    def __init__(self, period: int) -> None:
        super().__init__()
        self.period = period

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, l, features) -> (b, l, features)."""
        channel = torch.arange(x.shape[2], device=x.device)
        position = torch.remainder(torch.arange(x.shape[1], device=x.device), self.period).to(x.dtype)
        angle = position[:, None] * 10000.0 ** (-(channel - channel % 2) / x.shape[2])  # (l, features)
        return x + torch.where(channel % 2 == 0, angle.sin(), angle.cos())


class LearnedRows(nn.Module):
    """A learned row for every token."""

    def __init__(self, features: int, tokens: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(0.02 * torch.randn(tokens, features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, l, features) -> (b, l, features)."""
        return x + self.rows


class NeighbourConv(nn.Module):
    """A depthwise convolution along each run of `period` tokens, whose padding tells where a run ends."""

    def __init__(self, features: int, period: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(features, features, 3, padding=1, groups=features)
        self.period = period

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, l, features) -> (b, l, features)."""
        runs = x.unflatten(1, (-1, self.period)).flatten(0, 1).transpose(1, 2)  # (b * l / period, features, period)
        return x + self.conv(runs).transpose(1, 2).unflatten(0, (x.shape[0], -1)).flatten(1, 2)


@register("operators", "positional_encoding", labels={"family": "tokens"})
@dataclass(frozen=True)
class PositionalEncoding(Leaf):
    """Tokens (L, D) plus an encoding of their positions.

    `waves`: sines without weights (Vaswani et al., 2017, section 3.5). `learned`: a row for every token (Devlin et al.,
    2019). `conv`: of three neighbours, conditioned on what they hold (Chu et al., 2023, "Conditional Positional
    Encodings", section 3.2). Where tokens are runs of `period` positions one after the other, such as the patches of
    several series, waves and convolutions begin anew with each run; 0 = all tokens are one run. `none` adds nothing.
    """

    kind: str = "waves"
    period: int = 0

    def layer(self, *inputs: Shape) -> Layer:
        """`Waves`, `LearnedRows`, `NeighbourConv` or the identity."""
        tokens, features = self.output(*inputs)
        period = self.period or tokens
        if self.kind == "none":
            return Layer(nn.Identity, {})
        if self.kind == "waves":
            return lean(Waves, period=period)
        if self.kind == "learned":
            return lean(LearnedRows, features=features, tokens=tokens)
        return lean(NeighbourConv, features=features, period=period)

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        tokens, features = ranked(self, inputs, 2)
        member(self, "kind", self.kind, KINDS)
        if self.period and tokens % self.period:
            raise SpaceError(f"period of PositionalEncoding must divide the {tokens} tokens, got {self.period}")
        return (tokens, features)

    def counts(self, *inputs: Shape) -> Counts:
        """Rows, or taps and multiply-accumulates of the convolution."""
        tokens, features = output = self.output(*inputs)
        if self.kind == "conv":
            return tally(output, params=4 * features, macs=3 * features * tokens)
        return tally(output, params=tokens * features if self.kind == "learned" else 0)

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Features are cut, positions never."""
        return {"rows": (None, "in"), "conv.weight": ("in", None, None), "conv.bias": ("in",)}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Every kind, with and without runs."""
        return [(cls(kind, period), ((6, 8),)) for kind in KINDS for period in (0, 3)]
