"""Attention without exponentials whose heads are each rectified and normalised, or only scaled (MPCViT)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import positive, ranked, tally
from archwright.registry import register


class HeadwiseMix(nn.Module):
    """ReLU-softmax heads and scaling heads, normalised together by their kind.

    With `mixed`, one (kinds, shares) a head, every head is the weighted sum of both kinds.
    """

    def __init__(self, features: int, rectified: tuple[int, ...], head_dim: int) -> None:
        super().__init__()
        width = len(rectified) * head_dim
        self.query = nn.Linear(features, width, bias=False)
        self.key = nn.Linear(features, width, bias=False)
        self.value = nn.Linear(features, width, bias=False)
        self.out = nn.Linear(width, features)
        self.head_dim = head_dim
        order = sorted(range(len(rectified)), key=lambda h: -rectified[h])  # ReLU-softmax heads first
        self.split = sum(rectified)
        self.order = order if order != sorted(order) else []
        self.back = sorted(order, key=lambda h: order[h])
        self.mixed = None

    def normalised(self, scores: torch.Tensor) -> torch.Tensor:
        """Relu(x) / (sum of relu(x) + 1e-5) along the last axis."""
        rectified = nn.functional.relu(scores)
        return rectified / (rectified.sum(-1, keepdim=True) + 1e-5)

    def attended(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """All heads: (b, heads, l, head_dim) of queries, keys, values -> the same."""
        length, split = k.shape[2], self.split
        if self.mixed is not None:
            shares = [sum(kind * s for kind, s in zip(*head, strict=True)) for head in self.mixed]
            alpha = torch.stack([torch.as_tensor(s, dtype=q.dtype) for s in shares])[:, None, None]
            scores = torch.matmul(q, k.transpose(2, 3))  # (b, heads, l, l)
            return torch.matmul(alpha * self.normalised(scores) + (1.0 - alpha) * (scores * (1.0 / length)), v)
        if not split:  # keys and values first, as nothing stands between the products
            return torch.matmul(q, torch.matmul(k.transpose(2, 3), v) * (1.0 / length))
        if self.order:
            q, k, v = q[:, self.order], k[:, self.order], v[:, self.order]
        scores = torch.matmul(q, k.transpose(2, 3))
        weights = self.normalised(scores[:, :split])
        if split < q.shape[1]:
            weights = torch.cat([weights, scores[:, split:] * (1.0 / length)], dim=1)
        y = torch.matmul(weights, v)
        return y[:, self.back] if self.order else y

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, l, features) -> (b, l, features)."""
        q = self.query(x).unflatten(2, (-1, self.head_dim)).transpose(1, 2) * self.head_dim**-0.5
        k = self.key(x).unflatten(2, (-1, self.head_dim)).transpose(1, 2)
        v = self.value(x).unflatten(2, (-1, self.head_dim)).transpose(1, 2)  # (b, heads, l, head_dim)
        return self.out(self.attended(q, k, v).transpose(1, 2).flatten(2))


@register("operators", "headwise_attention", labels={"family": "attention"})
@dataclass(frozen=True)
class HeadwiseAttention(Leaf):
    """Attention of tokens (L, D) with a kind for every head (MPCViT, Zeng et al., ICCV 2023, section 4).

    `rectified` has a 1 for a ReLU-softmax head, relu(x) / (sum relu(x) + 1e-5), and a 0 for a scaling head, x / L, of
    the scores x = q . k / sqrt(head_dim). Each entry may be a choice, `oneof(0, 1)`; all kinds share the projections,
    and a mixture with weight a on the 1 computes a * ReLUSoftmax + (1 - a) * Scaling. One operator has at most a dozen
    such heads: costs and mixtures weigh every joint setting.
    """

    mixes: ClassVar[str] = "rectified"

    rectified: tuple[int, ...]
    head_dim: int = 32

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        shape = ranked(self, inputs, 2)
        positive(self, "head_dim")
        if not self.rectified or any(kind not in (0, 1) for kind in self.rectified):
            raise SpaceError(
                f"rectified of HeadwiseAttention holds a 1 (ReLU-softmax) or 0 (scaling) for every head, "
                f"got {self.rectified!r}"
            )
        return shape

    def layer(self, *inputs: Shape) -> Layer:
        """`HeadwiseMix`."""
        features = self.output(*inputs)[1]
        return Layer(HeadwiseMix, {"features": features, "rectified": self.rectified, "head_dim": self.head_dim})

    def counts(self, *inputs: Shape) -> Counts:
        """Four projections, scores and weighted sums; without ReLU-softmax heads keys and values come first."""
        length, features = self.output(*inputs)
        width = len(self.rectified) * self.head_dim
        products = 2 * length * width * (length if any(self.rectified) else self.head_dim)
        params = 4 * features * width
        return tally(inputs[0], params=params + features, macs=length * params + products)

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Heads differ, so their rows are never cut."""
        rows = {f"{name}.weight": (None, "in") for name in ("query", "key", "value")}
        return {**rows, "out.weight": ("in", None), "out.bias": ("in",)}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Heads of both kinds, of each kind alone."""
        return [
            (cls((1, 0), 4), ((7, 8),)),
            (cls((0, 1, 1, 0), 2), ((5, 8),)),
            (cls((1, 1), 3), ((5, 8),)),
            (cls((0, 0, 0, 0), 4), ((6, 12),)),
        ]
