"""Head importance: Michel et al., "Are Sixteen Heads Really Better than One?" (2019), equation 2.

As a proxy (Serianni and Kalita, 2023, equation 7): the sum of |weight x gradient| over the query, key and value maps.
NaN without self-attention.
"""

from __future__ import annotations

from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "head_importance", labels={"cost": "gradient", "data": True, "for": "attention"})
def head_importance(probe: Probe) -> float:
    """Sum of |gradient x weight| over the maps of attention heads."""
    found = probe.loss_pass
    parts = tuple(f"{name}.{part}" for name in probe.attentions for part in ("query", "key", "value"))
    rows = zip(found.names, found.weights, found.gradients, strict=True)
    scores = [float((w * g).abs().sum()) for name, w, g in rows if name in parts]
    return sum(scores) if scores else float("nan")
