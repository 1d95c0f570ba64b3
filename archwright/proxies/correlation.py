"""Correlation matrices of samples and the eigenvalue score that three proxies share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

K = 1e-5  # Mellor et al. (2020), section 3; Serianni and Kalita (2023), equation 5


def correlations(rows: Tensor) -> Tensor:
    """(n, n) Pearson correlations of rows (n, d); a constant row gives NaN."""
    centred = rows - rows.mean(dim=1, keepdim=True)
    unit = centred / centred.norm(dim=1, keepdim=True)
    return unit @ unit.T


def correlation_score(rows: Tensor) -> float:
    """-sum(log(v + k) + 1 / (v + k)) over the eigenvalues v of the rows' correlations; NaN if a row is constant."""
    found = correlations(rows.double())
    if not bool(torch.isfinite(found).all()):
        return math.nan
    values = torch.linalg.eigvalsh(found).clamp_min(0.0) + K  # below 0 by rounding alone
    return -float((values.log() + 1.0 / values).sum())
