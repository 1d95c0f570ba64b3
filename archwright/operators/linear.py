"""Fully connected layer on the last axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import activation_class, lean, member, positive, ranked, tally
from archwright.registry import register


class LinearNormAct(nn.Module):
    """Linear map of the last axis, norm, activation."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, norm: str = "none", activation: str = "Identity"
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias)
        self.norm: nn.Module = nn.Identity()
        if norm == "batch":
            self.norm = nn.BatchNorm1d(out_features)
        elif norm == "layer":
            self.norm = nn.LayerNorm(out_features)
        self.act = getattr(nn, activation)()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, ..., in) -> (b, ..., out)."""
        return self.act(self.norm(self.linear(x)))


@register("operators", "linear", labels={"family": "linear"})
@dataclass(frozen=True)
class Linear(Leaf):
    """Linear map of features (F,) or of every token (L, D), then norm and activation."""

    elastic: ClassVar[frozenset[str]] = frozenset({"features"})

    features: int
    activation: str = "identity"
    norm: str = "none"
    bias: bool = True

    def layer(self, *inputs: Shape) -> Layer:
        """`LinearNormAct`."""
        self.output(*inputs)
        return lean(
            LinearNormAct,
            in_features=inputs[0][-1],
            out_features=self.features,
            bias=self.bias,
            norm=self.norm,
            activation=activation_class(self, self.activation),
        )

    def output(self, *inputs: Shape) -> Shape:
        """The input shape with `features` in place of its last axis."""
        shape = ranked(self, inputs, 1, 2)
        positive(self, "features")
        member(self, "norm", self.norm, ("none", "batch", "layer"))
        if self.norm == "batch" and len(shape) != 1:
            raise SpaceError(f"Linear with batch norm expects features (F,), got {shape}; use norm='layer' on tokens")
        return (*shape[:-1], self.features)

    def counts(self, *inputs: Shape) -> Counts:
        """One multiply-accumulate for each weight and token."""
        output = self.output(*inputs)
        weights = inputs[0][-1] * self.features
        return tally(
            output,
            params=weights + self.features * (self.bias + 2 * (self.norm != "none")),
            macs=weights * math.prod(output[:-1]),
            buffers=2 * self.features if self.norm == "batch" else 0,
        )

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Features and tokens."""
        return [
            (cls(8), ((6,),)),
            (cls(8, "relu", "batch", bias=False), ((6,),)),
            (cls(8, "gelu", "layer"), ((5, 6),)),
        ]
