"""Plain: the signed sum of gradient times weight, the baseline of Abdelfattah et al. (2021), code of the measures.

Its sign changes with the initialisation, so that it hardly ranks; it is here because tables of scores list it.
"""

from __future__ import annotations

from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "plain", labels={"cost": "gradient", "data": True})
def plain(probe: Probe) -> float:
    """Sum over weights of gradient x weight, with its sign."""
    found = probe.loss_pass
    return float(sum((g * w).sum() for g, w in zip(found.gradients, found.weights, strict=True)))
