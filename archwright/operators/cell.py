"""Cells: small directed acyclic graphs of operators, as in NASNet, DARTS and NAS-Bench-201."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archwright.errors import SpaceError
from archwright.operators.base import Composite, Example, Leaf, Operator, Run
from archwright.operators.conv import Conv
from archwright.operators.depthwise_separable import DepthwiseSeparable
from archwright.operators.join import Add, ConcatJoin, Mul
from archwright.operators.pool import AvgPool, MaxPool
from archwright.operators.rules import member
from archwright.operators.sequential import flat
from archwright.operators.skip import Skip
from archwright.operators.zero import Zero
from archwright.registry import register

JOINS: dict[str, type[Leaf]] = {"sum": Add, "concat": ConcatJoin, "mul": Mul}


@register("operators", "edge", labels={"family": "composite"})
@dataclass(frozen=True)
class Edge(Composite):
    """Applies an operator to one of the states before: 0 is the cell's first input, nodes follow the inputs."""

    source: int
    operator: Operator

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Pick the state and run."""
        if not isinstance(self.source, int) or not 0 <= self.source < len(inputs):
            raise SpaceError(f"source of Edge must be one of the {len(inputs)} states before it, got {self.source!r}")
        return run(self.operator, inputs[self.source])

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """The second of two states."""
        return [(cls(1, Conv(4)), ((3, 6, 6), (4, 6, 6)))]


@register("operators", "node", labels={"family": "composite"})
@dataclass(frozen=True)
class Node(Composite):
    """Joins what its edges bring from the states before; `combine` is `sum`, `concat` or `mul`."""

    edges: tuple[Any, ...]
    combine: str = "sum"

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Run every edge on all states, then join; one edge needs no join."""
        member(self, "combine", self.combine, tuple(JOINS))
        if not isinstance(self.edges, tuple | list) or not self.edges:
            raise SpaceError(f"Node needs a tuple of at least one edge, got {self.edges!r}")
        values = [run(edge, *inputs) for edge in flat(self.edges)]
        return values[0] if len(values) == 1 else run(self.inner("join", JOINS[self.combine]()), *values)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Two edges, summed and concatenated."""
        edges = (Edge(0, Conv(4)), Edge(1, Skip()))
        return [(cls(edges, how), ((3, 6, 6), (4, 6, 6))) for how in ("sum", "concat")]


@register("operators", "cell", labels={"family": "composite"})
@dataclass(frozen=True)
class Cell(Composite):
    """A directed acyclic graph: the inputs are states 0 .. inputs - 1, each node adds a state.

    `result` says what leaves: `last` the last node (NAS-Bench-201, Dong and Yang, 2020), `concat` all nodes side by
    side (DARTS, Liu et al., 2019, section 2.1), `loose` the states that no edge reads (NASNet, Zoph et al., 2018),
    concatenated. `preprocess` holds nothing or one operator for each input.
    """

    nodes: tuple[Any, ...]
    inputs: int = 1
    result: str = "concat"
    preprocess: tuple[Any, ...] = ()

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Preprocess, run the nodes in order, collect."""
        member(self, "result", self.result, ("last", "concat", "loose"))
        if len(inputs) != self.inputs:
            raise SpaceError(f"this Cell takes {self.inputs} inputs, got {len(inputs)}")
        if self.preprocess and len(self.preprocess) != self.inputs:
            raise SpaceError(
                f"preprocess of Cell needs one operator for each of {self.inputs} inputs, got {self.preprocess}"
            )
        states = list(inputs)
        if self.preprocess:
            states = [run(part, x) for part, x in zip(self.preprocess, inputs, strict=True)]
        nodes = list(flat(self.nodes))
        if not nodes:
            raise SpaceError("Cell needs at least one node, got none")
        for node in nodes:
            states.append(run(node, *states))
        if self.result == "last":
            return states[-1]
        ends = states[self.inputs :] if self.result == "concat" else self._loose(nodes, states)
        return ends[0] if len(ends) == 1 else run(self.inner("output", ConcatJoin()), *ends)

    def _loose(self, nodes: Sequence[Any], states: Sequence[Any]) -> list[Any]:
        if not all(isinstance(n, Node) and all(isinstance(e, Edge) for e in flat(n.edges)) for n in nodes):
            raise SpaceError("result='loose' needs nodes and edges that are decided, since it reads their sources")
        read = {edge.source for node in nodes for edge in flat(node.edges)}
        return [state for i, state in enumerate(states) if i not in read]

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """A cell of NAS-Bench-201, of DARTS and of NASNet each."""
        conv = Conv(4, activation_first=True)
        bench = (
            Node((Edge(0, conv),)),
            Node((Edge(0, Skip()), Edge(1, AvgPool()))),
            Node((Edge(0, Zero()), Edge(1, conv), Edge(2, Skip()))),
        )
        separable = DepthwiseSeparable(4, twice=True, affine=False)
        darts = (
            Node((Edge(0, separable), Edge(1, Skip()))),
            Node((Edge(1, MaxPool(norm="batch")), Edge(2, separable))),
        )
        squeeze = Conv(4, kernel=1, activation_first=True, affine=False)
        return [
            (cls(bench, result="last"), ((4, 6, 6),)),
            (cls(darts, 2, "concat", (squeeze, squeeze)), ((3, 6, 6), (8, 6, 6))),
            (cls(darts, 2, "loose", (Skip(2, 4), squeeze)), ((3, 12, 12), (8, 6, 6))),
        ]
