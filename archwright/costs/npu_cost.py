"""Integer-only accelerators with static shapes: which kernels they run, and what the others cost.

Rules as AutoNeural states them for phone and car NPUs (Chen et al., 2025): integer operators on fixed shapes run at the
array's rate; operators with exponentials, divisions by data or float statistics fall back to a host core, which costs a
transfer there and back and a slow pass; the key-value cache of attention is moved for every token.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from archwright.costs.base import Columns
from archwright.costs.kernels import ELEMENTWISE, PRODUCT, Kernels
from archwright.costs.platform_cost import PlatformCost
from archwright.costs.systolic_cost import energy_mj
from archwright.platforms import Platform
from archwright.registry import register

# names of kernels that need floating point: exponentials, roots, divisions by data, normalisation at run time
FLOAT_ONLY = frozenset(
    {"_softmax", "_safe_softmax", "softmax", "_log_softmax", "exp", "log", "sqrt", "rsqrt", "pow", "div", "reciprocal",
     "gelu", "silu", "tanh", "sigmoid", "elu", "softplus", "native_layer_norm", "native_group_norm", "_fused_rms_norm",
     "rms_norm", "erf", "sin", "cos", "norm", "linalg_vector_norm", "Softmax", "LayerNormalization", "Gelu", "Erf",
     "Sigmoid", "Tanh", "Exp", "Div", "Sqrt", "Pow", "Silu"}
)  # fmt: skip


def float_only(names: tuple[str, ...]) -> np.ndarray:
    """Whether each kernel needs floating point, bool (n,)."""
    return np.array([name in FLOAT_ONLY for name in names], dtype=bool)


def not_integer_friendly(k: Kernels) -> tuple[str, ...]:
    """Names of the kernels of a network that an integer-only NPU cannot run, each once, in order."""
    return tuple(dict.fromkeys(name for name in k.names if name in FLOAT_ONLY))


@register("costs", "npu", labels={"estimation": "analytic"})
class Npu(PlatformCost):
    """Latency and energy on an integer NPU with a slow floating-point fallback."""

    kind = "npu"

    def kernel_costs(self, k: Kernels, p: Platform) -> Columns:
        """Array time for integer kernels, transfer and host time for the others."""
        c, m, n = (p.need(s, "npu") for s in ("compute", "memory", "npu"))
        peak = np.nan if c.int8_ops_per_s is None else c.int8_ops_per_s
        slow = float_only(k.names).reshape(k.kind.shape) & bool(n.integer_only)
        b = self.batch
        vector: Any = peak / 64 if c.vector_ops_per_s is None else c.vector_ops_per_s
        compute = np.where(k.kind == ELEMENTWISE, b * k.outputs / vector, 2 * b * k.macs / peak / c.efficiency_share)
        moved = b * (k.inputs + k.outputs) + np.where(k.kind == PRODUCT, b * k.weights, k.weights)
        fast = np.maximum(compute, moved / (m.b_per_s * m.efficiency_share)) + c.launch_s
        host = b * k.outputs / n.fallback_elements_per_s + 4 * b * (k.inputs + k.outputs) / n.transfer_b_per_s
        seconds = np.where(slow, host + c.launch_s, fast)
        return {"latency_ms": 1e3 * seconds, "energy_mj": energy_mj(p, b * k.macs, moved, moved, 1.0)}

    def missing(self, p: Platform) -> list[str]:
        """No integer rate, no energies."""
        known = p.need("compute", "npu").int8_ops_per_s is not None
        return super().missing(p) + (
            [] if known else [f"latency_ms: the platform {p.name!r} gives no compute.int8_ops_per_s"]
        )
