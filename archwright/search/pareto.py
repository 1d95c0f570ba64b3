"""Ranking by several objectives under constraints: Deb's rule, non-dominated sorting, crowding, fronts, hypervolume.

All losses are minimized; `violation` is 0 for feasible points and infinite for failed ones. Constraint-domination and
the sorting follow Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002, sections III.A,
III.B and VI.A). Two objectives are sorted by one sweep in O(n log n) (Jensen, 2003), more by the domination matrix in
O(n^2). The hypervolume is exact: a sweep for one and two objectives, and for more the exclusive contributions of the
WFG algorithm (While et al., 2012) with the last objective sliced off at each level. Its time grows exponentially with
the number of objectives; up to five objectives and a few hundred points take seconds.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np


def dominates(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) bool: row i of `a` (n, goals) is nowhere worse than row j of `b` (m, goals) and somewhere better."""
    no_worse, better = np.ones((len(a), len(b)), bool), np.zeros((len(a), len(b)), bool)
    for x, y in zip(a.T, b.T, strict=True):  # goal by goal keeps the memory at n * m
        no_worse &= x[:, None] <= y[None, :]
        better |= x[:, None] < y[None, :]
    return no_worse & better


def nondominated_ranks(losses: np.ndarray) -> np.ndarray:
    """(n,) int: 0 for the front, 1 for the front once that is taken away, and so on; equal points share a rank.

    Args:
        losses: (n, goals), finite or infinite, never NaN.
    """
    n, goals = losses.shape
    if n == 0:
        return np.zeros(0, np.int64)
    if goals == 1:
        return np.unique(losses[:, 0], return_inverse=True)[1].astype(np.int64)
    points, back = np.unique(losses, axis=0, return_inverse=True)  # rows in lexicographic order
    ranks = _ranks_2d(points) if goals == 2 else _ranks_by_matrix(points)
    return ranks[back.ravel()]


def _ranks_2d(points: np.ndarray) -> np.ndarray:
    """Ranks of distinct points (n, 2) in lexicographic order; each joins the first front whose last point is above."""
    tails: list[float] = []  # smallest second loss of each front so far; increasing
    ranks = np.empty(len(points), np.int64)
    for i, y in enumerate(points[:, 1].tolist()):
        k = bisect_right(tails, y)
        ranks[i] = k
        if k == len(tails):
            tails.append(y)
        else:
            tails[k] = y
    return ranks


def _ranks_by_matrix(points: np.ndarray) -> np.ndarray:
    """Ranks of distinct points (n, goals) by peeling the domination matrix."""
    n = len(points)
    above = dominates(points, points)
    left = above.sum(axis=0)  # how many dominate each point
    ranks, rank = np.zeros(n, np.int64), 0
    current = np.flatnonzero(left == 0)
    while len(current):
        ranks[current] = rank
        left[current] = -1
        left -= above[current].sum(axis=0)
        current = np.flatnonzero(left == 0)
        rank += 1
    return ranks


def deb_ranks(losses: np.ndarray, violation: np.ndarray) -> np.ndarray:
    """(n,) int ranks by constraint-domination: feasible points by their fronts, then the others by their violation.

    Args:
        losses: (n, goals); rows of infeasible or failed points may hold NaN.
        violation: (n,), 0 = feasible, inf = failed.
    """
    bad = violation > 0
    if not bad.any():
        return nondominated_ranks(losses)
    ranks = np.empty(len(losses), np.int64)
    good = ~bad
    ranks[good] = nondominated_ranks(losses[good])
    after = int(ranks[good].max()) + 1 if good.any() else 0
    ranks[bad] = after + np.unique(violation[bad], return_inverse=True)[1]
    return ranks


def crowding_distance(losses: np.ndarray) -> np.ndarray:
    """(n,) distance of each point of one front to its neighbours; infinite at the ends (Deb et al., 2002, III.B).

    Args:
        losses: (n, goals), finite.
    """
    n, goals = losses.shape
    distance = np.zeros(n)
    if n <= 2:
        return np.full(n, np.inf)
    for j in range(goals):
        order = np.argsort(losses[:, j], kind="stable")
        value = losses[order, j]
        span = value[-1] - value[0]
        distance[order[[0, -1]]] = np.inf
        if span > 0:
            distance[order[1:-1]] += (value[2:] - value[:-2]) / span
    return distance


