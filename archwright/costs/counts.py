"""Parameters, multiply-accumulates and bytes, exactly, from shapes alone."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from archwright.costs.base import AdditiveCost, Columns
from archwright.costs.workload import OperatorRows
from archwright.registry import register


@register("costs", "counts", labels={"estimation": "analytic"})
class Counts(AdditiveCost):
    """Millions of parameters and multiply-accumulates, and the bytes of float32 weights and activations.

    `memory_mb` is weights plus all stored activations of one sample, an upper bound of what inference holds.
    """

    metrics: ClassVar[tuple[str, ...]] = ("params_m", "macs_m", "activations_mb", "weights_mb", "memory_mb")

    def row_costs(self, rows: OperatorRows) -> Columns:
        """Counts of each row."""
        c: dict[str, np.ndarray] = dict(rows.counts)
        return {
            "params_m": c["params"] / 1e6,
            "macs_m": c["macs"] / 1e6,
            "activations_mb": c["activation_bytes"] / 1e6,
            "weights_mb": c["weight_bytes"] / 1e6,
            "memory_mb": (c["activation_bytes"] + c["weight_bytes"]) / 1e6,
        }
