"""Hyperband: successive halving from several starting efforts.

Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization" (2018), Algorithm 1: bracket s
begins with ceil((s_max + 1) / (s + 1) * eta^s) architectures at effort eta^-s; brackets follow one another from s_max
to 0 and then start anew. Each promoted candidate continues its own trial.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.strategies.brackets import Bracket, Rung, check_halving, halving_rungs
from archwright.strategies.common import Proposals, candidates_of, check_option, rng_of


class _Halving:
    """What synchronous methods share: brackets one after another, new ones opened while others wait."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._problem, self._seed, self._asks = problem, seed, 0
        self._proposals = Proposals(problem)
        self.brackets: list[Bracket] = []
        self._home: dict[tuple[bytes, float], list[Bracket]] = {}

    def _rungs(self, number: int) -> tuple[Rung, ...]:
        raise NotImplementedError

    @property
    def batch(self) -> int:
        """What the oldest unfinished bracket wants."""
        for bracket in self.brackets:
            if bracket.wanted > 0:
                return bracket.wanted
        return self._rungs(len(self.brackets))[0].size

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n of the oldest bracket that has work; a new bracket if all wait."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        bracket = next((b for b in self.brackets if b.wanted > 0), None)
        if bracket is None:
            bracket = Bracket(self._rungs(len(self.brackets)))
            self.brackets.append(bracket)
        candidates = self._next(bracket, min(n, bracket.wanted), rng)
        for c in candidates:
            self._home.setdefault((c.architecture.key, c.fidelity), []).append(bracket)
        return candidates

    def _next(self, bracket: Bracket, n: int, rng: np.random.Generator) -> list[Candidate]:
        if bracket.index > 0:
            return bracket.candidates(n)
        fresh = candidates_of(self._proposals.random(n, rng), bracket.fidelity)
        if not fresh:  # the space is used up: old architectures meet again
            fresh = candidates_of(self._problem.space.sample(n, rng), bracket.fidelity)
        bracket.asked += len(fresh)
        return fresh

    def tell(self, trials: Sequence[Trial]) -> None:
        """Give each trial to the bracket that asked for it."""
        for trial in trials:
            homes = self._home.get((trial.candidate.architecture.key, trial.candidate.fidelity))
            if homes:
                homes.pop(0).add(trial, self._problem)


@register(
    "strategies",
    "successive_halving",
    labels={
        "family": "bandit",
        "objectives": "many",
        "constraints": True,
        "paper": "Jamieson & Talwalkar 2016, Non-stochastic best arm identification",
    },
)
class SuccessiveHalving(_Halving):
    """Jamieson & Talwalkar (2016), Algorithm 1: many at little effort, the best 1 / eta at eta times the effort.

    Args:
        problem: what is searched; its evaluators read `fidelity`.
        seed: of all random draws.
        size: architectures of the first rung.
        factor: eta.
        lowest: fidelity of the first rung.
    """

    def __init__(
        self, problem: Problem, *, seed: int = 0, size: int = 27, factor: float = 3.0, lowest: float = 1 / 9
    ) -> None:
        check_halving(factor, lowest)
        check_option("size", size, 1)
        super().__init__(problem, seed)
        self._size, self._factor, self._lowest = size, factor, lowest

    def _rungs(self, number: int) -> tuple[Rung, ...]:
        return halving_rungs(self._size, self._lowest, self._factor)


@register(
    "strategies",
    "hyperband",
    labels={
        "family": "bandit",
        "objectives": "many",
        "constraints": True,
        "paper": "Li et al. 2018, Hyperband",
    },
)
class Hyperband(_Halving):
    """Brackets from many at little effort to few at full effort.

    Args:
        problem: what is searched; its evaluators read `fidelity`.
        seed: of all random draws.
        factor: eta.
        lowest: smallest fidelity.
    """

    def __init__(self, problem: Problem, *, seed: int = 0, factor: float = 3.0, lowest: float = 1 / 9) -> None:
        check_halving(factor, lowest)
        super().__init__(problem, seed)
        self._factor = factor
        self._most = max(0, math.floor(math.log(1 / lowest) / math.log(factor) + 1e-9))

    def _rungs(self, number: int) -> tuple[Rung, ...]:
        s = self._most - number % (self._most + 1)
        size = math.ceil((self._most + 1) / (s + 1) * self._factor**s)
        return halving_rungs(size, self._factor**-s, self._factor)
