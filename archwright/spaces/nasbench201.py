"""NAS-Bench-201: cells of four nodes whose six edges carry one of five operators, in a fixed macro structure.

Dong & Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search" (2020), section 2.1: a 3x3
convolution, three stages of five cells with 16, 32 and 64 channels, a residual block with stride 2 between the stages,
batch norm, ReLU, global average pooling, a linear classifier. All cells are equal, so a network is six decisions.
"""

from __future__ import annotations

import re

import numpy as np

from archwright.errors import SpaceError, nearest
from archwright.operators.activation import Activation
from archwright.operators.base import Operator, Shape
from archwright.operators.branches import Sum
from archwright.operators.cell import Cell, Edge, Node
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.norm import Norm
from archwright.operators.pool import AvgPool
from archwright.operators.same_conv import SameConv
from archwright.operators.sequential import Sequential
from archwright.operators.skip import Skip
from archwright.operators.zero import Zero
from archwright.registry import register
from archwright.space import Space, oneof

OPERATORS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")  # the codes of the tables here
EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))  # (node, source) in the order of the string


def cell() -> Cell:
    """The cell with its six decisions `edge_NODE_SOURCE`."""
    parts = (Zero(), Skip(), SameConv(1), SameConv(3), AvgPool())
    edges = {(n, s): Edge(s, oneof(*parts, name=f"edge_{n}_{s}")) for n, s in EDGES}
    nodes = tuple(Node(tuple(edge for (m, _), edge in edges.items() if m == n)) for n in (1, 2, 3))
    return Cell(nodes, inputs=1, result="last")


def reduction(channels: int) -> Operator:
    """Residual block with stride 2: two 3x3 convolutions beside average pooling and a 1x1 convolution."""
    body = Sequential((Conv(channels, 3, 2, activation_first=True), Conv(channels, 3, activation_first=True)))
    pool = AvgPool(kernel=2, stride=2, padding=0)
    beside = Sequential((pool, Conv(channels, 1, norm="none", activation="identity", bias=False)))
    return Sum((body, beside))


@register(
    "spaces",
    "nasbench201",
    labels={
        "family": "cell",
        "inputs": "images",
        "members": 15625,
        "small": {"channels": (4, 8), "cells": 1},
    },
)
def nasbench201(
    input_shape: Shape = (3, 32, 32),
    outputs: int = 10,
    *,
    channels: tuple[int, ...] = (16, 32, 64),
    cells: int = 5,
) -> Space:
    """The 15,625 cells of NAS-Bench-201; code k of a decision is operator k of `OPERATORS`.

    Args:
        input_shape: (C, H, W).
        outputs: classes.
        channels: of each stage.
        cells: in each stage.

    Raises:
        SpaceError: if the input is no image.
    """
    if len(input_shape) != 3:
        raise SpaceError(f"nasbench201 expects images (C, H, W), got {input_shape}; use mlp for tables")
    parts: list[Operator] = [Conv(channels[0], activation="identity")]
    for i, width in enumerate(channels):
        parts += [reduction(width)] if i else []
        parts += [cell()] * cells
    return Space(Sequential((*parts, Norm("batch"), Activation("relu"), Classifier(outputs))))


def to_string(code: np.ndarray) -> str:
    """The published name of a code (6,), such as `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...|`."""
    nodes: dict[int, list[str]] = {}
    for (node, source), k in zip(EDGES, code.tolist(), strict=True):
        nodes.setdefault(node, []).append(f"{OPERATORS[k]}~{source}")
    return "+".join(f"|{'|'.join(edges)}|" for edges in nodes.values())


def from_string(text: str) -> np.ndarray:
    """Code int16 (6,) of a published name.

    Raises:
        SpaceError: if the text is not such a name.
    """
    found = re.findall(r"([A-Za-z0-9_]+)~(\d+)", text)
    nodes = [part.count("~") for part in text.split("+")]
    if nodes != [1, 2, 3] or [int(s) for _, s in found] != [s for _, s in EDGES]:
        raise SpaceError(f"an architecture of NAS-Bench-201 reads |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, got {text!r}")
    for name, _ in found:
        if name not in OPERATORS:
            raise SpaceError(f"unknown operator {name!r} in {text!r}; {nearest(name, OPERATORS)}")
    return np.array([OPERATORS.index(name) for name, _ in found], dtype=np.int16)
