"""LogSynFlow: Cavagnero et al., "FreeREA: Training-Free Evolution-based Architecture Search" (2023), equation 3.

SynFlow with gradients scaled down: sum over weights of w * log(dR/dw + 1), so that exploding gradients of deep paths
do not drown the number of weights. NaN without a path from the input, and where operators that subtract (softmax,
Fourier transforms) make a gradient smaller than -1.
"""

from __future__ import annotations

import math

from archwright.proxies.flow import synaptic_flow
from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "logsynflow", labels={"cost": "gradient of one sample", "data": False})
def logsynflow(probe: Probe) -> float:
    """Sum over weights of |weight x log(flow gradient + 1)|."""
    flow = sum(float((w * g.log1p()).abs().sum()) for w, g in synaptic_flow(probe))
    return flow if 0.0 < flow < math.inf else math.nan
