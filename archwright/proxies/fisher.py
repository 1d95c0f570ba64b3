"""Fisher: Theis et al., "Faster gaze prediction with dense networks and Fisher pruning" (2018); Turner et al. (2020).

Channel saliency is half the mean over samples of (sum over positions of activation x gradient)^2. As in Abdelfattah et
al. (2021), each channel counts once for each of its weights.
"""

from __future__ import annotations

from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "fisher", labels={"cost": "gradient", "data": True})
def fisher(probe: Probe) -> float:
    """Sum over weights of their channel's Fisher saliency."""
    found = probe.loss_pass
    return float(sum(f.sum() * (w.numel() / len(w)) for f, w in zip(found.fisher, found.weights, strict=True)))
