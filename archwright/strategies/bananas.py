"""BANANAS: an ensemble of perceptrons on path features, independent Thompson sampling, mutants of the best.

White et al., "BANANAS: Bayesian Optimization with Neural Architectures for Neural Architecture Search" (2021),
Algorithm 1: after random architectures, each round fits five networks, draws a value for every candidate from its
predicted normal distribution (ITS), and evaluates the smallest; candidates are one-edge mutants of the best.
Differences: the path encoding is replaced by codes, option counts and the lengths and number of ways through the graph,
which exist for every space; the target is the log gap instead of the ratio loss of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence

from archwright.registry import get, register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of
from archwright.strategies.predicted import InOrder, around_best, best_codes, teach


@register(
    "strategies",
    "bananas",
    labels={"family": "model", "objectives": "many", "constraints": True, "paper": "White et al. 2021, BANANAS"},
)
class Bananas:
    """Thompson sampling from a predictor ensemble.

    Args:
        problem: what is searched.
        seed: of all random draws.
        starts: random architectures first.
        round_size: evaluations between two fits.
        drawn: mutants that are scored an ask.
        predictor: registered name; it must know its uncertainty.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        starts: int = 10,
        round_size: int = 10,
        drawn: int = 100,
        predictor: str = "mlp",
    ) -> None:
        check_option("starts", starts, 2)
        check_option("round_size", round_size, 1)
        check_option("drawn", drawn, 1)
        self._space, self._seed, self._asks, self._asked = problem.space, seed, 0, 0
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._starts, self._round, self._drawn = starts, round_size, drawn
        self._predictor = get("predictors", predictor)(problem.space, seed=seed)
        self._fitted = -1

    @property
    def batch(self) -> int:
        """What is left of the start or of the round."""
        if self._asked < self._starts:
            return self._starts - self._asked
        return self._round - (self._asked - self._starts) % self._round

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: random ones, then Thompson samples."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        start = self._starts - self._asked
        if start > 0 or not self._ready():
            picked = self._proposals.random(min(n, start) if start > 0 else n, rng)
        else:
            wanted = max(self._drawn, 4 * n)
            around = around_best(self._space, best_codes(self._memory, 10), wanted, rng, changes=2, chance=0.1)
            mean, std = self._predictor.predict(around)
            picked = self._proposals.pick(n, rng, InOrder(around, mean + std * rng.standard_normal(len(mean))))
        self._asked += len(picked)
        return candidates_of(picked)

    def _ready(self) -> bool:
        """Fit once a round of results is new."""
        if self._fitted < 0 or len(self._memory) - self._fitted >= self._round:
            if not teach(self._predictor, self._space, self._memory):
                return False
            self._fitted = len(self._memory)
        return True

    def tell(self, trials: Sequence[Trial]) -> None:
        """Remember trials."""
        self._memory.add(trials)
