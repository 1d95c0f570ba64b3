"""Attention whose cost grows linearly with the number of tokens (cosFormer)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import lean, positive, ranked, tally
from archwright.registry import register


class CosAttention(nn.Module):
    """Rectified queries and keys weighted by cos(pi / 2 * (i - j) / l), summed before they meet."""

    def __init__(self, features: int, heads: int, head_dim: int, qkv_bias: bool = False, out_bias: bool = True) -> None:
        super().__init__()
        self.query = nn.Linear(features, heads * head_dim, bias=qkv_bias)
        self.key = nn.Linear(features, heads * head_dim, bias=qkv_bias)
        self.value = nn.Linear(features, heads * head_dim, bias=qkv_bias)
        self.out = nn.Linear(heads * head_dim, features, bias=out_bias)
        self.head_dim = head_dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, l, features) -> (b, l, features)."""
        length = x.shape[1]
        angle = torch.arange(1, length + 1, device=x.device, dtype=x.dtype) * (torch.pi / 2 / length)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]  # (l, 1)
        q = nn.functional.relu(self.query(x)).unflatten(2, (-1, self.head_dim)).transpose(1, 2)
        k = nn.functional.relu(self.key(x)).unflatten(2, (-1, self.head_dim)).transpose(1, 2)
        v = self.value(x).unflatten(2, (-1, self.head_dim)).transpose(1, 2)  # (b, heads, l, head_dim)
        q = torch.cat([q * cos, q * sin], dim=3)  # cos(a - b) = cos a cos b + sin a sin b
        k = torch.cat([k * cos, k * sin], dim=3)  # (b, heads, l, 2 * head_dim)
        total = (q * k.sum(2, keepdim=True)).sum(3, keepdim=True).clamp_min(1e-6)
        y = torch.matmul(q, torch.matmul(k.transpose(2, 3), v)) / total
        return self.out(y.transpose(1, 2).flatten(2))


@register("operators", "linear_attention", labels={"family": "attention"})
@dataclass(frozen=True)
class LinearAttention(Leaf):
    """Linear attention of tokens (L, D) with cosine re-weighting (Qin et al., 2022, "cosFormer", equations 8 to 12).

    The score of tokens i and j is relu(q_i) . relu(k_j) * cos(pi / 2 * (i - j) / L), normalised over j. Two-way only.
    `head_dim` None means D / heads; elastic head counts need it.
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"heads", "head_dim"})

    heads: int = 8
    head_dim: int | None = None
    qkv_bias: bool = False
    out_bias: bool = True

    def _dim(self, inputs: tuple[Shape, ...]) -> int:
        _, features = ranked(self, inputs, 2)
        positive(self, "heads", *(["head_dim"] if self.head_dim is not None else []))
        if self.head_dim is None and features % self.heads:
            raise SpaceError(
                f"heads of LinearAttention must divide the {features} features unless head_dim is given, "
                f"got {self.heads}"
            )
        return features // self.heads if self.head_dim is None else self.head_dim

    def layer(self, *inputs: Shape) -> Layer:
        """`CosAttention`."""
        return lean(
            CosAttention,
            head_dim=self._dim(inputs),
            features=inputs[0][1],
            heads=self.heads,
            qkv_bias=self.qkv_bias,
            out_bias=self.out_bias,
        )

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        self._dim(inputs)
        return inputs[0]

    def counts(self, *inputs: Shape) -> Counts:
        """Four projections, and two products of L x 2d by d for each head."""
        dim = self._dim(inputs)
        (length, features), width = inputs[0], self.heads * dim
        weights = 4 * features * width
        return tally(
            inputs[0],
            params=weights + 3 * width * self.qkv_bias + features * self.out_bias,
            macs=length * weights + 4 * length * width * dim,
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Queries, keys and values have the same heads."""
        rows = "head*head_dim"
        maps = {f"{name}.weight": (rows, "in") for name in ("query", "key", "value")}
        return {
            **maps,
            **{f"{name}.bias": (rows,) for name in ("query", "key", "value")},
            "out.weight": ("in", rows),
            "out.bias": ("in",),
        }

    def axis_sizes(self, *inputs: Shape) -> Mapping[str, int]:
        """Factors of the projections' rows."""
        return {"head": self.heads, "head_dim": self._dim(inputs)}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """With given and derived head size."""
        return [
            (cls(4, head_dim=4), ((5, 8),)),
            (cls(2), ((7, 8),)),
            (cls(4, head_dim=4, qkv_bias=True, out_bias=False), ((6, 12),)),
        ]
