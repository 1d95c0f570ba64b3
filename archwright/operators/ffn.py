"""Feed-forward networks of transformers, plain and gated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import activation_class, lean, positive, ranked, scaled, tally
from archwright.registry import register


class FeedForward(nn.Module):
    """Linear, activation, dropout, linear; `more` hidden layers with activations between."""

    def __init__(
        self, features: int, hidden: int, activation: str = "GELU", dropout: float = 0.0, more: int = 0
    ) -> None:
        super().__init__()
        self.up = nn.Linear(features, hidden)
        self.act = getattr(nn, activation)()
        self.more = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(more))
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(hidden, features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, ..., features) -> (b, ..., features)."""
        y = self.act(self.up(x))
        for layer in self.more:
            y = self.act(layer(y))
        return self.down(self.dropout(y))


class GatedFeedForward(nn.Module):
    """A linear map times an activated one, dropout, linear."""

    def __init__(
        self, features: int, hidden: int, activation: str = "SiLU", dropout: float = 0.0, bias: bool = False
    ) -> None:
        super().__init__()
        self.gate = nn.Linear(features, hidden, bias)
        self.up = nn.Linear(features, hidden, bias)
        self.act = getattr(nn, activation)()
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(hidden, features, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, ..., features) -> (b, ..., features)."""
        return self.down(self.dropout(self.act(self.gate(x)) * self.up(x)))


@register("operators", "ffn", labels={"family": "ffn"})
@dataclass(frozen=True)
class FFN(Leaf):
    """Position-wise feed-forward network (Vaswani et al., 2017, section 3.3) of tokens (L, D) or features (F,).

    `hidden` None means `ratio` times the features. `stacks` hidden layers follow each other, one by default (Tuli et
    al., 2022, section 3.1, stack them).
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"hidden", "ratio"})

    hidden: int | None = None
    ratio: float = 4.0
    activation: str = "gelu"
    dropout: float = 0.0
    stacks: int = 1

    def _hidden(self, inputs: tuple[Shape, ...]) -> int:
        shape = ranked(self, inputs, 1, 2)
        positive(self, "stacks")
        if self.hidden is None:
            return scaled(shape[-1], self.ratio)
        positive(self, "hidden")
        return self.hidden

    def layer(self, *inputs: Shape) -> Layer:
        """`FeedForward`."""
        return lean(
            FeedForward,
            features=inputs[0][-1],
            hidden=self._hidden(inputs),
            activation=activation_class(self, self.activation),
            dropout=self.dropout,
            more=self.stacks - 1,
        )

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        self._hidden(inputs)
        return inputs[0]

    def counts(self, *inputs: Shape) -> Counts:
        """Two linear maps of every token, and those between."""
        hidden, features = self._hidden(inputs), inputs[0][-1]
        weights = 2 * hidden * features + (self.stacks - 1) * hidden**2
        params = weights + self.stacks * hidden + features
        return tally(inputs[0], params=params, macs=weights * math.prod(inputs[0][:-1]))

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Features in and out are the same axis."""
        return {
            "up.weight": ("hidden", "in"),
            "up.bias": ("hidden",),
            "down.weight": ("in", "hidden"),
            "down.bias": ("in",),
            **{f"more.{k}.weight": ("hidden", "hidden") for k in range(self.stacks - 1)},
            **{f"more.{k}.bias": ("hidden",) for k in range(self.stacks - 1)},
        }

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """By size and by ratio, tokens and features, stacked."""
        return [
            (cls(hidden=16), ((5, 8),)),
            (cls(ratio=3.0, activation="relu", dropout=0.1), ((8,),)),
            (cls(hidden=12, stacks=3), ((5, 8),)),
        ]


@register("operators", "glu_ffn", labels={"family": "ffn"})
@dataclass(frozen=True)
class GLUFFN(Leaf):
    """Gated feed-forward network (Shazeer, 2020, equation 6): SwiGLU with `silu`, GEGLU with `gelu`.

    `hidden` None means `ratio` times the features; 8/3 gives as many parameters as a plain network of ratio 4.
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"hidden", "ratio"})

    hidden: int | None = None
    ratio: float = 8 / 3
    activation: str = "silu"
    dropout: float = 0.0
    bias: bool = False

    def _hidden(self, inputs: tuple[Shape, ...]) -> int:
        shape = ranked(self, inputs, 1, 2)
        if self.hidden is None:
            return scaled(shape[-1], self.ratio)
        positive(self, "hidden")
        return self.hidden

    def layer(self, *inputs: Shape) -> Layer:
        """`GatedFeedForward`."""
        return lean(
            GatedFeedForward,
            features=inputs[0][-1],
            hidden=self._hidden(inputs),
            activation=activation_class(self, self.activation),
            dropout=self.dropout,
            bias=self.bias,
        )

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        self._hidden(inputs)
        return inputs[0]

    def counts(self, *inputs: Shape) -> Counts:
        """Three linear maps of every token."""
        hidden, features = self._hidden(inputs), inputs[0][-1]
        weights = 3 * hidden * features
        return tally(
            inputs[0],
            params=weights + (2 * hidden + features) * self.bias,
            macs=weights * math.prod(inputs[0][:-1]),
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Features in and out are the same axis."""
        return {
            "gate.weight": ("hidden", "in"),
            "gate.bias": ("hidden",),
            "up.weight": ("hidden", "in"),
            "up.bias": ("hidden",),
            "down.weight": ("in", "hidden"),
            "down.bias": ("in",),
        }

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """By size and by ratio."""
        return [(cls(hidden=16), ((5, 8),)), (cls(ratio=3.0, activation="gelu", bias=True), ((8,),))]
