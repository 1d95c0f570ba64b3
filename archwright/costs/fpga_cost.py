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
        f, build = p.need("fpga", "fpga"), _build(p)
        seconds = fpga.latency(conv_of(k, float(self.batch)), build).total_s
        seconds = np.where(k.kind == ELEMENTWISE, 0.0, seconds)
        return {"latency_ms": np.where(fpga.dsp_blocks(build) <= f.dsp_blocks, 1e3 * seconds, np.nan)}

    def missing(self, p: Platform) -> list[str]:
        """Too few DSP blocks."""
        wanted, there = fpga.dsp_blocks(_build(p)), p.need("fpga", "fpga").dsp_blocks
        if wanted <= there:
            return []
        return [f"latency_ms: the build needs {wanted:.0f} DSP blocks, the platform {p.name!r} has {there:.0f}"]


def _build(p: Platform) -> fpga.Build:
    f, m = p.need("fpga", "fpga"), p.need("memory", "fpga")
    return fpga.Build(f.pe, f.vec, f.reuse, f.frequency_hz, m.b_per_s, f.word_b, f.efficiency_share)