def crowding_by_rank(losses: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """(n,) crowding distance of each point inside its own rank; 0 where a loss is not finite."""
    distance = np.zeros(len(losses))
    usable = np.isfinite(losses).all(axis=1)
    distance[usable] = np.inf  # as all of a rank of two or fewer are
    rows = np.flatnonzero(usable)
    rows = rows[np.argsort(ranks[rows], kind="stable")]
    _, starts, sizes = np.unique(ranks[rows], return_index=True, return_counts=True)
    for start, size in zip(starts[sizes > 2].tolist(), sizes[sizes > 2].tolist(), strict=True):
        members = rows[start : start + size]
        distance[members] = crowding_distance(losses[members])
    return distance


def front_mask(losses: np.ndarray) -> np.ndarray:
    """(n,) bool: no other point dominates this one; of equal points only the first is kept; NaN rows never are.

    Args:
        losses: (n, goals).
    """
    keep = np.zeros(len(losses), bool)
    rows = np.flatnonzero(~np.isnan(losses).any(axis=1))
    if not len(rows):
        return keep
    order = rows[np.lexsort(losses[rows].T[::-1])]  # first goal first, ties by the next, then by position
    points = losses[order]
    if losses.shape[1] <= 2:
        last = points[:, -1]
        floor = np.minimum.accumulate(np.concatenate([[np.inf], last[:-1]]))
        chosen = last < floor
        chosen[0] = True
        if losses.shape[1] == 1:
            chosen[1:] = False
        keep[order[chosen]] = True
        return keep
    while len(order):  # the lexicographically first point is never dominated; drop what it covers
        keep[order[0]] = True
        left = (points < points[0]).any(axis=1)
        order, points = order[left], points[left]
    return keep


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """Volume dominated by `points` and bounded by `reference`; all objectives are minimized.

    Args:
        points: (n, goals), any order, dominated points allowed. Points beyond the reference add nothing.
        reference: (goals,), in the units of the objectives.

    Raises:
        ValueError: if a coordinate is not finite or the shapes do not fit.
    """
    points, reference = np.asarray(points, np.float64), np.asarray(reference, np.float64)
    if points.ndim != 2 or reference.shape != points.shape[1:]:
        raise ValueError(f"points (n, goals) and reference (goals,) must fit, got {points.shape} and {reference.shape}")
    if not np.isfinite(points).all() or not np.isfinite(reference).all():
        raise ValueError("points and reference must be finite; drop failed and infeasible trials first")
    inside = points[(points < reference).all(axis=1)]
    return _volume(inside[front_mask(inside)], reference)


def _volume(front: np.ndarray, reference: np.ndarray) -> float:
    """Hypervolume of mutually non-dominated points (n, goals) inside the reference."""
    n, goals = front.shape
    if n == 0:
        return 0.0
    if n == 1:
        return float(np.prod(reference - front[0]))
    if goals == 1:
        return float(reference[0] - front[:, 0].min())
    if goals == 2:  # a staircase from left to right
        x, y = front[np.argsort(front[:, 0])].T
        ceiling = np.concatenate([[reference[1]], y[:-1]])
        return float(((reference[0] - x) * (ceiling - y)).sum())
    # In ascending order of the last objective, what a point adds to its predecessors has one height (ref - last).
    front = front[np.argsort(front[:, -1], kind="stable")]
    total = 0.0
    for k in range(n):
        total += float(reference[-1] - front[k, -1]) * _added(front[k, :-1], front[:k, :-1], reference[:-1])
    return total


def _added(point: np.ndarray, others: np.ndarray, reference: np.ndarray) -> float:
    """Volume that `point` (goals,) adds to `others` (m, goals): WFG's exclusive hypervolume through the limit set."""
    own = float(np.prod(reference - point))
    if not len(others):
        return own
    limited = np.maximum(others, point)
    return own - _volume(limited[front_mask(limited)], reference)


def hypervolume_history(losses: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(n,) hypervolume of the first 1, 2, ..., n points; each point adds only what no earlier one dominates.

    Args:
        losses: (n, goals) in the order of the trials; rows with NaN or inf add nothing.
        reference: (goals,).
    """
    out, total = np.zeros(len(losses)), 0.0
    front = np.empty((0, losses.shape[1]))
    with np.errstate(invalid="ignore"):
        inside = np.isfinite(losses).all(axis=1) & (losses < reference).all(axis=1)
    for i in range(len(losses)):
        if inside[i] and not (front <= losses[i]).all(axis=1).any():
            total += _added(losses[i], front, reference)
            front = np.vstack([front[(front < losses[i]).any(axis=1)], losses[i]])
        out[i] = total
    return out


def knee(losses: np.ndarray) -> int:
    """Row of the front point closest to the ideal point once each goal is scaled to [0, 1].

    Args:
        losses: (n, goals) of a front, finite, n >= 1.
    """
    low, span = losses.min(axis=0), np.ptp(losses, axis=0)
    scaled = (losses - low) / np.where(span > 0, span, 1.0)
    return int(np.argmin((scaled**2).sum(axis=1)))
