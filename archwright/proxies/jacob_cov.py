"""Jacobian covariance: Mellor et al., "Neural Architecture Search without Training" (2020, first version), section 3.

Correlates the samples' input gradients; eigenvalues v of the correlation matrix give -sum(log(v + k) + 1 / (v + k)),
k = 1e-5. A network that treats all samples alike scores low. NaN if a sample has no gradient.
"""

from __future__ import annotations

from archwright.proxies.correlation import correlation_score
from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "jacob_cov", labels={"cost": "gradient", "data": True})
def jacob_cov(probe: Probe) -> float:
    """Eigenvalue score of the correlations of input gradients."""
    return correlation_score(probe.jacobian)
