"""Bit operations and stored bytes of networks whose operators name their own number formats."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import numpy as np

from archwright.costs.base import AdditiveCost, Columns
from archwright.costs.packing import packed_bytes
from archwright.costs.workload import OperatorRows
from archwright.operators.base import Leaf, Shape
from archwright.registry import register
from archwright.space import Space


@register("costs", "bit_policy", labels={"estimation": "analytic"})
class BitPolicy(AdditiveCost):
    """Giga bit operations and megabytes of a bit policy.

    Bit operations are multiply-accumulates times the bits of both operands (HAQ, Wang et al., 2019); megabytes are
    those of the file that `export.packed` saves, less its header.

    Args:
        space: whose architectures are costed.
        input_shapes: of each network input.
        bits: of the operands of operators that name none; their weights are stored as float32.
    """

    metrics: ClassVar[tuple[str, ...]] = ("bit_operations_gbops", "size_mb")

    def __init__(self, space: Space, *input_shapes: Shape, bits: int = 8) -> None:
        super().__init__(space, *input_shapes)
        self.bits = bits

    def row_costs(self, rows: OperatorRows) -> Columns:
        """Counts of each row at its formats."""
        plain = (self.bits, self.bits)
        operands = np.array([leaf.operand_bits() or plain for leaf in rows.leaves], dtype=np.float64)
        stored = [stored_bytes(leaf, shapes) for leaf, shapes in zip(rows.leaves, rows.input_shapes, strict=True)]
        return {
            "bit_operations_gbops": rows.counts["macs"] * operands.reshape(-1, 2).prod(axis=1) / 1e9,
            "size_mb": np.array(stored, dtype=np.float64) / 1e6,
        }


@lru_cache(maxsize=65536)
def stored_bytes(leaf: Leaf, shapes: tuple[Shape, ...]) -> int:
    """Bytes of a leaf's parameters and buffers in their formats, float32 where it names none."""
    import torch

    with torch.device("meta"):
        state = leaf.module(*shapes).state_dict()
    formats = leaf.formats()
    return sum(
        packed_bytes(tuple(t.shape), formats[name]) if name in formats else t.numel() * t.element_size()
        for name, t in state.items()
    )
