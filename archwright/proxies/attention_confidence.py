"""Attention confidence: Voita et al. (2019), section 4; as a proxy in Serianni and Kalita (2023), equation 8.

The largest attention probability of each query, mean over samples, heads and queries, summed over layers. NaN without
self-attention. The published code takes the maximum over heads instead.
"""

from __future__ import annotations

from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "attention_confidence", labels={"cost": "forward", "data": True, "for": "attention"})
def attention_confidence(probe: Probe) -> float:
    """Largest attention probability, mean within a layer, summed over layers."""
    layers = probe.attended
    return float(sum(a.probabilities.amax(dim=-1).mean() for a in layers)) if layers else float("nan")
