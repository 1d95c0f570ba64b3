"""NAS-Bench-101: a directed acyclic graph with up to nine edges, the same in every cell of a fixed macro structure.

Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search" (2019), sections 2.1 and 2.2, with the
channel rule of the released code: a 3x3 convolution, three stacks of three cells, a 2x2 max pooling and twice the
channels between stacks. Inner vertices are 1x1 or 3x3 convolutions or 3x3 max pooling. Vertices that lead to the output
share its channels and are concatenated; a vertex before them has as many as the widest one that reads it, which takes
the first ones. What leaves the input passes a 1x1 convolution. Vertices and edges on no way from input to output are no
part of the network, so several codes stand for one network; `normal_codes` names one of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from archwright.errors import SpaceError
from archwright.operators.base import Composite, Operator, Run, Shape
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.join import Add, ConcatJoin
from archwright.operators.partial_channels import FirstChannels
from archwright.operators.pool import MaxPool
from archwright.operators.same_conv import SameConv
from archwright.operators.sequential import Sequential, flat
from archwright.registry import register
from archwright.space import Space, constraint, oneof

OPERATORS = ("conv1x1", "conv3x3", "maxpool3x3")  # the codes of the tables here
EDGES_AT_MOST = 9
TABULATED = 5  # vertices up to which the rule on edges is counted exactly


def matrix_of(edges: tuple[bool, ...], vertices: int) -> np.ndarray:
    """(v, v) upper triangular bool of the edges row by row."""
    matrix = np.zeros((vertices, vertices), bool)
    matrix[np.triu_indices(vertices, 1)] = edges
    return matrix


def on_ways(adjacency: np.ndarray) -> np.ndarray:
    """(..., v) bool which vertices lie on a way from the first to the last, of adjacency (..., v, v)."""
    v = adjacency.shape[-1]
    reach = np.linalg.matrix_power(adjacency.astype(np.int64) + np.eye(v, dtype=np.int64), v) > 0
    return reach[..., 0, :] & reach[..., :, v - 1]


def widths_of(matrix: np.ndarray, channels: int) -> list[int]:
    """Channels of every vertex of a pruned graph (v, v); those of input and output are the cell's."""
    last = len(matrix) - 1
    ends = [v for v in range(1, last) if matrix[v, last]]
    widths = [channels] * (last + 1)
    for rank, v in enumerate(ends):
        widths[v] = channels // len(ends) + (rank < channels % len(ends))
    for v in reversed([v for v in range(1, last) if not matrix[v, last]]):
        widths[v] = max((widths[u] for u in range(v + 1, last) if matrix[v, u]), default=0)
    return widths


