"""Graphs as one tensor, and what is done to each node alone.

A graph of N nodes with F features travels as (N, F + N): each node's features, then its row of the edges. So data,
supernets, costs and export need no second kind of input; graphs of a batch are padded with nodes without edges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import activation_class, lean, member, norm_axes, probability, ranked, tally
from archwright.registry import register

PARTS = ("nodes", "edges")


class TakeColumns(nn.Module):
    """Some neighbouring columns of the last axis."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, n, columns) -> (b, n, stop - start)."""
        return x[:, :, self.start : self.stop].contiguous()


@register("operators", "graph_part", labels={"family": "graph"})
@dataclass(frozen=True)
class GraphPart(Leaf):
    """Of a graph (N, F + N) its `nodes` (N, F), or its `edges` (N, N)."""

    part: str = "nodes"

    def _features(self, inputs: tuple[Shape, ...]) -> int:
        nodes, columns = ranked(self, inputs, 2)
        member(self, "part", self.part, PARTS)
        if columns <= nodes:
            raise SpaceError(
                f"GraphPart expects a graph (N, features + N), whose {nodes} nodes need more than {nodes} columns, "
                f"got {inputs[0]}; put the edges (N, N) behind the features of the nodes"
            )
        return columns - nodes

    def layer(self, *inputs: Shape) -> Layer:
        """`TakeColumns`."""
        features = self._features(inputs)
        start, stop = (0, features) if self.part == "nodes" else (features, inputs[0][1])
        return Layer(TakeColumns, {"start": start, "stop": stop})

    def output(self, *inputs: Shape) -> Shape:
        """(nodes, features) or (nodes, nodes)."""
        features = self._features(inputs)
        return (inputs[0][0], features if self.part == "nodes" else inputs[0][0])

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Both parts."""
        return [(cls(part), ((4, 7),)) for part in PARTS]


class NormOfNodes(nn.Module):
    """Batch norm of features over all nodes of all graphs, activation, dropout."""

    def __init__(self, features: int, activation: str = "ReLU", dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        self.act = getattr(nn, activation)()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, n, features) -> (b, n, features)."""
        return self.dropout(self.act(self.norm(x.flatten(0, 1)).reshape(x.shape)))


@register("operators", "node_norm", labels={"family": "graph"})
@dataclass(frozen=True)
class NodeNorm(Leaf):
    """Batch norm of the features of nodes or tokens (N, D), then an activation and dropout."""

    activation: str = "relu"
    dropout: float = 0.0

    def layer(self, *inputs: Shape) -> Layer:
        """`NormOfNodes`."""
        _, features = self.output(*inputs)
        act = activation_class(self, self.activation)
        return lean(NormOfNodes, features=features, activation=act, dropout=self.dropout)

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        shape = ranked(self, inputs, 2)
        activation_class(self, self.activation)
        probability(self, "dropout")
        return shape

    def counts(self, *inputs: Shape) -> Counts:
        """Scale and shift, mean and variance."""
        _, features = self.output(*inputs)
        return tally(inputs[0], params=2 * features, buffers=2 * features)

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Every tensor lies on the features."""
        return norm_axes("norm", "in")

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """With and without dropout."""
        return [(cls(), ((4, 6),)), (cls("tanh", 0.1), ((5, 4),))]
