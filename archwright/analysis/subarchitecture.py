"""Optimal sub-architecture extraction: the maximum point, the W-coefficient, strides, steps, and the AB^nC property.

de Wynter, "An approximation algorithm for optimal subarchitecture extraction" (2020, arXiv 2010.08512): Definition 8
(maximum point), Algorithm 1 lines 7-8 (W-coefficient), abstract (time bound and ratio |1 - eps|). The rule for the
stride and for the number of training steps is a reconstruction: n = ceil(1 / (eps sqrt(s))) steps for every s-th of
the sorted candidates multiply to the published bound O(|Xi| + |W_T| (1 + |Theta| |B| |Xi| / (eps s^(3/2)))).

Known limits: the guarantee needs a strongly convex training objective, which networks do not have. The sources
say nothing of candidates between two of a stride; `possible_w` bounds them where errors do not rise with size. W
prefers the smallest architecture if the maximum point is close to the candidates, and follows 1/error if it is far
above them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from archwright.errors import ConfigurationError
from archwright.space import Architectures

SMALLEST_ERROR = 1e-7


class MaximumPoint(NamedTuple):
    """Size and latency that bound those of all candidates."""

    size: float
    latency: float


def maximum_point(size: np.ndarray, latency: np.ndarray) -> MaximumPoint:
    """The largest size and the largest latency, (n,) each; they may belong to two architectures (Definition 8)."""
    return MaximumPoint(float(np.max(size)), float(np.max(latency)))


def w_coefficient(size: np.ndarray, latency: np.ndarray, error: np.ndarray, maximum: MaximumPoint) -> np.ndarray:
    """(n,) share of size saved, times share of latency saved, over the error; larger is better, 0 above the maximum.

    Args:
        size: (n,) for example parameters.
        latency: (n,) for example operations.
        error: (n,) in any unit that is at least 0; NaN gives 0.
        maximum: the maximum point, in the same units.
    """
    smaller = np.clip((maximum.size - size) / maximum.size, 0.0, None)
    faster = np.clip((maximum.latency - latency) / maximum.latency, 0.0, None)
    return np.nan_to_num(smaller * faster / np.maximum(error, SMALLEST_ERROR), nan=0.0, posinf=0.0, neginf=0.0)


def possible_w(size: np.ndarray, latency: np.ndarray, error: np.ndarray, maximum: MaximumPoint) -> np.ndarray:
    """(n,) largest W that candidates without an error may have; 0 for those with one.

    In a nested family errors do not rise with size, so that none is below those of larger candidates. Where known
    errors do rise from one candidate to the next by size, others may be lower by as much as the largest such rise.

    Args:
        size: (n,) and latency: (n,) of all candidates.
        latency: see size.
        error: (n,) at least 0; NaN where it is not known.
        maximum: the maximum point.
    """
    order = np.lexsort((latency, size))
    known = error[order]
    there = known[np.isfinite(known)]
    rise = max(0.0, float((there[1:] / np.maximum(there[:-1], SMALLEST_ERROR)).max(initial=1.0)) - 1.0)
    least = np.minimum.accumulate(np.where(np.isfinite(known), known, np.inf)[::-1])[::-1]
    lowest = np.empty(len(error))
    lowest[order] = np.where(np.isfinite(least), least, 0.0) / (1.0 + rise)
    return np.where(np.isfinite(error), 0.0, w_coefficient(size, latency, lowest, maximum))


def strided(size: np.ndarray, latency: np.ndarray, interval: int) -> np.ndarray:
    """Rows of every `interval`-th candidate by (size, latency), and of the last one."""
    order = np.lexsort((latency, size))
    chosen = order[::interval]
    return chosen if (len(order) - 1) % interval == 0 else np.append(chosen, order[-1])


def training_steps(eps: float, interval: int) -> int:
    """ceil(1 / (eps sqrt(interval))) updates of every candidate."""
    return math.ceil(1.0 / (eps * math.sqrt(interval)) - 1e-9)


def candidates_count(members: int, interval: int) -> int:
    """How many candidates `strided` picks: ceil(members / interval), one more if the last is not among them."""
    return -(-members // interval) + int((members - 1) % interval != 0)


def time_bound(members: int, interval: int, eps: float, *, largest: float, batch: int = 1, settings: int = 1) -> float:
    """The published bound in unit operations, without its constant.

    Args:
        members: |Xi|.
        interval: s.
        eps: of the ratio.
        largest: |W_T|, weights of the maximum point.
        batch: |B|, examples of a step.
        settings: |Theta|, training settings tried for each candidate.
    """
    return members + largest * (1.0 + settings * batch * members / (eps * interval**1.5))


@dataclass(frozen=True)
class ABnC:
    """What can be said of the AB^nC property of a family (first layer A, n middle layers B, last layer C).

    ends_share: metric -> largest share that A and C together have of the cost, over the family; asymptotically small
    if the property holds. violations: metric -> pairs of members where one more step of one ordered decision makes the
    cost smaller. pairs: how many were compared; 0 where no decision is ordered, and then nothing is known. smooth:
    whether the training objective is Lipschitz smooth and strongly convex is assumed or known.
    """

    ends_share: Mapping[str, float]
    violations: Mapping[str, int]
    pairs: int
    smooth: str = "assumed"

    @property
    def holds(self) -> bool:
        """Costs are seen to be monotone, and the middle layers cost more than the two ends everywhere."""
        return (
            self.pairs > 0
            and not any(self.violations.values())
            and all(share < 0.5 for share in self.ends_share.values())
        )


def check_abnc(
    members: Architectures,
    costs: Mapping[str, np.ndarray],
    ends: Mapping[str, np.ndarray] | None = None,
    smooth: str = "assumed",
) -> ABnC:
    """Check the part of the AB^nC property that costs show.

    Args:
        members: n members, normally all.
        costs: metric -> (n,) cost of the whole network.
        ends: metric -> (n,) cost of the first and the last layer together, where it is known.
        smooth: what is known about the training objective.

    Raises:
        ConfigurationError: if a cost has another length.
    """
    for name, column in costs.items():
        if len(column) != len(members):
            raise ConfigurationError(f"the cost {name!r} has {len(column)} values for {len(members)} members")
    low, high = _steps_up(members)
    violations = {name: int((column[high] < column[low]).sum()) for name, column in costs.items()}
    shares = {name: float(np.max(column / costs[name])) for name, column in (ends or {}).items()}
    return ABnC(shares, violations, len(low), smooth)


def _steps_up(members: Architectures) -> tuple[np.ndarray, np.ndarray]:
    """Rows (k,), (k,) of all pairs whose codes differ by one step of one ordered decision."""
    codes = members.codes
    drawn = np.random.default_rng(0).integers(1, 2**63, codes.shape[1])
    factors: np.ndarray = np.bitwise_or(drawn.astype(np.uint64), np.uint64(1))
    keys = (codes.astype(np.int64).astype(np.uint64) * factors).sum(axis=1)  # a hash; equality is checked below
    order = np.argsort(keys)
    low, high = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for d in members.space.decisions:
        if not d.ordered:
            continue
        rows = np.flatnonzero((codes[:, d.index] >= 0) & (codes[:, d.index] < d.size - 1))
        place = np.minimum(np.searchsorted(keys[order], keys[rows] + factors[d.index]), len(order) - 1)
        others = order[place]
        step = codes[others] - codes[rows]
        step[:, d.index] -= 1
        found = ~step.any(axis=1)
        low.append(rows[found])
        high.append(others[found])
    return np.concatenate(low), np.concatenate(high)
