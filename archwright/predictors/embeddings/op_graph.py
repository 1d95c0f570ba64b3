"""The graph of operators of an architecture, as path and edit-distance embeddings read it.

Nodes are leaves with a label, edges say whose output a leaf reads. Where the network is a stack of equal cells, one
cell of each kind stands for all of them: their number is the same for the whole space.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from archwright.operators.base import Leaf
from archwright.operators.cell import Cell
from archwright.operators.join import Add, ConcatJoin, Mul
from archwright.operators.sequential import flat
from archwright.operators.skip import Skip
from archwright.operators.walk import OneWalker, network_of
from archwright.operators.zero import Zero
from archwright.space import Architecture

JOINS = (Add, ConcatJoin, Mul)


@dataclass(frozen=True)
class OpGraph:
    """Operators in topological order.

    labels: of each leaf; `inputs` first, the result is what `result` reads.
    edges: (source, target) places in `labels`.
    result: places of the leaves that reach the end directly.
    """

    labels: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    result: tuple[int, ...]

    @property
    def adjacency(self) -> np.ndarray:
        """(nodes, nodes) bool."""
        matrix = np.zeros((len(self.labels), len(self.labels)), dtype=bool)
        for i, j in self.edges:
            matrix[i, j] = True
        return matrix


class _Tracer(OneWalker):
    """Values are sets of places whose outputs are summed or joined; joins and plain skips leave no node."""

    def __init__(self, labels: list[str]) -> None:
        super().__init__()
        self.labels, self.edges = labels, list[tuple[int, int]]()

    def plain_leaf(self, leaf: Leaf, values: tuple[frozenset[int], ...]) -> frozenset[int]:
        read = frozenset().union(*values)
        if isinstance(leaf, JOINS) or (isinstance(leaf, Skip) and leaf.stride == 1 and leaf.channels is None):
            return read
        if isinstance(leaf, Zero) or not read:
            return frozenset()
        place = len(self.labels)
        self.labels.append(label_of(leaf))
        self.edges += [(i, place) for i in sorted(read)]
        return frozenset({place})


def label_of(leaf: Leaf) -> str:
    """Class and the settings that are not the default ones."""
    given = [(f.name, getattr(leaf, f.name), f.default) for f in fields(leaf)]
    return f"{type(leaf).__name__}({', '.join(f'{n}={v}' for n, v, default in given if v != default)})"


def graph_of(part: Any, inputs: int = 1) -> OpGraph:
    """The graph of an operator with some inputs."""
    labels = [f"input{i}" for i in range(inputs)]
    tracer = _Tracer(labels)
    ends = tracer.run(part, *(frozenset({i}) for i in range(inputs)))
    return OpGraph(tuple(labels), tuple(tracer.edges), tuple(sorted(ends)))


def graphs_of(architecture: Architecture) -> list[OpGraph]:
    """One graph for each kind of cell, or the graph of the whole network if it has no cells."""
    cells = list(dict.fromkeys(cells_in(architecture.tree)))
    if cells:
        return [graph_of(cell, cell.inputs) for cell in cells]
    return [graph_of(network_of(architecture.tree)[0])]


def cells_in(node: Any) -> Iterator[Cell]:
    """Every cell of a tree without choices, in order."""
    if isinstance(node, Cell):
        yield node
    elif isinstance(node, tuple | list):
        for item in flat(node):
            yield from cells_in(item)
    elif isinstance(node, dict):
        for item in node.values():
            yield from cells_in(item)
    elif is_dataclass(node) and not isinstance(node, type):
        for f in fields(node):
            yield from cells_in(getattr(node, f.name))
