"""Gradient norm: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS" (2021), section 3.1.

The Euclidean norms of the loss gradients of all convolution and linear weights, summed.
"""

from __future__ import annotations

from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "grad_norm", labels={"cost": "gradient", "data": True})
def grad_norm(probe: Probe) -> float:
    """Sum over layers of the gradient's norm."""
    return float(sum(g.norm() for g in probe.loss_pass.gradients))
