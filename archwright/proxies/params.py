"""Number of parameters, the baseline that every proxy must beat (Ning et al., 2021; White et al., 2022)."""

from __future__ import annotations

from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "params", labels={"cost": "none", "data": False})
def params(probe: Probe) -> float:
    """Trainable parameters, in millions."""
    return sum(p.numel() for p in probe.net.parameters()) / 1e6
