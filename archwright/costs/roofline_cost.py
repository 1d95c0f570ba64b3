"""Roofline: each kernel takes the longer of its operations at the peak rate and its bytes at the memory's rate.

Williams, Waterman and Patterson, "Roofline", CACM 2009. A launch is added per kernel; products are slowed by tiles
where the platform has them. Energy is the board's power over the time, an upper bound. Known error: no overlap or
fusion.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from archwright.costs.base import Columns
from archwright.costs.kernels import ELEMENTWISE, Kernels
from archwright.costs.platform_cost import PlatformCost
from archwright.costs.tiles import slowdown
from archwright.errors import ConfigurationError, nearest
from archwright.operators.base import Shape
from archwright.platforms import Platform
from archwright.registry import register
from archwright.space import Space

BYTES = {"fp32": 4.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5, "int4": 0.5}


def rate(p: Platform, dtype: str) -> Any:
    """Peak rate of a number format, NaN where the platform gives none.

    Raises:
        ConfigurationError: if the format has no name here.
    """
    if dtype not in BYTES:
        raise ConfigurationError(f"unknown number format {dtype!r}; {nearest(dtype, BYTES)}")
    found = getattr(p.need("compute", "roofline"), f"{dtype}_ops_per_s")
    return np.nan if found is None else found


@register("costs", "roofline", labels={"estimation": "analytic"})
class Roofline(PlatformCost):
    """Latency and energy on a device with a peak rate and a memory bandwidth."""

    kind = "roofline"
    dtype: str = "bf16"

    def __init__(
        self,
        space: Space,
        *input_shapes: Shape,
        platform: str | Path | Platform | None = None,
        batch: int = 1,
        dtype: str = "bf16",
    ) -> None:
        super().__init__(space, *input_shapes, platform=platform, batch=batch)
        if dtype not in BYTES:
            raise ConfigurationError(f"unknown number format {dtype!r}; {nearest(dtype, BYTES)}")
        self.dtype = dtype

    def kernel_costs(self, k: Kernels, p: Platform) -> Columns:
        """The longer of compute and memory, and a launch."""
        c, m, b = p.need("compute", "roofline"), p.need("memory", "roofline"), self.batch
        peak = rate(p, self.dtype) * c.efficiency_share
        compute = 2 * b * k.macs / peak
        if p.tiles is not None:
            compute = compute * slowdown(
                b * k.positions, k.filters, k.window, p.tiles, np.maximum(k.groups * k.repeat, 1.0)
            )
        vector = c.vector_ops_per_s
        plain = k.kind == ELEMENTWISE
        compute = np.where(plain, 0.0 if vector is None else b * k.outputs / vector, compute)
        moved = (b * (k.inputs + k.outputs) + k.weights * np.where(k.kind == 1, b, 1)) * BYTES[self.dtype]
        seconds = np.maximum(compute, moved / (m.b_per_s * m.efficiency_share)) + c.launch_s
        power = np.nan if c.power_w is None else c.power_w
        return {"latency_ms": 1e3 * seconds, "energy_mj": 1e3 * power * seconds}

    def missing(self, p: Platform) -> list[str]:
        """No rate of the number format, no power."""
        c = p.need("compute", "roofline")
        lines = []
        if not np.isfinite(rate(p, self.dtype)):
            lines.append(f"latency_ms and energy_mj: the platform {p.name!r} gives no rate for {self.dtype}")
        if c.power_w is None:
            lines.append(f"energy_mj: the platform {p.name!r} gives no compute.power_w")
        return lines
