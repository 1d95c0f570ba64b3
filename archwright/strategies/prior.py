"""Where to begin before any trial: the front of what cheap evaluators say, with zero-cost scores for what they cannot.

Among networks of equal cost those that compute more tend to learn more: MACs are a zero-cost proxy that few others beat
(Ning et al., "Evaluating Efficient Performance Estimators of Neural Architectures", 2021, section 5; White et al., "A
Deeper Look at Zero-Cost Proxies for Lightweight NAS", 2022). Where a problem has zero-cost scores they are taken.
"""

from __future__ import annotations

import numpy as np

from archwright.search.pareto import crowding_by_rank, deb_ranks
from archwright.search.problem import Problem
from archwright.space.architecture import Architectures
from archwright.strategies.common import Prescreen
from archwright.strategies.free_columns import FreeColumns
from archwright.units import UNITS, unit_of

COMPUTATION = "macs_m"
COSTS = ("time", "cycles", "energy", "power", "area", "bytes", "count")  # quantities that grow with computation
DRAWN = 1000  # random members that the front is sought from
STEPS = 10  # generations of that search


class Prior:
    """Losses of a problem before any trial; true if there is something to tell them from.

    Args:
        problem: goals that its cheap evaluators know are read. For the others a score stands in: the mean of the
            standardised zero-cost scores, or else the logarithm of MACs.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem, self._space = problem, problem.space
        self._free = FreeColumns(problem)
        self._prescreen = Prescreen(problem)
        scores = tuple(self._free.metrics[i] for i in self._free.scores)
        self._scores = scores or ((COMPUTATION,) if COMPUTATION in self._free.known else ())
        self._scale: dict[str, tuple[float, float]] = {}

    def __bool__(self) -> bool:
        return bool(self._scores)

    def front(self, n: int, rng: np.random.Generator) -> Architectures:
        """At most n members spread along the front that the prior expects; with one goal the n that it likes best.

        Members that break a limit on a cheap metric come in only where too few keep to it.
        """
        pool = self._space.sample(DRAWN, rng)
        losses, violation = self._losses(pool), self._prescreen.violation(pool)
        for _ in range(STEPS):
            children = self._space.mutate(pool[rng.integers(0, len(pool), DRAWN)], rng)
            both = (pool + children).unique()
            losses, violation = self._losses(both), self._prescreen.violation(both)
            keep = self._order(losses, violation)[: max(n, DRAWN // 5)]
            pool, losses, violation = both[keep], losses[keep], violation[keep]
        if losses.shape[1] == 1:
            return pool[:n]
        front = np.flatnonzero(deb_ranks(losses, violation) == 0)
        return pool[front[spread(losses[front], n)]]

    def _order(self, losses: np.ndarray, violation: np.ndarray) -> np.ndarray:
        ranks = deb_ranks(losses, violation)
        return np.lexsort((-crowding_by_rank(losses, ranks), ranks))

    def _losses(self, architectures: Architectures) -> np.ndarray:
        """(n, goals), smaller is better; infinite where nothing is known."""
        columns = self._free.values(architectures)
        quality = self._quality(columns)
        losses = self._problem.losses_of(columns, len(architectures))
        for j, goal in enumerate(self._problem.goals):
            if goal.metric not in columns:
                is_cost = goal.goal == "minimize" and UNITS[unit_of(goal.metric)][0] in COSTS
                losses[:, j] = quality if is_cost else -quality
        return np.where(np.isfinite(losses), losses, np.inf)

    def _quality(self, columns: dict[str, np.ndarray]) -> np.ndarray:
        """(n,) mean standardised score; the first call fixes the scales."""
        parts = []
        for metric in self._scores:
            values = np.log(np.maximum(columns[metric], 1e-12)) if metric == COMPUTATION else columns[metric]
            if metric not in self._scale:
                known = values[np.isfinite(values)]
                self._scale[metric] = (float(known.mean()), float(known.std()) or 1.0) if len(known) else (0.0, 1.0)
            mean, deviation = self._scale[metric]
            parts.append((values - mean) / deviation)
        return np.mean(parts, axis=0)


def spread(losses: np.ndarray, n: int) -> np.ndarray:
    """Rows of at most n points: the extremes of each goal, then always the one farthest from those taken.

    Args:
        losses: (k, goals); each goal is scaled by its ranks and its values in equal parts, so that neither a long tail
            nor a dense part takes all points.
        n: how many.
    """
    if len(losses) <= n:
        return np.arange(len(losses))
    low, high = losses.min(axis=0), losses.max(axis=0)
    by_value = (losses - low) / np.where(high > low, high - low, 1.0)
    by_rank = losses.argsort(axis=0, kind="stable").argsort(axis=0) / (len(losses) - 1)
    points = 0.5 * (by_value + by_rank)
    taken = list(dict.fromkeys(int(i) for i in losses.argmin(axis=0)))[:n]
    gap = np.min([((points - points[i]) ** 2).sum(axis=1) for i in taken], axis=0)
    while len(taken) < n:
        taken.append(int(gap.argmax()))
        gap = np.minimum(gap, ((points - points[taken[-1]]) ** 2).sum(axis=1))
    return np.array(taken)


__all__ = ["Prior", "spread"]
