"""SNIP: Lee et al., "SNIP: Single-shot Network Pruning based on Connection Sensitivity" (2019), equation 4.

Summed over all weights, as in Abdelfattah et al. (2021), equation 1: |dL/dw * w|. The score is not normalised.
"""

from __future__ import annotations

from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "snip", labels={"cost": "gradient", "data": True})
def snip(probe: Probe) -> float:
    """Sum over weights of |gradient x weight|."""
    found = probe.loss_pass
    return float(sum((g * w).abs().sum() for g, w in zip(found.gradients, found.weights, strict=True)))
