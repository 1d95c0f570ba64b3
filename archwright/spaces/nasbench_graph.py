"""NAS-Bench-Graph: four graph layers, each of which reads the input or one layer before it.

Qin et al., "NAS-Bench-Graph: Benchmarking Graph Neural Architecture Search" (2022), section 3.1: nine wirings (digit i
says what layer i reads, 0 is the input) and nine operators. Layers that none reads are put side by side and read by the
output. Width, a linear map before the layers and a second one behind them differ between the tables' data sets; those
in `PUBLISHED` follow from the tables' numbers of parameters, which agree on every row with `released_params`.

The released networks normalise what a layer reads, where that is not the raw input, and hold four norms whether they
are used or not. Here a layer's output is normalised, once for all that read it, and a skip is nothing at all, so that
networks which the table takes for isomorphic are equal. The released `arma` layer holds a matrix for further
iterations that it does not have; it is not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from archwright.errors import SpaceError, nearest
from archwright.operators.base import Composite, Operator, Run, Shape
from archwright.operators.graph_attention import GraphAttention
from archwright.operators.graph_conv import GraphConv
from archwright.operators.graph_nodes import GraphPart, NodeNorm
from archwright.operators.head import Classifier
from archwright.operators.join import ConcatJoin
from archwright.operators.linear import Linear
from archwright.operators.sequential import Sequential, flat
from archwright.registry import register
from archwright.space import Space, oneof

LINKS = ("0000", "0001", "0011", "0012", "0013", "0111", "0112", "0122", "0123")
OPERATORS = ("gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "fc", "skip")
ON_PROTEINS = ("gcn", "sage", "arma", "fc", "skip")
LAYERS = 4


class Published(NamedTuple):
    """What the networks of one table share. `mapped`: a linear map before the layers; `hidden`: one behind them."""

    features: int
    outputs: int
    width: int
    mapped: bool
    hidden: bool
    operators: tuple[str, ...] = OPERATORS


PUBLISHED: Mapping[str, Published] = MappingProxyType(
    {
        "cora": Published(1433, 7, 256, mapped=False, hidden=True),
        "pubmed": Published(500, 3, 128, mapped=False, hidden=False),
        "cs": Published(6805, 15, 128, mapped=True, hidden=False),
        "computers": Published(767, 10, 64, mapped=True, hidden=True),
        "arxiv": Published(128, 40, 128, mapped=False, hidden=True),
        "proteins": Published(8, 112, 256, mapped=True, hidden=True, operators=ON_PROTEINS),
    }
)


@dataclass(frozen=True)
class GraphLayer(Composite):
    """An operator on nodes and edges, or on nodes alone, then batch norm and relu."""

    operator: Operator
    dropout: float

    def flow(self, run: Run, *inputs: Any) -> Any:
        """(N, D) and (N, N) -> (N, width)."""
        x, edges = inputs
        y = run(self.operator, x) if isinstance(self.operator, Linear) else run(self.operator, x, edges)
        return run(self.inner("norm", NodeNorm(dropout=self.dropout)), y)


@dataclass(frozen=True)
class SkipLayer(Composite):
    """The nodes as they are."""

    def flow(self, run: Run, *inputs: Any) -> Any:
        """(N, D) and (N, N) -> (N, D)."""
        return inputs[0]


@dataclass(frozen=True)
class GraphNetwork(Composite):
    """Graph layers, wired as `links` says, between what comes first and last."""

    links: str
    layers: tuple[Any, ...]
    first: tuple[Operator, ...]
    last: tuple[Operator, ...]

    def flow(self, run: Run, *inputs: Any) -> Any:
        """(N, F + N) -> outputs."""
        (x,) = inputs
        edges = run(self.inner("edges", GraphPart("edges")), x)
        nodes = run(self.inner("nodes", GraphPart("nodes")), x)
        states = [run(Sequential(self.first), nodes) if self.first else nodes]
        for link, layer in zip(self.links, flat(self.layers), strict=True):
            states.append(run(layer, states[int(link)], edges))
        ends = [state for i, state in enumerate(states) if i and str(i) not in self.links]
        joined = ends[0] if len(ends) == 1 else run(self.inner(f"join{len(ends)}", ConcatJoin(-1)), *ends)
        return run(Sequential(self.last), joined)

    def normal_codes(self, codes: np.ndarray) -> np.ndarray:
        """Of a space's tree: one code for all that stand for one network, see `network_keys`.

        Args:
            codes: (n, 5).
        """
        options = self.layers[0].options
        skip = next((k for k, option in enumerate(options) if isinstance(option, SkipLayer)), -1)
        keys, first = _first_of_each(len(options), skip)
        return first[np.searchsorted(keys, network_keys(codes, skip))]


def layer_of(name: str, width: int, dropout: float = 0.0) -> Operator:
    """The layer of a published name.

    Raises:
        SpaceError: if there is none.
    """
    if name not in OPERATORS:
        raise SpaceError(f"operator of nasbench_graph is {name!r}; {nearest(name, OPERATORS)}")
    if name == "skip":
        return SkipLayer()
    if name == "fc":
        return GraphLayer(Linear(width), dropout)
    return GraphLayer(GraphAttention(width) if name == "gat" else GraphConv(width, name), dropout)


@register(
    "spaces",
    "nasbench_graph",
    labels={
        "family": "macro",
        "inputs": "graphs",
        "small": {"width": 8, "mapped": True, "operators": ("gat", "gcn", "arma", "fc", "skip")},
    },
)
def nasbench_graph(
    input_shape: Shape = (32, 1465),
    outputs: int = 7,
    *,
    width: int = 256,
    mapped: bool = False,
    hidden: bool = True,
    operators: tuple[str, ...] = OPERATORS,
    every: bool = False,
    dropout: float = 0.0,
) -> Space:
    """The 9^5 = 59,049 networks of the table, which trained 26,206 that differ; by default as on Cora.

    Args:
        input_shape: (N, F + N) graphs: the features of each node, then its row of the edges.
        outputs: classes.
        width: features of every layer, a multiple of the four heads of `gat`.
        mapped: a linear map to the width before the layers; without it layers that read the input read its features.
        hidden: a linear map to the width before the outputs.
        operators: published names of what a layer may be.
        every: outputs (N, outputs) of every node in place of those of the first one.
        dropout: share of a layer's features that training leaves out.

    Raises:
        SpaceError: if the input is no graph.
    """
    if len(input_shape) != 2 or input_shape[1] <= input_shape[0]:
        raise SpaceError(f"nasbench_graph expects graphs (nodes, features + nodes), got {input_shape}")
    options = [layer_of(name, width, dropout) for name in operators]
    layers = tuple(oneof(*options, name=f"layer{i}") for i in range(LAYERS))
    first = (Linear(width), NodeNorm(dropout=dropout)) if mapped else ()
    last: tuple[Operator, ...] = (
        Classifier(outputs, pool="cls", hidden=width if hidden else 0, activation="identity"),
    )
    if every:
        last = (Linear(width), Linear(outputs)) if hidden else (Linear(outputs),)
    return Space(GraphNetwork(oneof(*LINKS, name="links"), layers, first, last))


def of_table(table: str, nodes: int = 32) -> Space:
    """The space of one table's networks: `cora`, `pubmed`, `cs`, `computers`, `arxiv` or `proteins`.

    Raises:
        SpaceError: if there is no such table.
    """
    if table not in PUBLISHED:
        raise SpaceError(f"NAS-Bench-Graph has no table {table!r} here; {nearest(table, PUBLISHED)}")
    p = PUBLISHED[table]
    return nasbench_graph(
        (nodes, p.features + nodes), p.outputs, width=p.width, mapped=p.mapped, hidden=p.hidden, operators=p.operators
    )


def network_keys(codes: np.ndarray, skip: int) -> np.ndarray:
    """(n,) int64 numbers that two codes share exactly if their networks are equal up to the names of layers.

    Once skips are gone, layers form a tree below the input. Its layers are written down in depth-first order, readers
    of one layer sorted, a byte each: the operator, how often the output reads it, and its depth.

    Args:
        codes: (n, 5).
        skip: number of the operator that passes its input on; -1 if there is none. There are fifteen at most.
    """
    reads = np.array([[int(digit) for digit in links] for links in LINKS])[codes[:, 0]]  # (n, 4)
    operators, rows = codes[:, 1:].astype(np.int64), np.arange(len(codes))
    state, ends, depth = (np.zeros((len(codes), LAYERS + 1), np.int64) for _ in range(3))
    for i in range(1, LAYERS + 1):  # `state`: which layer computes what layer i puts out
        source = state[rows, reads[:, i - 1]]
        state[:, i] = np.where(operators[:, i - 1] == skip, source, i)
        depth[:, i] = depth[rows, source] + 1
        ends[rows, state[:, i]] += ~(reads == i).any(axis=1)
    written = np.zeros((len(codes), LAYERS + 1, LAYERS), np.int64)  # by whom it is read: 0 if that is no reader
    for i in range(LAYERS, 0, -1):
        own = (operators[:, i - 1] + 1) << 4 | ends[:, i] << 2 | depth[:, i] - 1
        written[rows, state[rows, reads[:, i - 1]], i - 1] = np.where(
            operators[:, i - 1] == skip, 0, _joined(own, written[:, i])
        )
    return _joined(ends[:, 0] + 1, written[:, 0])


def _joined(first: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n,) the bytes of `first` (n,), then those of `others` (n, k) from the largest to the smallest; 0 is no byte."""
    for other in np.sort(others, axis=1)[:, ::-1].T:
        size = sum((other >> 8 * k > 0).astype(np.int64) for k in range(LAYERS))
        first = first << 8 * size | other
    return first


