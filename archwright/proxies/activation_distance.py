"""Activation distance: Mellor et al. (2021), for sequences Serianni and Kalita (2023), equation 6.

How many activations two samples agree on, over all pairs and all layers: the entries of NASWOT's matrix summed instead
of its determinant, so that a singular one has a score as well. NaN without activations.
"""

from __future__ import annotations

from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "activation_distance", labels={"cost": "forward", "data": True})
def activation_distance(probe: Probe) -> float:
    """Sum of the agreements of activation signs."""
    return float(probe.similarity.sum()) if probe.agreements else float("nan")
