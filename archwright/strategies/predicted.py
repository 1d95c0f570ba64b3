"""What predictor-guided strategies share: candidates around the best, scored by a predictor fitted on all trials."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from archwright.predictors.base import Predictor
from archwright.search.problem import Problem
from archwright.space.architecture import Architectures
from archwright.space.space import Space
from archwright.strategies.acquisition import log_gap
from archwright.strategies.common import Memory
from archwright.strategies.fitness import fitness

Score = Callable[[Architectures], np.ndarray]  # n architectures -> (n,), smaller is better


def around_best(
    space: Space, best: np.ndarray, n: int, rng: np.random.Generator, *, changes: int = 1, chance: float = 0.0
) -> Architectures:
    """Mutants of the best, and a share of random members; no two alike.

    Args:
        space: of the codes.
        best: (k, D) codes.
        n: how many.
        rng: source of randomness.
        changes: decisions changed in a mutant at most.
        chance: share of random members.
    """
    fresh = round(chance * n)
    parts = [space.sample(fresh, rng)] if fresh else []
    left = n - fresh
    for count in range(1, changes + 1):
        share = left // changes if count < changes else left - (changes - 1) * (left // changes)
        if share > 0:
            parents = Architectures(space, best[rng.integers(0, len(best), share)])
            parts.append(space.mutate(parents, rng, min(count, len(space.decisions))))
    joined = parts[0]
    for part in parts[1:]:
        joined = joined + part
    return joined.unique()


def teach(predictor: Predictor, space: Space, memory: Memory) -> bool:
    """Fit on the log gap of the fitness of all trials; False if fewer than two have one.

    Failed trials count as bad as the worst, so that others like them are left alone.
    """
    values = fitness(memory)
    known = np.isfinite(values)
    if known.sum() < 2:
        return False
    targets = np.empty(len(values))
    targets[known] = log_gap(values[known])
    targets[~known] = targets[known].max()
    predictor.fit(Architectures(space, memory.codes), targets)
    return True


def best_codes(memory: Memory, n: int) -> np.ndarray:
    """(at most n, D) codes of the best trials."""
    values = fitness(memory)
    rows = np.flatnonzero(np.isfinite(values))
    return memory.codes[rows[np.argsort(values[rows], kind="stable")[:n]]]


class InOrder:
    """Hands out members in the order of a score, the best first."""

    def __init__(self, around: Architectures, scores: np.ndarray) -> None:
        self._around = around[np.argsort(scores, kind="stable")]
        self._given = 0

    def __call__(self, n: int, rng: np.random.Generator) -> Architectures:
        """The next n."""
        part = self._around[self._given : self._given + n]
        self._given += n
        return part


def starts_of(problem: Problem, starts: int | None, at_least: int = 10) -> int:
    """Random architectures to begin with: twice the number of decisions, within bounds, unless a number is given."""
    if starts is not None:
        return starts
    return int(np.clip(2 * len(problem.space.decisions), at_least, 40))
