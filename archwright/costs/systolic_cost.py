"""Networks on a systolic array: latency bounded by array and memory, energy from counted accesses.

Cycles, accesses and traffic as in `systolic.py`. Elementwise kernels ride along the memory at its bandwidth.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from archwright.costs import systolic
from archwright.costs.base import Columns
from archwright.costs.kernels import ELEMENTWISE, Kernels
from archwright.costs.platform_cost import PlatformCost
from archwright.platforms import Platform
from archwright.registry import register


def _codes(dataflow: Any) -> Any:
    if isinstance(dataflow, str):
        return dataflow
    return np.select([dataflow == name for name in systolic.DATAFLOWS], list(range(len(systolic.DATAFLOWS))))


@register("costs", "systolic", labels={"estimation": "analytic"})
class Systolic(PlatformCost):
    """Latency, energy and area on a systolic array."""

    kind = "systolic"

    def kernel_costs(self, k: Kernels, p: Platform) -> Columns:
        """Groups and batches run one after another; the memory's bandwidth is shared by the three streams."""
        a, m = p.need("array", "systolic"), p.need("memory", "systolic")
        plain = k.kind == ELEMENTWISE
        filters = np.where(plain, 1.0, k.filters)
        geometry = systolic.Window(
            k.out_h * np.where(plain, 1, self.batch), k.out_w, k.kernel_h, k.kernel_w, k.channels, k.stride
        )
        buffers = (a.input_buffer_b, a.weight_buffer_b, a.output_buffer_b)
        code = systolic.dataflow_codes(_codes(a.dataflow))
        n_out, window = geometry.height * geometry.width, k.window
        counts = systolic.counts_of(n_out, window, filters, a.rows, a.cols, code)
        traffic = systolic.traffic_of(geometry, filters, a.rows, a.cols, code, buffers, word_bytes=a.word_b)
        parts = np.where(plain, 0.0, k.groups * k.repeat)
        moved = np.where(plain, self.batch * (k.inputs + k.outputs), parts * sum(traffic)) * a.word_b
        seconds = np.maximum(parts * counts.cycles / a.frequency_hz, moved / (m.b_per_s * m.efficiency_share))
        inside = parts * (counts.ifmap_reads + counts.filter_reads + counts.ofmap_writes)
        return {"latency_ms": 1e3 * seconds, "energy_mj": energy_mj(p, self.batch * k.macs, inside, moved, a.word_b)}

    def area_mm2(self, p: Platform) -> Any:
        """Multipliers and the three buffers."""
        a, e = p.need("array", "systolic"), p.energy
        if e is None or e.mac_um2 is None or e.buffer_um2_per_b is None:
            return np.nan
        size = a.input_buffer_b + a.weight_buffer_b + a.output_buffer_b
        return 1e-6 * (a.rows * a.cols * e.mac_um2 + size * e.buffer_um2_per_b)


def energy_mj(p: Platform, macs: Any, buffer_words: Any, moved_b: Any, word_b: Any) -> Any:
    """Energy of products, three register accesses each, buffer accesses and memory traffic; NaN without [energy]."""
    if p.energy is None:
        return np.nan * macs
    e = p.energy
    inside = 3 * macs * e.register_pj_per_bit + buffer_words * e.buffer_pj_per_bit
    return 1e-9 * (macs * e.mac_pj + 8 * word_b * inside + 8 * moved_b * e.dram_pj_per_bit)
