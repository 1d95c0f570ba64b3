"""SynFlow: Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow" (2020).

Equation 2: all weights made positive, an input of ones, R the sum of the outputs, and the sum over weights of
dR/dw * w. Norms are left out, as in Abdelfattah et al. (2021), and the score is its natural logarithm, since it spans
dozens of orders of magnitude. NaN without a path from the input.
"""

from __future__ import annotations

import math

from archwright.proxies.flow import synaptic_flow
from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "synflow", labels={"cost": "gradient of one sample", "data": False})
def synflow(probe: Probe) -> float:
    """Logarithm of the synaptic flow of all weights."""
    flow = sum(float((w * g).abs().sum()) for w, g in synaptic_flow(probe))
    return math.log(flow) if 0.0 < flow < math.inf else math.nan
