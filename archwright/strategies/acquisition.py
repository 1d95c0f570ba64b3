"""What a model of the losses says about where to look next: expected improvement in one and in two objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from archwright.search.pareto import front_mask

SOFTENING = 0.1  # of `log_gap`, in distances from the best to the median


def log_gap(losses: np.ndarray, softening: float = SOFTENING) -> np.ndarray:
    """Losses (n,) on a scale that tells the good ones apart: log of the gap to the best, in gaps of the median.

    A table's bad half differs by tens of points and its best hundred by tenths; a model of the raw values spends itself
    on the former. The map is monotone, so the order is kept.
    """
    return log_gap_of(losses, softening)(losses)


def log_gap_of(losses: np.ndarray, softening: float = SOFTENING) -> LogGap:
    """The scale of `log_gap` for losses (n,)."""
    best = float(losses.min())
    gap = float(np.median(losses)) - best
    return LogGap(best, gap if gap > 0 else float(losses.std()) or 1.0, softening)


@dataclass(frozen=True)
class Plain:
    """Losses as they are, for a model of normal values."""

    def __call__(self, losses: np.ndarray) -> np.ndarray:
        """(n,) what the model learns."""
        return losses

    def back(self, values: np.ndarray) -> np.ndarray:
        """(n,) losses of what the model says."""
        return values

    def log_slope(self, losses: np.ndarray) -> float:
        """Sum of the logarithms of the map's slopes at losses (n,)."""
        return 0.0

    def below(self, limit: np.ndarray | float, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """E[max(limit - loss, 0)] for a normal value."""
        return below(limit, mean, std)


@dataclass(frozen=True)
class LogGap:
    """Log of the gap to the best, as `log_gap`, with its inverse: losses are then shifted log-normal.

    Args:
        best: loss whose gap is zero.
        gap: positive unit.
        softening: in units of the gap.
    """

    best: float
    gap: float
    softening: float = SOFTENING

    def __call__(self, losses: np.ndarray) -> np.ndarray:
        """(n,) what the model learns."""
        return np.log((losses - self.best) / self.gap + self.softening)

    def back(self, values: np.ndarray) -> np.ndarray:
        """(n,) losses of what the model says: medians."""
        return self.best + self.gap * (np.exp(values) - self.softening)

    def log_slope(self, losses: np.ndarray) -> float:
        """Sum of the logarithms of the map's slopes at losses (n,)."""
        return float(-np.log(losses - self.best + self.gap * self.softening).sum())

    def below(self, limit: np.ndarray | float, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """E[max(limit - loss, 0)] for a normal value, as for a put on a log-normal price (Black & Scholes, 1973)."""
        strike = np.maximum((np.asarray(limit) - self.best) / self.gap + self.softening, 1e-12)
        u = (np.log(strike) - mean) / std
        return self.gap * (strike * ndtr(u) - np.exp(mean + 0.5 * std * std) * ndtr(u - std))


Scale = Plain | LogGap


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
    mean: np.ndarray,
    std: np.ndarray,
    points: np.ndarray,
    reference: np.ndarray,
    scales: Sequence[Scale] = (Plain(), Plain()),
) -> np.ndarray:
    """(n,) expected gain of the area dominated up to the reference, for two independent losses.

    The area not yet dominated is cut into strips between neighbours on the front; in each the expectation is the
    product of two integrals (Emmerich et al., 2011; Yang et al., 2019, section 4).

    Args:
        mean: (n, 2) predicted losses, each on its scale.
        std: (n, 2) positive.
        points: (m, 2) losses so far.
        reference: (2,) upper bounds of what counts.
        scales: of the two predictions.
    """
    inside = points[(points < reference).all(axis=1)]
    front = inside[front_mask(inside)] if len(inside) else inside
    front = front[np.argsort(front[:, 0], kind="stable")]
    edges = np.concatenate([front[:, 0], reference[:1]])  # right ends of the strips in the first loss
    ceilings = np.concatenate([reference[1:], front[:, 1]])  # what still counts in the second
    left = scales[0].below(edges[None, :], mean[:, :1], std[:, :1])  # (n, strips)
    widths = np.diff(left, axis=1, prepend=0.0)
    return (widths * scales[1].below(ceilings[None, :], mean[:, 1:], std[:, 1:])).sum(axis=1)


def tchebycheff(losses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n,) augmented Tchebycheff scalarisation (Knowles, 2006, "ParEGO", equation 2).

    Args:
        losses: (n, k), scaled to comparable ranges, smaller is better.
        weights: (k,) positive, sum 1.
    """
    weighted = losses * weights
    return weighted.max(axis=1) + 0.05 * weighted.sum(axis=1)
