"""Which decisions matter: the share of a metric's variance that each explains alone.

Main effects of a functional analysis of variance (Hutter et al., 2014, section 3), estimated by omega squared (Hays,
1963), which subtracts what chance alone would explain. Known error: interactions between decisions are not seen, and
a search that has converged has tried few settings of some decisions, which makes their shares uncertain.
"""

from __future__ import annotations

import numpy as np


def importance(codes: np.ndarray, values: np.ndarray, *, least: int = 2) -> np.ndarray:
    """Share of the variance that each decision explains alone.

    Args:
        codes: (n, decisions) integers; -1 where a decision is inactive, which counts as an option of its own.
        values: (n,); rows that are not finite are left out.
        least: options seen fewer times than this are left out of a decision's estimate.

    Returns:
        (decisions,) in [0, 1]; NaN where fewer than two options were seen often enough.
    """
    known = np.isfinite(values)
    codes, values = np.asarray(codes)[known], np.asarray(values, dtype=np.float64)[known]
    return np.array([_omega_squared(column, values, least) for column in codes.T])


def _omega_squared(column: np.ndarray, values: np.ndarray, least: int) -> float:
    _, group, sizes = np.unique(column, return_inverse=True, return_counts=True)
    often = sizes >= least
    if often.sum() < 2:
        return float("nan")
    rows = often[group]
    _, group, sizes = np.unique(column[rows], return_inverse=True, return_counts=True)
    y = values[rows]
    total = float(((y - y.mean()) ** 2).sum())
    if total <= 0 or y.size <= sizes.size:
        return 0.0 if total <= 0 else float("nan")
    means = np.bincount(group, weights=y) / sizes
    between = float((sizes * (means - y.mean()) ** 2).sum())
    noise = (total - between) / (y.size - sizes.size)
    return float(np.clip((between - (sizes.size - 1) * noise) / (total + noise), 0.0, 1.0))
