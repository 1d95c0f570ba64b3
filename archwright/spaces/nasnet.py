"""The cell space of NASNet (Zoph et al., 2018, section 3.1): a normal and a reduction cell of five blocks each.

A block takes two of the states before it, applies one of 13 operators to each and combines the results by addition or
concatenation. The states of a cell that no later block reads are its output, side by side. States of more channels than
the cell has are brought to its width by a 1x1 convolution in front of operators that cannot do so themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archwright.errors import SpaceError
from archwright.operators.base import Composite, Example, Operator, Run, Shape
from archwright.operators.cell_stack import CellStack
from archwright.operators.conv import Conv
from archwright.operators.depthwise_separable import DepthwiseSeparable
from archwright.operators.drop_path import DropPath
from archwright.operators.factorized_conv import FactorizedConv
from archwright.operators.head import Classifier
from archwright.operators.join import Add, ConcatJoin
from archwright.operators.nothing import UnlessRead
from archwright.operators.pool import AvgPool, MaxPool
from archwright.operators.rules import member
from archwright.operators.sequential import Sequential
from archwright.operators.skip import Skip
from archwright.registry import register
from archwright.space import Space, oneof
from archwright.spaces.darts import preprocess

OPERATORS = (
    "identity",
    "conv_1x3_3x1",
    "conv_1x7_7x1",
    "dil_conv_3x3",
    "avg_pool_3x3",
    "max_pool_3x3",
    "max_pool_5x5",
    "max_pool_7x7",
    "conv_1x1",
    "conv_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
)
COMBINES = ("add", "concat")


def operator_of(name: str, channels: int, stride: int, affine: bool) -> Operator:
    """One of the 13 operators by its name."""
    kernel = int(name[-1]) if name[-1].isdigit() else 1
    if name == "identity":
        return Skip(stride, channels, affine=affine)
    if "pool" in name:
        pool = MaxPool if name.startswith("max") else AvgPool
        return Sequential((Skip(1, channels, affine=affine), pool(kernel, stride)))
    if name in ("conv_1x3_3x1", "conv_1x7_7x1"):
        return FactorizedConv(channels, int(name[7]), stride, affine)
    if name.startswith("sep"):
        return DepthwiseSeparable(channels, kernel, stride, twice=True, affine=affine)
    dilation = 2 if name.startswith("dil") else 1
    return Conv(channels, kernel, stride, dilation, activation_first=True, affine=affine)


@dataclass(frozen=True)
class Branch(Composite):
    """One operator on one of the states; in a reduction cell it has stride 2 on the inputs of the cell."""

    source: int
    name: str
    channels: int
    reduces: bool = False
    affine: bool = False
    drop_path: float = 0.0

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Pick the state and apply the operator; weights belong to the operator, whatever it reads."""
        if not 0 <= self.source < len(inputs):
            raise SpaceError(f"source of Branch must be one of the {len(inputs)} states before it, got {self.source}")
        member(self, "name", self.name, OPERATORS)
        stride = 2 if self.reduces and self.source < 2 else 1
        made = operator_of(self.name, self.channels, stride, self.affine)
        if isinstance(made, Sequential):
            x = run(self.inner(f"{self.name}_width", made.parts[0]), inputs[self.source])
            x = run(self.inner(f"{self.name}_s{stride}", made.parts[1]), x)
        else:
            x = run(self.inner(f"{self.name}_s{stride}", made), inputs[self.source])
        return run(self.inner("drop_path", DropPath(self.drop_path)), x) if self.drop_path else x

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Every operator, kept and reduced, and on a state of other channels."""
        shapes = ((4, 6, 6), (4, 6, 6), (8, 3, 3))
        return [(cls(s, name, 4, True), shapes) for name in OPERATORS for s in (0, 2)]


@dataclass(frozen=True)
class Block(Composite):
    """Two branches and how they are combined."""

    branches: tuple[Branch, Branch]
    combine: str = "add"

    def flow(self, run: Run, *inputs: Any) -> Any:
        """States -> a new state."""
        member(self, "combine", self.combine, COMBINES)
        join = Add() if self.combine == "add" else ConcatJoin()
        return run(self.inner(self.combine, join), *(run(branch, *inputs) for branch in self.branches))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Both combinations."""
        branches = (Branch(0, "sep_conv_3x3", 4), Branch(1, "identity", 4))
        return [(cls(branches, how), ((4, 6, 6), (4, 6, 6))) for how in COMBINES]


