"""Bit operations of networks whose operators name their own bits."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from archwright.costs.base import AdditiveCost, Columns
from archwright.costs.workload import OperatorRows
from archwright.operators.base import Shape
from archwright.registry import register
from archwright.space import Space


@register("costs", "bit_policy", labels={"estimation": "analytic"})
class BitPolicy(AdditiveCost):
    """Giga bit operations: multiply-accumulates times the bits of both operands (HAQ, Wang et al., 2019).

    Args:
        space: whose architectures are costed.
        input_shapes: of each network input.
        bits: of operators that name none.
    """

    metrics: ClassVar[tuple[str, ...]] = ("bit_operations_gbops",)

    def __init__(self, space: Space, *input_shapes: Shape, bits: int = 8) -> None:
        super().__init__(space, *input_shapes)
        self.bits = bits

    def row_costs(self, rows: OperatorRows) -> Columns:
        """Counts of each row at its bits."""
        bits = np.array([getattr(leaf, "bits", self.bits) for leaf in rows.leaves], dtype=np.float64)
        return {"bit_operations_gbops": rows.counts["macs"] * bits**2 / 1e9}
