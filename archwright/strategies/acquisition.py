"""What a model of the losses says about where to look next: expected improvement in one and in two objectives."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from archwright.search.pareto import front_mask

SOFTENING = 0.1  # of `log_gap`, in distances from the best to the median


def log_gap(losses: np.ndarray, softening: float = SOFTENING) -> np.ndarray:
    """Losses (n,) on a scale that tells the good ones apart: log of the gap to the best, in gaps of the median.

    A table's bad half differs by tens of points and its best hundred by tenths; a model of the raw values spends itself
    on the former. The map is monotone, so the order is kept.
    """
    best = losses.min()
    gap = np.median(losses) - best
    if gap <= 0:
        gap = losses.std() or 1.0
    return np.log((losses - best) / gap + softening)


def _density(u: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * u * u) / np.sqrt(2 * np.pi)


def below(limit: np.ndarray | float, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """E[max(limit - y, 0)] of normal y, which is the integral of its distribution function up to the limit."""
    u = (limit - mean) / std
    return (limit - mean) * ndtr(u) + std * _density(u)


def expected_improvement(mean: np.ndarray, std: np.ndarray, best: float) -> np.ndarray:
    """(n,) expected improvement over the loss `best` (Mockus, 1975; Jones et al., 1998, equation 15).

    Args:
        mean: (n,) predicted losses.
        std: (n,) positive.
        best: smallest loss so far.
    """
    return below(best, mean, std)


def expected_hypervolume_improvement(
    mean: np.ndarray, std: np.ndarray, points: np.ndarray, reference: np.ndarray
) -> np.ndarray:
    """(n,) expected gain of the area dominated up to the reference, for two independent losses.

    The area not yet dominated is cut into strips between neighbours on the front; in each the expectation is the
    product of two integrals (Emmerich et al., 2011; Yang et al., 2019, section 4).

    Args:
        mean: (n, 2) predicted losses.
        std: (n, 2) positive.
        points: (m, 2) losses so far.
        reference: (2,) upper bounds of what counts.
    """
    inside = points[(points < reference).all(axis=1)]
    front = inside[front_mask(inside)] if len(inside) else inside
    front = front[np.argsort(front[:, 0], kind="stable")]
    edges = np.concatenate([front[:, 0], reference[:1]])  # right ends of the strips in the first loss
    ceilings = np.concatenate([reference[1:], front[:, 1]])  # what still counts in the second
    left = below(edges[None, :], mean[:, :1], std[:, :1])  # (n, strips)
    widths = np.diff(left, axis=1, prepend=0.0)
    return (widths * below(ceilings[None, :], mean[:, 1:], std[:, 1:])).sum(axis=1)


def tchebycheff(losses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n,) augmented Tchebycheff scalarisation (Knowles, 2006, "ParEGO", equation 2).

    Args:
        losses: (n, k), scaled to comparable ranges, smaller is better.
        weights: (k,) positive, sum 1.
    """
    weighted = losses * weights
    return weighted.max(axis=1) + 0.05 * weighted.sum(axis=1)
