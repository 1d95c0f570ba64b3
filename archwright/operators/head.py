"""The end of a network: global pool, optional hidden layer and dropout, linear outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.pool import GlobalPooling, pooled
from archwright.operators.rules import activation_class, lean, one, positive, tally
from archwright.registry import register


class PoolLinear(nn.Module):
    """Global pool, optional hidden layer, dropout, linear outputs."""

    def __init__(
        self,
        in_features: int,
        outputs: int,
        pool: str = "avg",
        hidden: int = 0,
        activation: str = "ReLU",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.pool = GlobalPooling(pool) if pool != "none" else nn.Identity()
        self.hidden: nn.Module = nn.Identity()
        if hidden:
            self.hidden = nn.Sequential(nn.Linear(in_features, hidden), getattr(nn, activation)())
        self.dropout = nn.Dropout(dropout)
        self.outputs = nn.Linear(hidden or in_features, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, ...), (b, l, c) or (b, c) -> (b, outputs)."""
        return self.outputs(self.dropout(self.hidden(self.pool(x))))


@dataclass(frozen=True)
class _Head(Leaf):
    """What both heads share. On features (F,) nothing is pooled; `pool` is a kind of `GlobalPool`."""

    elastic: ClassVar[frozenset[str]] = frozenset({"hidden"})

    outputs: int
    pool: str = "avg"
    hidden: int = 0
    activation: str = "relu"
    dropout: float = 0.0

    def _features(self, inputs: tuple[Shape, ...]) -> int:
        shape = one(self, inputs)
        return shape[0] if len(shape) == 1 else pooled(self, self.pool, inputs)[0]

    def layer(self, *inputs: Shape) -> Layer:
        """`PoolLinear`."""
        self.output(*inputs)
        return lean(
            PoolLinear,
            in_features=self._features(inputs),
            outputs=self.outputs,
            pool="none" if len(inputs[0]) == 1 else self.pool,
            hidden=self.hidden,
            activation=activation_class(self, self.activation),
            dropout=self.dropout,
        )

    def output(self, *inputs: Shape) -> Shape:
        """(outputs,)."""
        self._features(inputs)
        positive(self, "outputs")
        if not isinstance(self.hidden, int) or self.hidden < 0:
            raise SpaceError(f"hidden of {type(self).__name__} must be 0 (none) or a size, got {self.hidden!r}")
        return (self.outputs,)

    def counts(self, *inputs: Shape) -> Counts:
        """The linear layers."""
        output = self.output(*inputs)
        features = self._features(inputs)
        if not self.hidden:
            return tally(output, params=(features + 1) * self.outputs, macs=features * self.outputs)
        weights = self.hidden * (features + self.outputs)
        return tally(output, params=weights + self.hidden + self.outputs, macs=weights)

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """The outputs are those of the task and never cut."""
        return {
            "hidden.0.weight": ("hidden", "in"),
            "hidden.0.bias": ("hidden",),
            "outputs.weight": (None, "hidden" if self.hidden else "in"),
            "outputs.bias": (None,),
        }

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Images, features and tokens."""
        return [
            (cls(10), ((8, 4, 4),)),
            (cls(3, hidden=12, dropout=0.1), ((8,),)),
            (cls(3, pool="cls", hidden=16, activation="gelu"), ((5, 8),)),
            (cls(2, pool="max"), ((8, 9),)),
        ]


@register("operators", "classifier", labels={"family": "head"})
@dataclass(frozen=True)
class Classifier(_Head):
    """Logits of `outputs` classes."""


@register("operators", "regressor", labels={"family": "head"})
@dataclass(frozen=True)
class Regressor(_Head):
    """`outputs` real values."""
