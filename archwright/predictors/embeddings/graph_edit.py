"""Graph edit distances to landmarks, laid out by multidimensional scaling.

Tuli et al., "FlexiBERT: Are Current Transformer Architectures too Homogeneous and Rigid?" (2023), section 3.2: pairwise
edit distances of computational graphs become vectors whose Euclidean distances are close to them. The edit distance is
the bipartite bound of Riesen & Bunke (2009), exact for labels, approximate for edges; new architectures are placed by
their distances to landmarks (de Silva & Tenenbaum, 2004, section 2.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from archwright.predictors.embeddings.op_graph import OpGraph, graphs_of
from archwright.registry import register
from archwright.space import Architectures, Space


@register("embeddings", "graph_edit", labels={"space": "one"})
class GraphEdit:
    """Coordinates by landmark multidimensional scaling of graph edit distances.

    Args:
        space: whose members are the landmarks.
        dimensions: of the rows; fewer if the distances need no more.
        landmarks: architectures that all others are compared with.
        seed: draws the landmarks.
    """

    def __init__(self, space: Space, *, dimensions: int = 16, landmarks: int = 48, seed: int = 0) -> None:
        drawn = space.sample(landmarks, np.random.default_rng(seed)).unique()
        self._landmarks = [graphs_of(a) for a in drawn]
        squared = np.square([[distance_of(a, b) for b in self._landmarks] for a in self._landmarks])
        squared = (squared + squared.T) / 2.0
        self._mean = squared.mean(axis=0)  # (landmarks,)
        centred = -0.5 * (squared - self._mean[:, None] - self._mean[None, :] + self._mean.mean())
        values, vectors = np.linalg.eigh(centred)
        order = [i for i in np.argsort(values)[::-1][:dimensions] if values[i] > 1e-9]
        self._project = (vectors[:, order] / np.sqrt(values[order])).T  # (dimensions, landmarks)

    def embed(self, architectures: Architectures) -> np.ndarray:
        """(n, dimensions) float32."""
        graphs = [tuple(graphs_of(a)) for a in architectures]
        distances = {g: [distance_of(g, b) for b in self._landmarks] for g in dict.fromkeys(graphs)}
        squared = np.square(np.array([distances[g] for g in graphs]).reshape(len(graphs), len(self._landmarks)))
        return (-0.5 * (squared - self._mean) @ self._project.T).astype(np.float32)


def distance_of(a: Sequence[OpGraph], b: Sequence[OpGraph]) -> float:
    """Edit distances of the kinds of cells, summed in their order; a missing kind costs all its nodes and edges."""
    empty = OpGraph((), (), ())
    longest = max(len(a), len(b))
    padded = [[*graphs, *[empty] * (longest - len(graphs))] for graphs in (a, b)]
    return sum(edit_distance(g, h) for g, h in zip(*padded, strict=True))


def edit_distance(a: OpGraph, b: OpGraph) -> float:
    """Approximate number of changed, added and removed nodes and edges (Riesen & Bunke, 2009, section 3)."""
    n, m = len(a.labels), len(b.labels)
    if not n or not m:
        return float(n + m + len(a.edges) + len(b.edges))
    degrees = [_degrees(g) for g in (a, b)]  # (nodes, 2): read by, reads
    labels = np.array(a.labels)[:, None] != np.array(b.labels)[None, :]
    nodes = labels + 0.5 * np.abs(degrees[0][:, None, :] - degrees[1][None, :, :]).sum(axis=2)
    big = 1e6
    cost = np.full((n + m, n + m), big)
    cost[:n, :m] = nodes
    cost[np.arange(n), m + np.arange(n)] = 1.0 + 0.5 * degrees[0].sum(axis=1)
    cost[n + np.arange(m), np.arange(m)] = 1.0 + 0.5 * degrees[1].sum(axis=1)
    cost[n:, m:] = 0.0
    rows, columns = linear_sum_assignment(cost)
    matched = {int(r): int(c) for r, c in zip(rows, columns, strict=True) if r < n and c < m}
    changed = sum(bool(labels[r, c]) for r, c in matched.items()) + (n - len(matched)) + (m - len(matched))
    others = set(b.edges)
    kept = sum((matched.get(i), matched.get(j)) in others for i, j in a.edges)
    ends = set(a.result) ^ {r for r, c in matched.items() if c in b.result}
    return float(changed + len(a.edges) + len(b.edges) - 2 * kept + len(ends))


def _degrees(graph: OpGraph) -> np.ndarray:
    matrix = graph.adjacency
    return np.stack([matrix.sum(axis=1), matrix.sum(axis=0)], axis=1).astype(np.float64)
