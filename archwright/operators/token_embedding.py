"""Learned vectors of token ids: the way from text into a network.

Ids travel as the numbers that they are, in a float tensor (L,) like every other input, so that building, supernets,
costs and export need no second kind of tensor; float32 holds ids up to 2^24 exactly. What lies outside of the
vocabulary is read as its nearest end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import lean, member, positive, ranked, tally
from archwright.registry import register

POSITIONS = ("learned", "waves", "none")


class Tokens(nn.Module):
    """A row of a table for each id, plus a row for each position, or waves that need no weights."""

    def __init__(self, vocabulary: int, features: int, rows: int = 0, waves: int = 0, types: int = 0) -> None:
        super().__init__()
        self.waves: torch.Tensor | None
        self.word = nn.Parameter(0.02 * torch.randn(vocabulary, features))
        self.position = nn.Parameter(0.02 * torch.randn(rows, features)) if rows else None
        self.segment = nn.Parameter(0.02 * torch.randn(types, features)) if types else None
        channel = torch.arange(features)
        angle = torch.arange(waves)[:, None] * 10000.0 ** (-2 * (channel % 64 // 2) / 64)
        table = torch.where(channel % 2 == 0, angle.sin(), angle.cos())
        self.register_buffer("waves", table if waves else None)  # supernets cut and mix it as they do weights

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(b, l) -> (b, l, features)."""
        known = ids.round().clamp(0, self.word.shape[0] - 1).long()
        x = nn.functional.embedding(known, self.word)
        if self.position is not None:
            x = x + self.position[: x.shape[1]]
        if self.segment is not None:
            x = x + self.segment[0]
        if self.waves is not None:
            x = x + self.waves[: x.shape[1]]
        return x


@register("operators", "token_embedding", labels={"family": "tokens"})
@dataclass(frozen=True)
class TokenEmbedding(Leaf):
    """Token ids (L,) -> (L, D).

    `position`: `learned` rows (Devlin et al., 2019, figure 2), `waves` without weights (Vaswani et al., 2017, section
    3.5; 32 wave lengths that repeat every 64 features, so that they do not depend on D), or `none`. `positions` is the
    number of learned rows, the input's length when None. `types` is the number of rows of a table of segments, the
    first of which is added to every token (Devlin et al., 2019); inputs of one segment read no other.
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"features"})

    features: int
    vocabulary: int = 256
    position: str = "learned"
    positions: int | None = None
    types: int = 0

    def _rows(self, inputs: tuple[Shape, ...]) -> int:
        (length,) = ranked(self, inputs, 1)
        positive(self, "features", "vocabulary")
        member(self, "position", self.position, POSITIONS)
        rows = length if self.positions is None else self.positions
        if self.position == "learned" and rows < length:
            raise SpaceError(f"positions of TokenEmbedding must be at least the {length} tokens, got {rows}")
        return rows if self.position == "learned" else 0

    def layer(self, *inputs: Shape) -> Layer:
        """`Tokens`."""
        return lean(
            Tokens,
            vocabulary=self.vocabulary,
            features=self.features,
            rows=self._rows(inputs),
            waves=inputs[0][0] if self.position == "waves" else 0,
            types=self.types,
        )

    def output(self, *inputs: Shape) -> Shape:
        """(tokens, features)."""
        self._rows(inputs)
        return (inputs[0][0], self.features)

    def counts(self, *inputs: Shape) -> Counts:
        """Tables alone; a look-up multiplies nothing."""
        rows = self.vocabulary + self._rows(inputs) + self.types
        fixed = inputs[0][0] * self.features if self.position == "waves" else 0
        return tally(self.output(*inputs), params=rows * self.features, buffers=fixed)

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Features are cut, rows never."""
        return {name: (None, "out") for name in ("word", "position", "segment", "waves")}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Every kind of position."""
        return [
            (cls(8, 11), ((6,),)),
            (cls(8, 11, positions=9, types=2), ((6,),)),
            (cls(8, 11, "waves"), ((5,),)),
            (cls(6, 7, "none"), ((4,),)),
        ]


__all__ = ["TokenEmbedding", "Tokens"]