@lru_cache(maxsize=8)
def _first_of_each(options: int, skip: int) -> tuple[np.ndarray, np.ndarray]:
    """Sorted keys (m,) of all networks, and the first code (m, 5) of each."""
    shape = (len(LINKS), *[options] * LAYERS)
    codes = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1).astype(np.int16)
    keys, first = np.unique(network_keys(codes, skip), return_index=True)
    return keys, codes[first]


def from_keys(keys: np.ndarray, operators: Sequence[str] = OPERATORS) -> np.ndarray:
    """Codes int16 (n, 5) of the tables' keys (n,), whose decimal digits are the wiring and four of `OPERATORS`.

    Raises:
        SpaceError: if a key is none, or names an operator that the space does not have.
    """
    keys = np.asarray(keys, np.int64)
    digits = keys[:, None] // 10 ** np.arange(LAYERS, -1, -1) % 10
    place = np.array([operators.index(name) if name in operators else -1 for name in OPERATORS] + [-1])
    codes = np.concatenate([np.where(digits[:, :1] < len(LINKS), digits[:, :1], -1), place[digits[:, 1:]]], axis=1)
    bad = (codes < 0).any(axis=1) | (keys < 0) | (keys >= 10 ** (LAYERS + 1))
    if bad.any():
        raise SpaceError(
            f"expected keys of five digits, a wiring 0 to {len(LINKS) - 1} and four operators out of {tuple(operators)}"
            f" as numbered in {OPERATORS}, got {keys[bad][0]}"
        )
    return codes.astype(np.int16)


def to_keys(codes: np.ndarray, operators: Sequence[str] = OPERATORS) -> np.ndarray:
    """The tables' keys int64 (n,) of codes (n, 5)."""
    place = np.array([OPERATORS.index(name) for name in operators])
    digits = np.concatenate([codes[:, :1].astype(np.int64), place[codes[:, 1:]]], axis=1)
    return (digits * 10 ** np.arange(LAYERS, -1, -1)).sum(axis=1)


def released_params(params: np.ndarray, codes: np.ndarray, table: str) -> np.ndarray:
    """(n,) parameters that the released networks hold, unused ones included, where ours hold `params` (n,).

    Args:
        params: of the networks built here.
        codes: (n, 5).
        table: one of `PUBLISHED`.
    """
    p = PUBLISHED[table]
    names = np.array(p.operators)[codes[:, 1:]]
    norms = (names != "skip").sum(axis=1) + p.mapped
    return params + 2 * p.width * (LAYERS - norms) + p.width**2 * (names == "arma").sum(axis=1)
