"""Attention of which half the heads are convolutions with kernels made from the tokens (ConvBERT)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import odd, positive, ranked, tally
from archwright.registry import register


class MixedSpan(nn.Module):
    """Softmax heads beside as many heads of span-based dynamic convolution."""

    def __init__(self, features: int, heads: int, head_dim: int, kernel: int) -> None:
        super().__init__()
        inner = heads * head_dim
        self.query = nn.Linear(features, inner)
        self.key = nn.Linear(features, inner)
        self.value = nn.Linear(features, inner)
        self.depthwise = nn.Conv1d(features, features, kernel, padding=kernel // 2, groups=features, bias=False)
        self.pointwise = nn.Linear(features, inner)
        self.kernels = nn.Linear(inner, heads * kernel)
        self.span = nn.Linear(features, inner)
        self.out = nn.Linear(2 * inner, features)
        self.heads = heads
        self.kernel = kernel

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, l, features) -> (b, l, features)."""
        query = self.query(x)
        q = query.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (b, heads, l, head_dim)
        k = self.key(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        v = self.value(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        y = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)  # (b, l, heads, head_dim)
        local = self.pointwise(self.depthwise(x.transpose(1, 2)).transpose(1, 2))
        weights = self.kernels(local * query).unflatten(2, (self.heads, self.kernel)).softmax(3)
        half = self.kernel // 2
        spans = nn.functional.pad(self.span(x), (0, 0, half, half))
        length = x.shape[1]
        near = torch.stack([spans[:, i : i + length] for i in range(self.kernel)], dim=3)  # (b, l, inner, kernel)
        z = (near.unflatten(2, (self.heads, -1)) * weights[:, :, :, None]).sum(4)  # (b, l, heads, head_dim)
        return self.out(torch.cat([y, z], dim=2).flatten(2))


@register("operators", "span_attention", labels={"family": "attention"})
@dataclass(frozen=True)
class SpanAttention(Leaf):
    """Mixed attention of ConvBERT (Jiang et al., 2020, section 4.2, equations 4 to 6) of tokens (L, D).

    Half of the heads attend, half convolve along the tokens with a softmax kernel made of query and local key; one of
    two heads each at least. FlexiBERT (Tuli et al., 2022, section 3.1) calls it dynamic span-based convolution.
    """

    heads: int = 2
    kernel: int = 5

    def _sizes(self, inputs: tuple[Shape, ...]) -> tuple[int, int]:
        _, features = ranked(self, inputs, 2)
        positive(self, "heads")
        odd(self, self.kernel)
        if self.heads % 2 or features % self.heads:
            raise SpaceError(
                f"heads of SpanAttention must be even and divide the {features} features, got {self.heads}"
            )
        return self.heads // 2, features // self.heads

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        self._sizes(inputs)
        return inputs[0]

    def layer(self, *inputs: Shape) -> Layer:
        """`MixedSpan`."""
        heads, dim = self._sizes(inputs)
        arguments = {"features": inputs[0][1], "heads": heads, "head_dim": dim, "kernel": self.kernel}
        return Layer(MixedSpan, arguments)

    def counts(self, *inputs: Shape) -> Counts:
        """All maps, and scores and weighted sum of the softmax heads; sums over spans are no matrix products."""
        heads, dim = self._sizes(inputs)
        length, features = inputs[0]
        inner, made = heads * dim, heads * self.kernel
        weights = 5 * features * inner + features * self.kernel + inner * made + 2 * inner * features
        return tally(
            inputs[0],
            params=weights + 5 * inner + made + features,
            macs=length * weights + 2 * inner * length * length,
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Rows of heads; the output reads softmax heads, then convolving ones."""
        rows = "head*head_dim"
        named: dict[str, tuple[str | None, ...]] = {}
        for name in ("query", "key", "value", "pointwise", "span"):
            named |= {f"{name}.weight": (rows, "in"), f"{name}.bias": (rows,)}
        return {
            **named,
            "depthwise.weight": ("in", None, None),
            "kernels.weight": ("head*tap", rows),
            "kernels.bias": ("head*tap",),
            "out.weight": ("in", f"half*{rows}"),
            "out.bias": ("in",),
        }

    def axis_sizes(self, *inputs: Shape) -> Mapping[str, int]:
        """Factors of the rows; `tap` runs over a kernel, `half` over the two kinds of heads."""
        heads, dim = self._sizes(inputs)
        return {"head": heads, "head_dim": dim, "tap": self.kernel, "half": 2}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """One and two heads of each kind."""
        return [(cls(2, 3), ((5, 8),)), (cls(4, 5), ((7, 8),))]
