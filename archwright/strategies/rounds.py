"""What strategies share that go in rounds: random architectures first, then as many as a round has, then they learn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from archwright.predictors.base import Predictor
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architectures
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of
from archwright.strategies.fitness import fitness
from archwright.strategies.predicted import teach


class Rounds(ABC):
    """Counts what was asked for: a start, then rounds (generations, populations) of one size.

    Args:
        problem: what is searched.
        seed: of all random draws.
        round_size: candidates of a round.
        starts: candidates before the first round that follows what was learned; one round of them when None.
    """

    def __init__(self, problem: Problem, seed: int, round_size: int, starts: int | None = None) -> None:
        self._problem, self._space, self._seed = problem, problem.space, seed
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._round, self._starts = round_size, round_size if starts is None else starts
        self._asks = self._asked = 0

    @property
    def batch(self) -> int:
        """What is left of the start or of the round."""
        if self._asked < self._starts:
            return self._starts - self._asked
        return self._round - (self._asked - self._starts) % self._round

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: no more than are left of the start, then what `_next` makes of the results."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        start = self._starts - self._asked
        picked = self._first(min(n, start), rng) if start > 0 else self._next(n, rng)
        self._asked += len(picked)
        return candidates_of(picked)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Remember trials."""
        self._memory.add(trials)

    def _first(self, n: int, rng: np.random.Generator) -> Architectures:
        """At most n of the start."""
        return self._proposals.random(n, rng)

    @abstractmethod
    def _next(self, n: int, rng: np.random.Generator) -> Architectures:
        """At most n after the start."""


class PredictorRounds(Rounds):
    """Rounds with a predictor that is fitted on all trials between them; see `Rounds` for the other arguments.

    Args:
        predictor: of the problem's space.
    """

    def __init__(
        self, problem: Problem, seed: int, round_size: int, predictor: Predictor, starts: int | None = None
    ) -> None:
        super().__init__(problem, seed, round_size, starts)
        self._predictor = predictor
        self._fitted = -1  # trials at the last fit

    def _ready(self) -> bool:
        """Fit once a round of results is new; False while there is too little to learn from."""
        if self._fitted < 0 or len(self._memory) - self._fitted >= self._round:
            if not teach(self._predictor, self._space, self._memory):
                return False
            self._fitted = len(self._memory)
            self._after_fit()
        return True

    def _after_fit(self) -> None:
        """What a strategy reads off the fitted predictor."""


class PolicyRounds(ABC):
    """A policy writes candidates and learns from each round of results.

    Args:
        problem: what is searched.
        seed: of all random draws.
        round_size: trials between two updates.
        rate: of the updates.
        entropy: weight of the bonus.
    """

    def __init__(self, problem: Problem, seed: int, round_size: int, rate: float, entropy: float) -> None:
        check_option("round_size", round_size, 1)
        check_option("rate", rate, 0.0)
        check_option("entropy", entropy, 0.0)
        self._space, self._seed, self._asks = problem.space, seed, 0
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._round, self._rate, self._entropy = round_size, rate, entropy
        self._learned = 0  # trials at the last update

    @property
    def batch(self) -> int:
        """What is left of the round."""
        return max(1, self._round - (len(self._memory) - self._learned))

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n that the policy writes."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        return candidates_of(self._proposals.pick(n, rng, self._write))

    def tell(self, trials: Sequence[Trial]) -> None:
        """Remember trials; the policy learns from each round of them."""
        self._memory.add(trials)
        if len(self._memory) - self._learned >= self._round:
            rows = np.arange(self._learned, len(self._memory))
            self._learned = len(self._memory)
            advantage = self._advantage(rows)
            if np.ptp(advantage) > 0:
                self._learn(self._memory.codes[rows], advantage)

    def _advantage(self, rows: np.ndarray) -> np.ndarray:
        """(k,) how much better than the average so far, in standard deviations; failed trials count as the worst."""
        values = fitness(self._memory)
        known = values[np.isfinite(values)]
        if len(known) < 2 or known.std() == 0:
            return np.zeros(len(rows))
        reward = -(np.where(np.isfinite(values), values, known.max()) - known.mean()) / known.std()
        return np.clip(reward[rows], -3.0, 3.0)

    @abstractmethod
    def _write(self, n: int, rng: np.random.Generator) -> Architectures:
        """About n members that the policy draws."""

    @abstractmethod
    def _learn(self, codes: np.ndarray, advantage: np.ndarray) -> None:
        """One update on the codes (k, D) of a round and their advantages (k,)."""