@dataclass(frozen=True)
class NasnetCell(Composite):
    """Blocks in a row over two preprocessed inputs; the blocks' states that none reads leave side by side."""

    blocks: tuple[Block, ...]
    preprocess: tuple[Operator, Operator]

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Outputs of the two cells before -> output of this one."""
        if len(inputs) != 2:
            raise SpaceError(f"NasnetCell takes the outputs of two cells, got {len(inputs)} inputs")
        states = [run(part, x) for part, x in zip(self.preprocess, inputs, strict=True)]
        for block in self.blocks:
            states.append(run(block, *states))
        ends = states[2:]
        for i in range(len(ends)):
            for j in range(i + 1, len(ends)):
                sources = tuple(branch.source for branch in self.blocks[j].branches)
                ends[i] = run(self.inner(f"unless_{i}_{j}", UnlessRead(2 + i, sources)), ends[i])
        return run(self.inner("output", ConcatJoin()), *ends)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """The second block reads the first, the third is apart."""
        blocks = (
            Block((Branch(0, "identity", 4), Branch(1, "sep_conv_3x3", 4)), "concat"),
            Block((Branch(2, "avg_pool_3x3", 4), Branch(0, "conv_3x3", 4))),
            Block((Branch(1, "conv_1x7_7x1", 4), Branch(1, "identity", 4))),
        )
        return [(cls(blocks, preprocess(4, False)), ((3, 6, 6), (8, 6, 6)))]


@dataclass(frozen=True)
class Style:
    """What all cells of a network have in common."""

    blocks: int
    operators: tuple[str, ...]
    combines: tuple[str, ...]
    affine: bool
    drop_path: float


def searched_cell(kind: str, channels: int, reduced: bool, style: Style) -> NasnetCell:
    """A cell whose blocks are choices; cells of one kind share their decisions."""
    made = []
    for b in range(style.blocks):
        branches = [
            Branch(
                oneof(*range(2 + b), name=f"{kind}.{b}.source{k}"),
                oneof(*style.operators, name=f"{kind}.{b}.op{k}"),
                channels,
                kind == "reduce",
                style.affine,
                style.drop_path,
            )
            for k in (0, 1)
        ]
        made.append(Block((branches[0], branches[1]), oneof(*style.combines, name=f"{kind}.{b}.combine")))
    return NasnetCell(tuple(made), preprocess(channels, reduced, style.affine))


@register(
    "spaces",
    "nasnet",
    labels={
        "family": "cell",
        "inputs": "images",
        "small": {"channels": 4, "cells": 1, "blocks": 2},
    },
)
def nasnet(
    input_shape: Shape,
    outputs: int,
    *,
    channels: int = 32,
    cells: int = 2,
    blocks: int = 5,
    operators: tuple[str, ...] = OPERATORS,
    combines: tuple[str, ...] = COMBINES,
    affine: bool = False,
    drop_path: float = 0.0,
) -> Space:
    """The NASNet networks for small images: (6!^2 x 13^10 x 2^5)^2 pairs of cells with the defaults.

    Args:
        input_shape: (C, H, W).
        outputs: classes or values.
        channels: of the first cells; doubled by each of the two reductions. 32 are searched and used.
        cells: N, the normal cells in each of the three rows; 2 are searched, 6 used on CIFAR-10.
        blocks: B, of a cell.
        operators: published names of the candidates.
        combines: of `add` and `concat`.
        affine: whether batch norms of the cells are trained; not while weights are shared.
        drop_path: probability at the end of training that a branch is dropped (ScheduledDropPath, section 3.1).

    Raises:
        SpaceError: if the input is no image.
    """
    if len(input_shape) != 3:
        raise SpaceError(f"nasnet expects images (C, H, W), got {input_shape}; use mlp for tables")
    style = Style(blocks, tuple(operators), tuple(combines), affine, drop_path)
    width, reduced, stack = channels, False, list[Any]()
    for kind in [*["normal"] * cells, "reduce", *["normal"] * cells, "reduce", *["normal"] * cells]:
        width = 2 * width if kind == "reduce" else width
        stack.append(searched_cell(kind, width, reduced, style))
        reduced = kind == "reduce"
    stem = Conv(3 * channels, activation="identity")
    return Space(CellStack(stem, tuple(stack), Classifier(outputs)))
