"""The cell space of DARTS (Liu et al., 2019, section 3.1), for search and for evaluation.

Eight cells of four nodes are searched, two of them reductions; every node reads all states before it through one of
eight operators. The found cells, with the two strongest edges of each node, are stacked 20 high.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archwright.operators.auxiliary import Auxiliary
from archwright.operators.base import Composite, Example, Operator, Run, Shape
from archwright.operators.cell import Cell, Edge, Node
from archwright.operators.cell_stack import CellStack
from archwright.operators.conv import Conv
from archwright.operators.depthwise_separable import DepthwiseSeparable
from archwright.operators.dilated import Dilated
from archwright.operators.drop_path import DropPath
from archwright.operators.head import Classifier
from archwright.operators.pool import AvgPool, MaxPool
from archwright.operators.skip import Skip
from archwright.operators.skip_dropout import SkipDropout
from archwright.operators.zero import Zero
from archwright.registry import register
from archwright.space import Space, oneof

OPERATORS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


@dataclass(frozen=True)
class Candidate(Composite):
    """The operator of an edge by its published name; the cell says how wide and how strided it is.

    Cells of one kind share the choice of `name` although their channels and strides differ.
    """

    name: str
    channels: int
    stride: int = 1
    affine: bool = False
    drop_path: float = 0.0
    skip_dropout: float = 0.0

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Run the named operator, whose weights are its own; identities are never dropped."""
        y = run(self.inner(self.name, candidate(self.name, self.channels, self.stride, self.affine)), *inputs)
        skip = self.name == "skip_connect" and self.stride == 1
        if skip and self.skip_dropout:
            return run(self.inner("skip dropout", SkipDropout(self.skip_dropout)), y)
        identity = self.name == "none" or skip
        return y if identity or not self.drop_path else run(self.inner("drop", DropPath(self.drop_path)), y)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Every operator of DARTS, plain and strided."""
        return [(cls(name, 4, stride), ((4, 6, 6),)) for name in OPERATORS for stride in (1, 2)]


def candidate(name: str, channels: int, stride: int, affine: bool = False) -> Operator:
    """One of the operators by its published name."""
    if name == "none":
        return Zero(stride)
    if name == "skip_connect":
        return Skip(stride, channels if stride > 1 else None, affine=affine)
    if name.endswith("pool_3x3"):
        pool = MaxPool if name.startswith("max") else AvgPool
        return pool(3, stride, norm="none" if affine else "batch")  # a norm in the search alone, as published
    kernel = int(name[-1])
    if name.startswith("sep"):
        return DepthwiseSeparable(channels, kernel, stride, twice=True, affine=affine)
    return Dilated(channels, kernel, stride, affine=affine)


def preprocess(channels: int, reduced: bool, affine: bool = False) -> tuple[Operator, Operator]:
    """Bring both inputs of a cell to its channels and size."""
    squeeze = Conv(channels, kernel=1, activation_first=True, affine=affine)
    first = Skip(2, channels, affine=affine) if reduced else squeeze
    return first, squeeze


@dataclass(frozen=True)
class Style:
    """How the operators of all cells are made."""

    nodes: int
    operators: tuple[str, ...]
    affine: bool
    drop_path: float


def searched_cell(kind: str, channels: int, reduced: bool, style: Style) -> Cell:
    """A cell whose edges are choices; cells of one kind share their decisions."""
    rows = []
    for i in range(style.nodes):
        edges = []
        for j in range(2 + i):
            stride = 2 if kind == "reduce" and j < 2 else 1
            name = oneof(*style.operators, name=f"{kind}.{2 + i}.{j}")
            edges.append(Edge(j, Candidate(name, channels, stride, style.affine, style.drop_path)))
        rows.append(Node(tuple(edges)))
    return Cell(tuple(rows), 2, "concat", preprocess(channels, reduced, style.affine))


@register(
    "spaces",
    "darts",
    labels={"family": "cell", "inputs": "images, series", "small": {"channels": 4, "cells": 3, "nodes": 2}},
)
def darts(
    input_shape: Shape,
    outputs: int,
    *,
    channels: int = 16,
    cells: int = 8,
    nodes: int = 4,
    operators: tuple[str, ...] = OPERATORS,
    affine: bool = False,
    drop_path: float = 0.0,
    auxiliary: bool = False,
) -> Space:
    """The DARTS search network: 2 x 14 decisions of 8 operators with the defaults.

    `darts_evaluation` gives the network that found cells are trained in.

    Args:
        input_shape: (C, H, W) or (C, L).
        outputs: classes or values.
        channels: of the first cells; doubled by each of the two reductions, at a third and two thirds of the depth.
        cells: in the stack.
        nodes: of a cell.
        operators: published names of the candidates.
        affine: whether batch norms of the cells are trained; not while searching.
        drop_path: probability at the end of training that an edge is dropped.
        auxiliary: whether there is an auxiliary head after two thirds of the cells.
    """
    style = Style(nodes, tuple(operators), affine, drop_path)
    width, reduced, stack = channels, False, list[Any]()
    for i in range(cells):
        kind = "reduce" if i in (cells // 3, 2 * cells // 3) else "normal"
        width = 2 * width if kind == "reduce" else width
        stack.append(searched_cell(kind, width, reduced, style))
        reduced = kind == "reduce"
    stem = Conv(3 * channels, activation="identity")
    extra = Auxiliary(outputs) if auxiliary else None
    return Space(CellStack(stem, tuple(stack), Classifier(outputs), extra, 2 * cells // 3))


@register(
    "spaces",
    "darts_evaluation",
    labels={"family": "cell", "inputs": "images", "small": {"channels": 4, "cells": 3, "nodes": 2}},
)
def darts_evaluation(
    input_shape: Shape,
    outputs: int,
    *,
    channels: int = 36,
    cells: int = 20,
    nodes: int = 4,
    drop_path: float = 0.2,
    auxiliary: bool = True,
) -> Space:
    """The network that evaluates found cells on CIFAR-10: 20 cells of 36 channels (Liu et al., 2019, section 3.1.3).

    Its decisions are those of `darts`; `transfer` brings an architecture here.

    Args:
        input_shape: (C, H, W).
        outputs: classes.
        channels: of the first cells.
        cells: in the stack.
        nodes: of a cell.
        drop_path: probability at the end of training that an edge is dropped.
        auxiliary: whether there is an auxiliary head.
    """
    return darts(
        input_shape,
        outputs,
        channels=channels,
        cells=cells,
        nodes=nodes,
        affine=True,
        drop_path=drop_path,
        auxiliary=auxiliary,
    )
