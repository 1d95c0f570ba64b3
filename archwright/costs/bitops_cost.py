"""Bit operations, bytes and arithmetic energy of networks at chosen number formats.

Bit operations are multiply-accumulates times the bits of both operands (Wang et al., HAQ, 2019). Sizes count the shared
scales of block formats. Energy is that of the arithmetic alone, from `energy.py`.
"""

from __future__ import annotations

from typing import ClassVar

from archwright.costs.base import AdditiveCost, Columns
from archwright.costs.energy import format_mac
from archwright.costs.kernels import PRODUCT, kernels_of
from archwright.costs.workload import OperatorRows
from archwright.formats import number_format
from archwright.operators.base import Shape
from archwright.registry import register
from archwright.space import Space


@register("costs", "bitops", labels={"estimation": "analytic"})
class BitOps(AdditiveCost):
    """Giga bit operations, megabytes of weights and activations, arithmetic energy.

    Args:
        space: whose architectures are costed.
        input_shapes: of each network input.
        weights: number format of weights.
        activations: number format of activations.
    """

    metrics: ClassVar[tuple[str, ...]] = ("bit_operations_gbops", "weights_mb", "activations_mb", "arithmetic_mj")

    def __init__(self, space: Space, *input_shapes: Shape, weights: str = "int8", activations: str = "int8") -> None:
        super().__init__(space, *input_shapes)
        self.weights, self.activations = number_format(weights), number_format(activations)

    def row_costs(self, rows: OperatorRows) -> Columns:
        """Counts of each row at the two formats; arithmetic at the wider of them."""
        k = kernels_of(rows)
        w, a = self.weights, self.activations
        wide = max(w, a, key=lambda f: f.bits)
        stored = k.weights * (k.kind != PRODUCT)
        values = {
            "bit_operations_gbops": k.macs * w.bits * a.bits / 1e9,
            "weights_mb": stored * w.effective_bits / 8e6,
            "activations_mb": k.outputs * a.effective_bits / 8e6,
            "arithmetic_mj": k.macs * float(format_mac(wide).pj) * 1e-9,
        }
        return {m: k.sum_rows(v, len(rows)) for m, v in values.items()}
