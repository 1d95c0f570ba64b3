"""Attention along the edges of a graph (GAT)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.graph_conv import nodes_of
from archwright.operators.rules import positive, tally
from archwright.registry import register


class NeighbourAttention(nn.Module):
    """Every node averages what it reads, itself included, by softmax weights made of both ends of an edge."""

    def __init__(self, in_features: int, out_features: int, heads: int) -> None:
        super().__init__()
        self.value = nn.Linear(in_features, out_features, bias=False)
        spread = (heads / out_features) ** 0.5
        self.reader = nn.Parameter(spread * torch.randn(out_features))
        self.source = nn.Parameter(spread * torch.randn(out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.heads = heads

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        """(b, n, in), (b, n, n) -> (b, n, out)."""
        values = self.value(x)
        reads = (values * self.reader).unflatten(2, (self.heads, -1)).sum(3).transpose(1, 2)  # (b, heads, n)
        read = (values * self.source).unflatten(2, (self.heads, -1)).sum(3).transpose(1, 2)
        scores = nn.functional.leaky_relu(reads[:, :, :, None] + read[:, :, None, :], 0.2)
        own = torch.eye(edges.shape[2], dtype=edges.dtype, device=edges.device)  # ONNX Runtime has none of booleans
        linked = edges.relu() + own > 0
        weights = scores.masked_fill(~linked[:, None], float("-inf")).softmax(3)
        y = weights @ values.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (b, heads, n, out / heads)
        return y.transpose(1, 2).flatten(2) + self.bias


@register("operators", "graph_attention", labels={"family": "graph"})
@dataclass(frozen=True)
class GraphAttention(Leaf):
    """Graph attention (Velickovic et al., 2018, equations 1 to 5): nodes (N, D) and edges (N, N) -> (N, features).

    Heads share `features` and lie side by side. Only whether an edge is there counts, not its weight.
    """

    features: int
    heads: int = 4

    def layer(self, *inputs: Shape) -> Layer:
        """`NeighbourAttention`."""
        self.output(*inputs)
        arguments = {"in_features": inputs[0][1], "out_features": self.features, "heads": self.heads}
        return Layer(NeighbourAttention, arguments)

    def output(self, *inputs: Shape) -> Shape:
        """(nodes, features)."""
        nodes, _ = nodes_of(self, inputs)
        positive(self, "features", "heads")
        if self.features % self.heads:
            raise SpaceError(f"heads of GraphAttention must divide the {self.features} features, got {self.heads}")
        return (nodes, self.features)

    def counts(self, *inputs: Shape) -> Counts:
        """The linear map and the sum over all pairs of nodes, since edges are dense; scores are no matrix products."""
        nodes, features = self.output(*inputs)
        weights = inputs[0][1] * features
        return tally((nodes, features), params=weights + 3 * features, macs=nodes * weights + nodes * nodes * features)

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """The nodes' features are those of the first of two inputs."""
        return {"value.weight": ("out", "in0")}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """One and four heads."""
        return [(cls(6, 1), ((5, 4), (5, 5))), (cls(8), ((7, 6), (7, 7)))]
