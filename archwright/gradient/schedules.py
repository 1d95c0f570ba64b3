"""Learning-rate schedules over the progress of a search."""

from __future__ import annotations

import math


def cosine(progress: float, high: float, low: float) -> float:
    """Cosine annealing without restarts (Loshchilov and Hutter, 2017, equation 5)."""
    return low + (high - low) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def cosine_power(progress: float, high: float, low: float, order: float = 10.0) -> float:
    """Cosine power annealing of sharpDARTS (Hundt et al., 2019, equation 2): order^(c + 1) rescaled to [low, high].

    c is the cosine share, 1 at the start and 0 at the end; order 1 is the plain cosine.
    """
    share = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    if order == 1.0:
        return low + (high - low) * share
    scaled = (order ** (share + 1.0) - order) / (order * order - order)
    return low + (high - low) * scaled
