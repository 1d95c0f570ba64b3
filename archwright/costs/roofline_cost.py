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


def default_dtype(p: Platform) -> str:
    """The number format of networks on a platform where none is asked for: bf16 where it has a rate, fp32 otherwise."""
    return "bf16" if p.compute is None or p.compute.bf16_ops_per_s is not None else "fp32"


@register("costs", "roofline", labels={"estimation": "analytic"})
class Roofline(PlatformCost):
    """Latency and energy on a device with a peak rate and a memory bandwidth.

    `dtype` None is bf16, or fp32 where the platform has no rate for bf16.
    """

    kind = "roofline"
    dtype: str | None = None

    def __init__(
        self,
        space: Space,
        *input_shapes: Shape,
        platform: str | Path | Platform | None = None,
        batch: int = 1,
        dtype: str | None = None,
    ) -> None:
        super().__init__(space, *input_shapes, platform=platform, batch=batch)
        if dtype is not None and dtype not in BYTES:
            raise ConfigurationError(f"unknown number format {dtype!r}; {nearest(dtype, BYTES)}")
        self.dtype = dtype

    def kernel_costs(self, k: Kernels, p: Platform) -> Columns:
        """The longer of compute and memory, and a launch."""
        c, m, b = p.need("compute", "roofline"), p.need("memory", "roofline"), self.batch
        dtype = self.dtype or default_dtype(p)
        peak = rate(p, dtype) * c.efficiency_share
        compute = 2 * b * k.macs / peak
        if p.tiles is not None:
            compute = compute * slowdown(
                b * k.positions, k.filters, k.window, p.tiles, np.maximum(k.groups * k.repeat, 1.0)
            )
        vector = c.vector_ops_per_s
        plain = k.kind == ELEMENTWISE
        compute = np.where(plain, 0.0 if vector is None else b * k.outputs / vector, compute)
        moved = (b * (k.inputs + k.outputs) + k.weights * np.where(k.kind == 1, b, 1)) * BYTES[dtype]
        seconds = np.maximum(compute, moved / (m.b_per_s * m.efficiency_share)) + c.launch_s
        power = np.nan if c.power_w is None else c.power_w
        return {"latency_ms": 1e3 * seconds, "energy_mj": 1e3 * power * seconds}

    def missing(self, p: Platform) -> list[str]:
        """No rate of the number format, no power."""
        c, dtype = p.need("compute", "roofline"), self.dtype or default_dtype(p)
        lines = []
        if not np.isfinite(rate(p, dtype)):
            lines.append(f"latency_ms and energy_mj: the platform {p.name!r} gives no rate for {dtype}")
        if c.power_w is None:
            lines.append(f"energy_mj: the platform {p.name!r} gives no compute.power_w")
        return lines
