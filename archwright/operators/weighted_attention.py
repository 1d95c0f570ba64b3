"""Self-attention whose queries pass one more matrix before they meet the keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import positive, ranked, tally
from archwright.registry import register


class MultiplicativeAttention(nn.Module):
    """Softmax attention with scores (W q) . k / sqrt(head_dim)."""

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.query = nn.Linear(features, features)
        self.key = nn.Linear(features, features)
        self.value = nn.Linear(features, features)
        self.between = nn.Linear(features, features, bias=False)
        self.out = nn.Linear(features, features)
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, l, features) -> (b, l, features)."""
        q = self.between(self.query(x)).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (b, heads, l, head_dim)
        k = self.key(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        v = self.value(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).flatten(2))


@register("operators", "weighted_attention", labels={"family": "attention"})
@dataclass(frozen=True)
class WeightedAttention(Leaf):
    """Weighted multiplicative attention (Luong et al., 2015, equation 8, `general`) of tokens (L, D).

    One of the two self-attentions of FlexiBERT (Tuli et al., 2022, section 3.1); heads divide the features, all linear
    maps but the one between have a bias.
    """

    heads: int = 2

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        _, features = ranked(self, inputs, 2)
        positive(self, "heads")
        if features % self.heads:
            raise SpaceError(f"heads of WeightedAttention must divide the {features} features, got {self.heads}")
        return inputs[0]

    def layer(self, *inputs: Shape) -> Layer:
        """`MultiplicativeAttention`."""
        return Layer(MultiplicativeAttention, {"features": self.output(*inputs)[1], "heads": self.heads})

    def counts(self, *inputs: Shape) -> Counts:
        """Five projections, scores and weighted sum."""
        length, features = self.output(*inputs)
        weights = 5 * features * features
        return tally(inputs[0], params=weights + 4 * features, macs=length * weights + 2 * features * length * length)

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Rows of heads; W mixes them all."""
        rows = "head*head_dim"
        named: dict[str, tuple[str | None, ...]] = {}
        for name in ("query", "key", "value"):
            named |= {f"{name}.weight": (rows, "in"), f"{name}.bias": (rows,)}
        return {**named, "between.weight": (rows, rows), "out.weight": ("in", rows), "out.bias": ("in",)}

    def axis_sizes(self, *inputs: Shape) -> Mapping[str, int]:
        """Heads and their features."""
        return {"head": self.heads, "head_dim": self.output(*inputs)[1] // self.heads}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Two sizes."""
        return [(cls(2), ((5, 8),)), (cls(4), ((3, 8),))]
