"""Convolutions on graphs: every node sums what it reads along its edges, after a linear map.

One formula with three switches covers six published layers. With A the edges (row i holds the weights of the nodes that
node i reads), D its row sums and X the nodes,

    gcn    D^-1/2 (A + I) D^-1/2 X W + b        Kipf & Welling (2017), equation 2; D of A + I
    gin    (A + I) X W + b                      Xu et al. (2019), equation 4.1, epsilon 0 and one linear map
    cheb   X U + D^-1/2 A D^-1/2 X W + b        Defferrard et al. (2016), section 2.1, two terms, largest eigenvalue 2
    sage   X U + D^-1 A X W + b                 Hamilton et al. (2017), algorithm 1, mean aggregator
    arma   relu(X U + D^-1/2 A D^-1/2 X W + b)  Bianchi et al. (2021), equation 8, one stack, one iteration
    graph  X U + A X W + b                      Morris et al. (2019), equation 5, the k-GNN for k = 1

The minus sign of the second Chebyshev term is part of W. Edges travel dense; what is not positive is no edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Operator, Shape
from archwright.operators.rules import lean, member, positive, tally
from archwright.registry import register


class NeighbourSum(nn.Module):
    """Linear map of the nodes, weighted sum over what each one reads; `scale` is sum, mean or symmetric."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        scale: str = "sum",
        loops: bool = False,
        root: bool = False,
        activation: str = "Identity",
    ) -> None:
        super().__init__()
        self.neighbour = nn.Linear(in_features, out_features, bias=False)
        self.root = nn.Linear(in_features, out_features, bias=False) if root else None
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.act = getattr(nn, activation)()
        self.scale, self.loops = scale, loops

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        """(b, n, in), (b, n, n) -> (b, n, out)."""
        weights = edges.relu()
        if self.loops:
            weights = weights + torch.eye(edges.shape[2], dtype=edges.dtype, device=edges.device)
        if self.scale != "sum":
            degree = weights.sum(2)  # (b, n)
            degree = torch.where(degree > 0, degree, torch.ones_like(degree))  # a node without edges reads nothing
            if self.scale == "mean":
                weights = weights / degree[:, :, None]
            else:
                weights = weights * degree.rsqrt()[:, :, None] * degree.rsqrt()[:, None, :]
        y = weights @ self.neighbour(x) + self.bias
        return self.act(y if self.root is None else y + self.root(x))


class Kind(NamedTuple):
    """Switches of one published layer."""

    scale: str
    loops: bool = False
    root: bool = False
    activation: str = "Identity"


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "gcn": Kind("symmetric", loops=True),
        "gin": Kind("sum", loops=True),
        "cheb": Kind("symmetric", root=True),
        "sage": Kind("mean", root=True),
        "arma": Kind("symmetric", root=True, activation="ReLU"),
        "graph": Kind("sum", root=True),
    }
)


def nodes_of(operator: Operator, inputs: tuple[Shape, ...]) -> Shape:
    """(nodes, features) of a graph given as nodes (N, D) and edges (N, N).

    Raises:
        SpaceError: if the inputs are something else.
    """
    if len(inputs) != 2 or len(inputs[0]) != 2 or inputs[1] != (inputs[0][0],) * 2:
        raise SpaceError(f"{type(operator).__name__} takes nodes (N, D) and their edges (N, N), got {inputs}")
    return inputs[0]


@register("operators", "graph_conv", labels={"family": "graph"})
@dataclass(frozen=True)
class GraphConv(Leaf):
    """Nodes (N, D) and edges (N, N) -> (N, features); `kind` is gcn, gin, cheb, sage, arma or graph.

    The linear map comes before the sum, which is the same and cheaper where it narrows.
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"features"})

    features: int
    kind: str = "gcn"

    def layer(self, *inputs: Shape) -> Layer:
        """`NeighbourSum`."""
        self.output(*inputs)
        return lean(NeighbourSum, in_features=inputs[0][1], out_features=self.features, **KINDS[self.kind]._asdict())

    def output(self, *inputs: Shape) -> Shape:
        """(nodes, features)."""
        nodes, _ = nodes_of(self, inputs)
        positive(self, "features")
        member(self, "kind", self.kind, KINDS)
        return (nodes, self.features)

    def counts(self, *inputs: Shape) -> Counts:
        """Linear maps and the sum over all pairs of nodes, since edges are dense; degrees multiply nothing."""
        nodes, features = self.output(*inputs)
        weights = inputs[0][1] * features * (1 + KINDS[self.kind].root)
        return tally((nodes, features), params=weights + features, macs=nodes * weights + nodes * nodes * features)

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """The nodes' features are those of the first of two inputs."""
        return {f"{name}.weight": ("out", "in0") for name in ("neighbour", "root")[: 1 + KINDS[self.kind].root]}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Every kind."""
        return [(cls(8, kind), ((5, 6), (5, 5))) for kind in KINDS]
