"""Synaptic saliency: Tanaka et al. (2020); for transformers Zhou et al. (2022), equation 5.

The sum of |weight x gradient| over the linear layers outside of attention and outside of the last layer: the
feed-forward parts. NaN without self-attention.
"""

from __future__ import annotations

from torch import nn

from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "synaptic_saliency", labels={"cost": "gradient", "data": True, "for": "attention"})
def synaptic_saliency(probe: Probe) -> float:
    """Sum of |gradient x weight| over the feed-forward layers."""
    found = probe.loss_pass
    heads = tuple(f"{name}." for name in probe.attentions)
    linear = [name for name, m in probe.layers.items() if isinstance(m, nn.Linear)]
    rows = zip(found.names, found.weights, found.gradients, strict=True)
    inner = {name for name in linear[:-1] if heads and not name.startswith(heads)}
    scores = [float((w * g).abs().sum()) for name, w, g in rows if name in inner]
    return sum(scores) if scores else float("nan")