@dataclass(frozen=True)
class GraphCell(Composite):
    """One cell: upper triangle of the adjacency matrix row by row, and the operators of the inner vertices."""

    edges: tuple[bool, ...]
    operators: tuple[Operator, ...]
    channels: int

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Vertex by vertex; the output concatenates and adds the input where an edge joins them.

        A graph without any way, which spaces refuse, is the projection alone: supernets look at every wiring.
        """
        (x,) = inputs
        operators = list(flat(self.operators))
        last = len(operators) + 1
        matrix = matrix_of(self.edges, last + 1)
        kept = on_ways(matrix)
        matrix &= kept[:, None] & kept[None, :]
        widths = widths_of(matrix, self.channels)
        states: dict[int, Any] = {}
        for v in (v for v in range(1, last) if kept[v]):
            read = [self._first(run, states[u], u, v, widths) for u in range(1, v) if matrix[u, v]]
            if matrix[0, v]:
                read.append(run(self.inner(f"input{v}", Conv(widths[v], 1)), x))
            joined = read[0] if len(read) == 1 else run(self.inner(f"add{v}", Add()), *read)
            states[v] = run(operators[v - 1], joined)
        ends = [states[v] for v in states if matrix[v, last]]
        if not ends:
            return run(self.inner("input", Conv(self.channels, 1)), x)
        out = ends[0] if len(ends) == 1 else run(self.inner("concat", ConcatJoin()), *ends)
        if matrix[0, last]:
            out = run(self.inner("add", Add()), out, run(self.inner("input", Conv(self.channels, 1)), x))
        return out

    def _first(self, run: Run, value: Any, source: int, vertex: int, widths: list[int]) -> Any:
        if widths[source] == widths[vertex]:
            return value
        return run(self.inner(f"first{source}_{vertex}", FirstChannels(channels=widths[vertex])), value)


@dataclass(frozen=True)
class GraphNetwork(Composite):
    """Parts in a row whose cells share one graph."""

    parts: tuple[Any, ...]
    vertices: int

    def flow(self, run: Run, *inputs: Any) -> Any:
        """As `Sequential`."""
        return run(Sequential(self.parts), *inputs)

    def normal_codes(self, codes: np.ndarray) -> np.ndarray:
        """See `normal_codes` of this module."""
        return normal_codes(codes, self.vertices)


def matrices_of(codes: np.ndarray, vertices: int) -> np.ndarray:
    """(n, v, v) bool adjacency of codes (n, D)."""
    rows, columns = np.triu_indices(vertices, 1)
    adjacency = np.zeros((len(codes), vertices, vertices), bool)
    adjacency[:, rows, columns] = codes[:, : len(rows)] == 1
    return adjacency


def normal_codes(codes: np.ndarray, vertices: int) -> np.ndarray:
    """One code for all that stand for one network: unused vertices last, the others in one of their possible orders.

    Args:
        codes: (n, D) edges row by row, then the operators of the inner vertices.
        vertices: of the graph, input and output included.

    Returns:
        (n, D) int16; the operator of an unused vertex is 0, its edges are absent.
    """
    rows, columns = np.triu_indices(vertices, 1)
    adjacency = matrices_of(codes, vertices)
    kept = on_ways(adjacency)
    adjacency &= kept[:, :, None] & kept[:, None, :]
    labels = np.where(kept[:, 1:-1], codes[:, len(rows) :] + 1, 0)
    best = np.full(len(codes), -1, np.int64)
    found = np.zeros((len(codes), len(rows) + vertices - 2), np.int16)
    for order in itertools.permutations(range(1, vertices - 1)):
        place = np.array([0, *order, vertices - 1])
        moved, names = adjacency[:, place][:, :, place], labels[:, place[1:-1] - 1]
        ahead = names[:, :-1] > 0
        legal = ~np.tril(moved).any(axis=(1, 2)) & (ahead | (names[:, 1:] == 0)).all(axis=1)
        upper = moved[:, rows, columns]
        key = np.zeros(len(codes), np.int64)
        for column, base in [*((names[:, k], 4) for k in range(vertices - 2)), *((u, 2) for u in upper.T)]:
            key = key * base + column
        better = legal & (key > best)
        best[better] = key[better]
        found[better] = np.concatenate([upper, np.maximum(names - 1, 0)], axis=1)[better]
    return found


def rule(vertices: int, most: int) -> Any:
    """Input and output are joined, by no more edges than the table allows."""

    def joined(*edges: bool) -> bool:
        return sum(edges) <= most and bool(on_ways(matrix_of(edges, vertices))[0])

    def network_is_joined(tree: GraphNetwork) -> bool:
        return joined(*next(part for part in flat(tree.parts) if isinstance(part, GraphCell)).edges)

    names = [f"edge_{i}_{j}" for i, j in itertools.combinations(range(vertices), 2)]
    return constraint(joined, *names) if vertices <= TABULATED else network_is_joined


@register(
    "spaces",
    "nasbench101",
    labels={
        "family": "cell",
        "inputs": "images",
        "small": {"vertices": 4, "channels": 4, "stacks": 2, "cells": 1},
    },
)
def nasbench101(
    input_shape: Shape = (3, 32, 32),
    outputs: int = 10,
    *,
    vertices: int = 5,
    channels: int = 128,
    stacks: int = 3,
    cells: int = 3,
    edges_at_most: int = EDGES_AT_MOST,
) -> Space:
    """Graphs of up to seven vertices; code k of an inner vertex is operator k of `OPERATORS`.

    Args:
        input_shape: (C, H, W).
        outputs: classes.
        vertices: of the graph at most, input and output included; the full table has 7.
        channels: of the first stack; each further one has twice as many.
        stacks: stacks of cells.
        cells: in each stack.
        edges_at_most: edges of the graph, those that lead nowhere included.

    Raises:
        SpaceError: if the input is no image, or the graph has no inner vertex.
    """
    if len(input_shape) != 3:
        raise SpaceError(f"nasbench101 expects images (C, H, W), got {input_shape}; use mlp for tables")
    if not 3 <= vertices <= 7:
        raise SpaceError(f"vertices of nasbench101 must be 3 to 7, got {vertices}")
    edges = tuple(oneof(False, True, name=f"edge_{i}_{j}") for i, j in itertools.combinations(range(vertices), 2))
    candidates = (SameConv(1, activation_first=False), SameConv(3, activation_first=False), MaxPool())
    inner = tuple(oneof(*candidates, name=f"vertex_{i}") for i in range(1, vertices - 1))
    parts: list[Operator] = [Conv(channels)]
    for stack in range(stacks):
        parts += [MaxPool(kernel=2, stride=2, padding=0)] if stack else []
        parts += [GraphCell(edges, inner, channels * 2**stack)] * cells
    return Space(GraphNetwork((*parts, Classifier(outputs)), vertices), rule(vertices, edges_at_most))


def to_graph(code: np.ndarray, vertices: int) -> Mapping[str, list[Any]]:
    """`module_adjacency` and `module_operations` of a code (D,), pruned, as in the published table."""
    edges = vertices * (vertices - 1) // 2
    matrix = matrix_of(tuple(code[:edges] == 1), vertices)
    kept = np.flatnonzero(on_ways(matrix))
    names = ["input", *(OPERATORS[code[edges + v - 1]] for v in kept[1:-1]), "output"]
    return {"module_adjacency": matrix[np.ix_(kept, kept)].astype(int).tolist(), "module_operations": names}


def from_graph(adjacency: np.ndarray, operators: list[int], vertices: int) -> np.ndarray:
    """Code int16 (D,) of a published graph.

    Args:
        adjacency: (k, k) upper triangular 0/1 of at most `vertices` vertices.
        operators: k - 2 positions in `OPERATORS`.
        vertices: of the space.

    Raises:
        SpaceError: if the graph does not fit.
    """
    k = len(adjacency)
    if k > vertices or len(operators) != k - 2 or np.tril(adjacency).any():
        raise SpaceError(
            f"expected an upper triangular matrix of at most {vertices} vertices and one operator for each inner one, "
            f"got {k} vertices and {len(operators)} operators"
        )
    place = [*range(k - 1), vertices - 1]
    matrix = np.zeros((vertices, vertices), np.int16)
    matrix[np.ix_(place, place)] = adjacency
    labels = [*operators, *[0] * (vertices - k)]
    return np.array([*matrix[np.triu_indices(vertices, 1)], *labels], np.int16)
