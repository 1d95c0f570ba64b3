"""The cell space of sharpDARTS (Hundt et al., 2019, sections 3.1 and 4.1): DARTS cells of sharp separable convolutions.

Nine operators on the edges of DARTS cells: none, max pooling, skip, and the plain, flood (four times the channels
between the halves) and choke (32 channels between) sharp separable convolutions, each with and without dilation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archwright.operators.base import Composite, Example, Operator, Run, Shape
from archwright.operators.cell import Cell, Edge, Node
from archwright.operators.cell_stack import CellStack
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.sharp_sep_conv import SharpSepConv
from archwright.registry import register
from archwright.space import Space, oneof
from archwright.spaces.darts import candidate, preprocess

OPERATORS = (
    "none",
    "max_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "dil_conv_3x3",
    "flood_conv_3x3",
    "dil_flood_conv_3x3",
    "choke_conv_3x3",
    "dil_choke_conv_3x3",
)
FLOOD = 4  # channels between the halves as a multiple of the output's
CHOKE = 32


def sharp_candidate(name: str, channels: int, stride: int, affine: bool = False, choke: int = CHOKE) -> Operator:
    """One of the operators by its published name."""
    if "conv" not in name:
        return candidate(name, channels, stride, affine)
    return SharpSepConv(
        channels,
        int(name[-1]),
        stride,
        dilation=2 if name.startswith("dil_") else 1,
        ratio=FLOOD if "flood" in name else 1,
        middle=choke if "choke" in name else None,
        affine=affine,
    )


@dataclass(frozen=True)
class SharpCandidate(Composite):
    """The operator of an edge by its published name; `choke` are the channels between the halves of a choke."""

    name: str
    channels: int
    stride: int = 1
    choke: int = CHOKE
    affine: bool = False

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Run the named operator, whose weights are its own."""
        found = sharp_candidate(self.name, self.channels, self.stride, self.affine, self.choke)
        return run(self.inner(self.name, found), *inputs)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Every operator, plain and strided."""
        return [(cls(name, 4, stride, 2), ((4, 6, 6),)) for name in OPERATORS for stride in (1, 2)]


@register(
    "spaces",
    "sharpdarts",
    labels={
        "family": "cell",
        "inputs": "images, series",
        "small": {"channels": 4, "cells": 3, "nodes": 2, "choke": 2},
    },
)
def sharpdarts(
    input_shape: Shape,
    outputs: int,
    *,
    channels: int = 16,
    cells: int = 8,
    nodes: int = 4,
    operators: tuple[str, ...] = OPERATORS,
    choke: int = CHOKE,
) -> Space:
    """The sharpDARTS search network: 2 x 14 decisions of 9 operators with the defaults.

    Args:
        input_shape: (C, H, W) or (C, L).
        outputs: classes or values.
        channels: of the first cells; doubled by each of the two reductions, at a third and two thirds of the depth.
        cells: in the stack.
        nodes: of a cell.
        operators: published names of the candidates.
        choke: channels between the halves of a choke convolution.
    """
    width, reduced, stack = channels, False, list[Any]()
    for i in range(cells):
        kind = "reduce" if i in (cells // 3, 2 * cells // 3) else "normal"
        width = 2 * width if kind == "reduce" else width
        rows = []
        for n in range(2, 2 + nodes):
            strides = [2 if kind == "reduce" and j < 2 else 1 for j in range(n)]
            names = [oneof(*operators, name=f"{kind}.{n}.{j}") for j in range(n)]
            edges = zip(names, strides, strict=True)
            rows.append(Node(tuple(Edge(j, SharpCandidate(o, width, s, choke)) for j, (o, s) in enumerate(edges))))
        stack.append(Cell(tuple(rows), 2, "concat", preprocess(width, reduced)))
        reduced = kind == "reduce"
    stem = Conv(3 * channels, activation="identity")
    return Space(CellStack(stem, tuple(stack), Classifier(outputs)))
