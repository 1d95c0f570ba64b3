"""One number for each trial, for strategies that know only better and worse."""

from __future__ import annotations

import numpy as np

from archwright.search.problem import Problem
from archwright.space.architecture import Architectures
from archwright.space.space import Space
from archwright.strategies.common import Memory


def fitness(memory: Memory) -> np.ndarray:
    """(n,) smaller is better: the loss, or Deb's rank and crowding as a place where there are several goals.

    A broken limit puts a trial behind the worst that keeps all, by as much as it is broken; failed trials are infinite.
    """
    losses, violation = memory.losses, memory.violation
    out = np.full(len(memory), np.inf)
    known = np.isfinite(violation) & np.isfinite(losses).all(axis=1)
    if losses.shape[1] > 1:
        rows = np.flatnonzero(np.isfinite(violation))
        out[rows] = memory.order(rows) / max(len(rows), 1)
        return out
    out[known] = losses[known, 0]
    broken = np.isfinite(violation) & (violation > 0)
    kept = known & ~broken
    low, high = (out[kept].min(), out[kept].max()) if kept.any() else (0.0, 1.0)
    out[broken] = high + (1.0 + violation[broken]) * max(high - low, 1e-9)
    return out


def learnable(memory: Memory) -> tuple[np.ndarray, np.ndarray]:
    """Rows (k,) and fitness (k,) of the trials that a model can learn from."""
    values = fitness(memory)
    rows = np.flatnonzero(np.isfinite(values))
    return rows, values[rows]


def draw_codes(space: Space, weights: list[np.ndarray], n: int, rng: np.random.Generator) -> Architectures:
    """Members near n draws of every decision from its own distribution.

    Args:
        space: whose constraints are kept by taking the nearest member.
        weights: one (options,) array of probabilities a decision.
        n: how many.
        rng: source of randomness.
    """
    codes = np.zeros((n, len(weights)), np.int16)
    for j, p in enumerate(weights):
        codes[:, j] = (rng.random(n)[:, None] > np.cumsum(p)[None, :-1]).sum(axis=1)
    return space.nearest(codes)


def is_scalar(problem: Problem) -> bool:
    """Whether there is one goal."""
    return len(problem.goals) == 1
