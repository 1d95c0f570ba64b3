"""Self-attention with any number of query and key-value heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import lean, positive, ranked, tally
from archwright.registry import register


class GroupedAttention(nn.Module):
    """Softmax attention; query head h reads key-value head h // (query_heads / kv_heads)."""

    def __init__(
        self,
        features: int,
        query_heads: int,
        kv_heads: int,
        head_dim: int,
        causal: bool = False,
        qkv_bias: bool = False,
        out_bias: bool = True,
    ) -> None:
        super().__init__()
        self.query = nn.Linear(features, query_heads * head_dim, bias=qkv_bias)
        self.key = nn.Linear(features, kv_heads * head_dim, bias=qkv_bias)
        self.value = nn.Linear(features, kv_heads * head_dim, bias=qkv_bias)
        self.out = nn.Linear(query_heads * head_dim, features, bias=out_bias)
        self.head_dim = head_dim
        self.group = query_heads // kv_heads
        self.causal = causal

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, l, features) -> (b, l, features)."""
        q = self.query(x).unflatten(2, (-1, self.head_dim)).transpose(1, 2)  # (b, query_heads, l, head_dim)
        k = self.key(x).unflatten(2, (-1, self.head_dim)).transpose(1, 2)  # (b, kv_heads, l, head_dim)
        v = self.value(x).unflatten(2, (-1, self.head_dim)).transpose(1, 2)
        if self.group > 1:
            k, v = k.repeat_interleave(self.group, dim=1), v.repeat_interleave(self.group, dim=1)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(y.transpose(1, 2).flatten(2))


class Heads(NamedTuple):
    """Resolved sizes of one attention."""

    query: int
    kv: int
    dim: int


@register("operators", "attention", labels={"family": "attention"})
@dataclass(frozen=True)
class Attention(Leaf):
    """Multi-head attention (Vaswani et al., 2017, section 3.2.2) of tokens (L, D) with three head counts.

    `heads` is the model's head count and sets head_dim = D / heads unless `head_dim` is given. `query_heads` and
    `kv_heads` default to `heads` and `query_heads`. Fewer key-value heads give grouped-query (Ainslie et al., 2023) and
    multi-query attention (Shazeer, 2019); fewer query heads give sparse query attention (Filipek, 2025), whose score
    computations shrink by query_heads / heads. Elastic head counts need `head_dim`, which would grow otherwise.
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"heads", "query_heads", "head_dim"})

    heads: int = 8
    query_heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    causal: bool = False
    qkv_bias: bool = False
    out_bias: bool = True

    def _heads(self, inputs: tuple[Shape, ...]) -> Heads:
        _, features = ranked(self, inputs, 2)
        given = {name: getattr(self, name) for name in ("query_heads", "kv_heads", "head_dim")}
        positive(self, "heads", *(name for name, value in given.items() if value is not None))
        query = self.heads if self.query_heads is None else self.query_heads
        kv = query if self.kv_heads is None else self.kv_heads
        if query > self.heads:
            raise SpaceError(f"query_heads of Attention must be at most its {self.heads} heads, got {query}")
        if query % kv:
            raise SpaceError(f"kv_heads of Attention must divide its {query} query heads, got {kv}")
        if self.head_dim is None and features % self.heads:
            raise SpaceError(
                f"heads of Attention must divide the {features} features unless head_dim is given, got {self.heads}"
            )
        return Heads(query, kv, features // self.heads if self.head_dim is None else self.head_dim)

    def layer(self, *inputs: Shape) -> Layer:
        """`GroupedAttention`."""
        heads = self._heads(inputs)
        return lean(
            GroupedAttention,
            features=inputs[0][1],
            query_heads=heads.query,
            kv_heads=heads.kv,
            head_dim=heads.dim,
            causal=self.causal,
            qkv_bias=self.qkv_bias,
            out_bias=self.out_bias,
        )

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        self._heads(inputs)
        return inputs[0]

    def counts(self, *inputs: Shape) -> Counts:
        """Four projections, scores and weighted sum; a causal mask saves nothing, as in the trace."""
        heads = self._heads(inputs)
        length, features = inputs[0]
        query, kv = heads.query * heads.dim, heads.kv * heads.dim
        weights = 2 * features * (query + kv)
        return tally(
            inputs[0],
            params=weights + (query + 2 * kv) * self.qkv_bias + features * self.out_bias,
            macs=length * weights + 2 * query * length * length,
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Key-value heads are cut with the query heads that read them."""
        query, kv = "kv_group*q_per_group*head_dim", "kv_group*head_dim"
        return {
            "query.weight": (query, "in"),
            "query.bias": (query,),
            "key.weight": (kv, "in"),
            "key.bias": (kv,),
            "value.weight": (kv, "in"),
            "value.bias": (kv,),
            "out.weight": ("in", query),
            "out.bias": ("in",),
        }

    def axis_sizes(self, *inputs: Shape) -> Mapping[str, int]:
        """Factors of the projections' rows."""
        heads = self._heads(inputs)
        return {"kv_group": heads.kv, "q_per_group": heads.query // heads.kv, "head_dim": heads.dim}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Multi-head, grouped, multi-query and sparse query attention."""
        return [
            (cls(4, head_dim=4), ((5, 8),)),
            (cls(2), ((5, 8),)),
            (cls(8, kv_heads=2, head_dim=4, qkv_bias=True), ((6, 8),)),
            (cls(8, query_heads=4, kv_heads=2, head_dim=2, causal=True), ((6, 12),)),
            (cls(4, kv_heads=1, head_dim=6, out_bias=False), ((3, 8),)),
        ]
