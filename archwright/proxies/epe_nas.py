"""EPE-NAS: Lopes et al., "EPE-NAS: Efficient Performance Estimation Without Training" (2021), section 3.2.

Correlates input gradients within each class: s_c = sum log(|r| + k), k = 1e-5. The score is sum |s_c| for up to 100
classes, else the mean over pairs of classes of |s_c - s_d| with s_c averaged over rows. Targets that are no classes
count as one class. Classes with fewer than two samples say nothing.
"""

from __future__ import annotations

import torch

from archwright.proxies.correlation import K, correlations
from archwright.proxies.probe import Probe
from archwright.registry import register


@register("proxies", "epe_nas", labels={"cost": "gradient", "data": True})
def epe_nas(probe: Probe) -> float:
    """Score of the correlations of input gradients within classes."""
    labels = probe.targets
    if labels.is_floating_point() or labels.ndim != 1:
        labels = torch.zeros(len(labels), dtype=torch.int64)
    scores = []
    many = int(labels.max()) >= 100
    for label in labels.unique():
        rows = probe.jacobian[labels == label]
        if len(rows) < 2:
            continue
        score = (correlations(rows).abs() + K).log().sum()
        scores.append(score / len(rows) if many else score)
    if not scores:
        return float("nan")
    found = torch.stack(scores)
    return float((found[:, None] - found[None, :]).abs().sum() / len(found)) if many else float(found.abs().sum())
