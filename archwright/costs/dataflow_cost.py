"""Networks on spatial accelerators with a dataflow template: latency, energy and area (models in `dataflow.py`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from archwright.costs import dataflow
from archwright.costs.base import Columns
from archwright.costs.kernels import ELEMENTWISE, Kernels
from archwright.costs.platform_cost import PlatformCost
from archwright.costs.systolic_cost import energy_mj
from archwright.platforms import Platform
from archwright.registry import register


def conv_of(k: Kernels, batch: float = 1.0) -> dataflow.Conv:
    """Kernels as convolution layers; batched products become groups, elementwise kernels one product per output."""
    plain = k.kind == ELEMENTWISE
    return dataflow.Conv(
        filters=np.where(plain, 1.0, k.filters),
        channels=k.channels,
        kernel_h=k.kernel_h,
        kernel_w=k.kernel_w,
        out_h=k.out_h,
        out_w=k.out_w,
        stride=k.stride,
        groups=k.groups * k.repeat,
        batch=batch,
    )


@register("costs", "dataflow", labels={"estimation": "analytic"})
class Dataflow(PlatformCost):
    """Latency, energy and area under a weight, output or row stationary dataflow."""

    kind = "dataflow"

    def kernel_costs(self, k: Kernels, p: Platform) -> Columns:
        """Longest of compute, network on chip and memory; elementwise kernels move at the memory's rate."""
        s, m = p.need("spatial", "dataflow"), p.need("memory", "dataflow")
        engine = dataflow.Engine(
            pes=s.pes,
            noc_per_cycle=s.noc_b_per_s / s.frequency_hz / s.word_b,
            memory_per_cycle=m.b_per_s * m.efficiency_share / s.frequency_hz / s.word_b,
            l2_size=s.buffer_b / s.word_b,
            lanes=s.lanes,
        )
        layer = conv_of(k, float(self.batch))
        plain = k.kind == ELEMENTWISE
        moved = self.batch * (k.inputs + k.outputs)
        total: Columns = {}
        for template in dataflow.TEMPLATES:
            chosen = s.template == template
            if not np.any(chosen):
                continue
            run = dataflow.run(layer, template, engine)
            cycles = np.where(plain, moved / engine.memory_per_cycle, run.cycles)
            outside = np.where(plain, moved, run.memory_accesses)
            buffer = np.where(plain, 2 * moved, run.l2_accesses)
            macs = np.where(plain, 0.0, self.batch * k.macs)
            costs = {
                "latency_ms": 1e3 * cycles / s.frequency_hz,
                "energy_mj": energy_mj(p, macs, buffer, outside * s.word_b, s.word_b),
            }
            total = {n: np.where(chosen, v, total.get(n, np.nan)) for n, v in costs.items()}
        return total

    def area_mm2(self, p: Platform) -> Any:
        """Multipliers and the global buffer."""
        s, e = p.need("spatial", "dataflow"), p.energy
        if e is None or e.mac_um2 is None or e.buffer_um2_per_b is None:
            return np.nan
        return 1e-6 * (s.pes * e.mac_um2 + s.buffer_b * e.buffer_um2_per_b)
