"""Meeting a measured target: measure what was found, correct the cost model by it, select again.

A table of operator latencies is off by some percent on every network (`LatencyTable.report` says by how much), so a net
that keeps to a budget by the table may miss it when measured. What similar networks have of that error in common, one
factor removes: the median of measured over predicted. What is left differs from network to network, so no network is
tried twice. Nothing is trained again: the architecture parameters stay, only the selection moves to the corrected
budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.errors import ConfigurationError
from archwright.gradient.penalties.base import Penalty
from archwright.gradient.penalties.cost import Budget, check_metric
from archwright.gradient.penalties.limit import Limit
from archwright.gradient.selections.base import likeliest
from archwright.space import Architecture

if TYPE_CHECKING:
    from archwright.costs.base import AdditiveCost
    from archwright.gradient.core import Core
    from archwright.gradient.search import GradientSearch

SURE = 0.6  # share of the tolerance within which a measurement ends the rounds; another one will differ a little


@dataclass(frozen=True)
class Attempt:
    """One selected architecture: what the cost model said and what was measured, in the metric's unit."""

    architecture: Architecture
    predicted: float
    measured: float


@dataclass(frozen=True)
class Calibrated:
    """The architecture whose measured cost is nearest to the target, and all attempts in their order."""

    architecture: Architecture
    measured: float
    met: bool
    attempts: tuple[Attempt, ...]


@dataclass
class _Untried(Penalty):
    """Everything but the architectures of some codes (n, decisions)."""

    tried: np.ndarray

    def admits(self, core: Core, codes: Any) -> Any:
        return ~(np.asarray(codes)[:, None, :] == self.tried[None]).all(axis=2).any(axis=1)


def _window(target: float, tolerance: float, below: bool) -> tuple[float, float | None]:
    """Largest and smallest corrected cost that a round admits."""
    half = tolerance / 2 * target
    return (target - half, None) if below else (target + half, target - half)


def meet_target(
    search: GradientSearch,
    cost: AdditiveCost,
    metric: str,
    target: float,
    measure: Callable[[Architecture], float],
    *,
    tolerance: float = 0.05,
    rounds: int = 8,
    below: bool = False,
) -> Calibrated:
    """Select until the measured cost is within the tolerance of the target.

    Each round takes the likeliest untried architecture whose corrected cost is within half the tolerance of the target.
    Limits of the method on the same metric are set aside for that, all others are kept; the search is left as it was.
    With `below` the target is an upper limit: any cost under it will do, and the most expensive one that was measured
    under it is returned.

    Args:
        search: whose architecture parameters are final.
        cost: model to correct.
        metric: of the model.
        target: in the metric's unit.
        measure: architecture -> measured value in the same unit.
        tolerance: share of the target.
        rounds: measurements at most.
        below: whether the target is an upper limit.

    Raises:
        ConfigurationError: if a number makes no sense, or no architecture of the space has such a cost.
    """
    check_metric(cost, metric)
    if target <= 0 or not 0 < tolerance < 1 or rounds < 1:
        raise ConfigurationError(
            f"a target needs target > 0, tolerance in (0, 1) and rounds >= 1, got {target}, {tolerance}, {rounds}"
        )
    method, factor, attempts = search.method, 1.0, list[Attempt]()
    others = tuple(p for p in method.penalties if not (isinstance(p, Budget | Limit) and p.metric == metric))
    try:
        for _ in range(rounds):
            high, low = _window(target / factor, tolerance, below)
            tried = np.array([a.architecture.code for a in attempts]).reshape(-1, len(search.space.decisions))
            search.method = method.with_(penalties=(*others, Limit(cost, metric, high, low), _Untried(tried)))
            try:
                found = likeliest(search)
            except ConfigurationError:
                if attempts:
                    break  # all of that cost are tried
                raise
            predicted = float(cost.evaluate(found.code[None])[metric][0])
            attempts.append(Attempt(found, predicted, measure(found)))
            gap = attempts[-1].measured / target - 1.0
            if (gap <= -(1.0 - SURE) * tolerance) if below else abs(gap) <= SURE * tolerance:
                break
            factor = float(np.median([a.measured / a.predicted for a in attempts]))
    finally:
        search.method = method
    if below:
        best = min(attempts, key=lambda a: (a.measured > target, abs(a.measured - target)))
        return Calibrated(best.architecture, best.measured, best.measured <= target, tuple(attempts))
    best = min(attempts, key=lambda a: abs(a.measured - target))
    return Calibrated(best.architecture, best.measured, abs(best.measured / target - 1.0) <= tolerance, tuple(attempts))


__all__ = ["Attempt", "Calibrated", "meet_target"]
