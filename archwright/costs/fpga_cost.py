"""Networks on a one-dimensional systolic FPGA build (model in `fpga.py`)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from archwright.costs import fpga
from archwright.costs.base import Columns
from archwright.costs.dataflow_cost import conv_of
from archwright.costs.kernels import ELEMENTWISE, Kernels
from archwright.costs.platform_cost import PlatformCost
from archwright.platforms import Platform
from archwright.registry import register


@register("costs", "fpga", labels={"estimation": "analytic"})
class Fpga(PlatformCost):
    """Latency of a build; NaN where it needs more DSP blocks than the board has. No energy model."""

    kind = "fpga"
    metrics: ClassVar[tuple[str, ...]] = ("latency_ms",)

    def kernel_costs(self, k: Kernels, p: Platform) -> Columns:
        """Compute and memory one after the other; elementwise kernels are fused into the layers before them."""
        f, m = p.need("fpga", "fpga"), p.need("memory", "fpga")
        build = fpga.Build(f.pe, f.vec, f.reuse, f.frequency_hz, m.b_per_s, f.word_b, f.efficiency_share)
        seconds = fpga.latency(conv_of(k, float(self.batch)), build).total_s
        seconds = np.where(k.kind == ELEMENTWISE, 0.0, seconds)
        return {"latency_ms": np.where(fpga.dsp_blocks(build) <= f.dsp_blocks, 1e3 * seconds, np.nan)}
