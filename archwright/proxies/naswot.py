"""NASWOT: Mellor et al., "Neural Architecture Search without Training" (2021), equation 2.

log |det K|, where K counts on how many activations two samples agree which side of zero they fall. Any activation
counts, not ReLU alone. NaN if K is singular: two samples that the network cannot tell apart, or no activation at all.
"""

from __future__ import annotations

import torch

from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "naswot", labels={"cost": "forward", "data": True})
def naswot(probe: Probe) -> float:
    """Log-determinant of the agreement of activation signs."""
    sign, value = torch.linalg.slogdet(probe.similarity)
    return float(value) if float(sign) > 0 else float("nan")
