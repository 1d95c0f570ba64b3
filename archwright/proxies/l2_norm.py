"""Norm of the weights: Abdelfattah et al. (2021), code of the measures; needs neither data nor a pass."""

from __future__ import annotations

from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "l2_norm", labels={"cost": "none", "data": False})
def l2_norm(probe: Probe) -> float:
    """Sum over layers of the weights' Euclidean norm."""
    return float(sum(m.weight.detach().norm() for m in probe.layers.values()))
