"""A graph network over the operators of an architecture.

Graph convolutions over the tree's graph (Wen et al., "Neural Predictor for Neural Architecture Search", 2020, section
3.2): each layer averages what comes along and against the edges and what a node has of its own; the mean over nodes is
read by a linear head. Nodes carry their type, the words in their fields, and log-scaled numbers, so that graphs of any
space fit. Nodes that three rounds of Weisfeiler-Lehman refinement cannot tell apart get equal states in three layers;
they are merged beforehand, without loss, which makes repeated cells cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from archwright.errors import SpaceError
from archwright.predictors.encoding import Extra
from archwright.predictors.mlp import _standardised
from archwright.registry import register
from archwright.space import Architectures, Space

LAYERS = 3
NUMBERS = 8  # numeric fields of a node that are read


@dataclass(frozen=True)
class Merged:
    """A graph with indistinguishable nodes merged.

    nodes: (v, f). means: (2, v, v) float32, how a node averages its predecessors and its successors. counts: (v,).
    """

    nodes: np.ndarray
    means: np.ndarray
    counts: np.ndarray


def merge(nodes: np.ndarray, adjacency: np.ndarray, rounds: int = LAYERS) -> Merged:
    """Merge nodes that `rounds` of Weisfeiler-Lehman refinement give one colour (Shervashidze et al., 2011).

    Args:
        nodes: (v, f) features.
        adjacency: (v, v) 0/1.
        rounds: as many as the network has layers.
    """
    colours = np.unique(nodes, axis=0, return_inverse=True)[1].ravel()
    for _ in range(rounds):
        seen = np.eye(colours.max() + 1, dtype=np.int64)[colours]
        around = np.concatenate([colours[:, None], adjacency.T @ seen, adjacency @ seen], axis=1)
        colours = np.unique(around, axis=0, return_inverse=True)[1].ravel()
    _, first, counts = np.unique(colours, return_index=True, return_counts=True)
    member = np.eye(len(first), dtype=np.float32)[colours]  # (v, classes)
    means = []
    for a in (adjacency.T, adjacency):
        sums = a[first].astype(np.float32) @ member
        means.append(sums / np.maximum(sums.sum(axis=1, keepdims=True), 1))
    return Merged(nodes[first], np.stack(means), counts.astype(np.float32))


class GraphLayers(nn.Module):
    """Three graph convolutions and a head."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        sizes = [inputs, *[hidden] * LAYERS]
        self.own = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.along = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(sizes))
        self.against = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(sizes))
        self.head = nn.Linear(hidden, 1)

    def forward(self, nodes: Tensor, along: Tensor, mask: Tensor) -> Tensor:
        """Nodes (b, v, f), normalised adjacency (b, 2, v, v), mask (b, v) -> (b,)."""
        x = nodes
        for own, forward, backward in zip(self.own, self.along, self.against, strict=True):
            x = nn.functional.silu(own(x) + along[:, 0] @ forward(x) + along[:, 1] @ backward(x))
        pooled = (x * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return self.head(pooled)[:, 0]


@register("predictors", "graph", labels={"family": "graph network", "uncertainty": True})
class GraphNetwork:
    """An ensemble of graph networks.

    Args:
        space: of the architectures.
        seed: of the initial weights.
        extra: not used.
        members: of the ensemble.
        hidden: width.
        steps: of Adam.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        extra: Extra | None = None,
        members: int = 3,
        hidden: int = 48,
        steps: int = 120,
    ) -> None:
        self._space, self._seed = space, seed
        self._members, self._hidden, self._steps = members, hidden, steps
        self._types: dict[str, int] = {}
        self._known: dict[bytes, Merged] = {}

    def _graph(self, architectures: Architectures, i: int) -> Merged:
        """The merged graph of one architecture; remembered."""
        architecture = architectures[i]
        known = self._known.get(architecture.key)
        if known is None:
            graph = self._space.graph(architecture)
            if not graph.nodes:
                raise SpaceError(
                    "a graph network reads the dataclasses of a tree, but this tree has none; use the predictor 'gp'"
                )
            types = [self._types.setdefault(_label(n.type, n.fields), len(self._types)) for n in graph.nodes]
            numbers = np.zeros((len(types), NUMBERS), np.float32)
            for row, node in enumerate(graph.nodes):
                values = [v for v in node.fields.values() if isinstance(v, int | float) and not isinstance(v, bool)]
                numbers[row, : len(values[:NUMBERS])] = np.log1p(np.abs(values[:NUMBERS]))
            nodes = np.concatenate([np.array(types, np.float32)[:, None], numbers], axis=1)
            known = self._known[architecture.key] = merge(nodes, graph.adjacency)
        return known

    def _batch(self, architectures: Architectures) -> tuple[Tensor, Tensor, Tensor]:
        graphs = [self._graph(architectures, i) for i in range(len(architectures))]
        most, width = max(len(g.nodes) for g in graphs), self._width
        nodes = np.zeros((len(graphs), most, width + NUMBERS), np.float32)
        along = np.zeros((len(graphs), 2, most, most), np.float32)
        mask = np.zeros((len(graphs), most), np.float32)
        for b, graph in enumerate(graphs):
            v, types = len(graph.nodes), graph.nodes[:, 0].astype(int)
            seen = types < width  # a type that no labelled graph has says nothing
            nodes[b, np.flatnonzero(seen), types[seen]] = 1.0
            nodes[b, :v, width:] = graph.nodes[:, 1:]
            along[b, :, :v, :v] = graph.means
            mask[b, :v] = graph.counts
        return torch.from_numpy(nodes), torch.from_numpy(along), torch.from_numpy(mask)

    def fit(self, architectures: Architectures, values: np.ndarray) -> GraphNetwork:
        """Learn from n architectures with values (n,)."""
        for i in range(len(architectures)):
            self._graph(architectures, i)
        self._width = len(self._types)
        scaled, self._shift, self._unit = _standardised(np.asarray(values, dtype=np.float32)[:, None])
        batch, target = self._batch(architectures), torch.from_numpy(scaled[:, 0])
        self._nets = []
        for member in range(self._members):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self._seed * 1009 + member)
                net = GraphLayers(self._width + NUMBERS, self._hidden)
                self._train(net, batch, target)
            self._nets.append(net.eval())
        return self

    def _train(self, net: nn.Module, batch: tuple[Tensor, Tensor, Tensor], target: Tensor) -> None:
        optimiser = torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=1e-3)
        for _ in range(self._steps):
            rows = torch.randperm(len(target))[:128]
            optimiser.zero_grad()
            loss = nn.functional.huber_loss(net(*(part[rows] for part in batch)), target[rows])
            loss.backward()
            optimiser.step()

    def predict(self, architectures: Architectures) -> tuple[np.ndarray, np.ndarray]:
        """Mean (n,) and standard deviation (n,) of the members."""
        batch = self._batch(architectures)
        with torch.no_grad():
            found = torch.stack([net(*batch) for net in self._nets]).double().numpy()
        return found.mean(axis=0) * self._unit[0] + self._shift[0], (found.std(axis=0) + 1e-6) * self._unit[0]


def _label(kind: str, fields: dict[str, object]) -> str:
    """Type of a node with its fields that are words."""
    words = [f"{k}={v}" for k, v in sorted(fields.items()) if isinstance(v, str | bool)]
    return " ".join([kind, *words])
