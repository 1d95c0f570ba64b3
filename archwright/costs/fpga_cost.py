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


def build_of(p: Platform) -> fpga.Build:
    """The build that a platform describes; its weights are words."""
    f, m = p.need("fpga", "fpga"), p.need("memory", "fpga")
    return fpga.Build(f.pe, f.vec, f.reuse, f.frequency_hz, m.b_per_s, f.word_b, f.efficiency_share, f.word_b)


@register("costs", "fpga", labels={"estimation": "analytic"})
class Fpga(PlatformCost):
    """Latency of a build; NaN where it needs more DSP blocks than the board has. No energy model."""

    kind = "fpga"
    metrics: ClassVar[tuple[str, ...]] = ("latency_ms",)

    def kernel_costs(self, k: Kernels, p: Platform) -> Columns:
        """Elementwise kernels are fused into the layers before them."""
        build = build_of(p)
        seconds = fpga.latency(conv_of(k, float(self.batch)), build).total_s
        seconds = np.where(k.kind == ELEMENTWISE, 0.0, seconds)
        fits = fpga.dsp_blocks(build) <= p.need("fpga", "fpga").dsp_blocks
        return {"latency_ms": np.where(fits, 1e3 * seconds, np.nan)}

    def missing(self, p: Platform) -> list[str]:
        """Too few DSP blocks."""
        wanted, there = fpga.dsp_blocks(build_of(p)), p.need("fpga", "fpga").dsp_blocks
        if wanted <= there:
            return []
        return [f"latency_ms: the build needs {wanted:.0f} DSP blocks, the platform {p.name!r} has {there:.0f}"]
