"""Sequential model-based optimization with ridge regression, as in DeepArchitect.

Negrinho & Gordon, "DeepArchitect" (2017), section 5.3: a ridge regression on features of the decisions scores many
random architectures, the best is evaluated; with a small probability a random one is. Features here are one-hot codes,
option counts and pairs of them (their n-grams of decisions), and mutants of the best join the random candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

from archwright.predictors.ridge import Ridge
from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of
from archwright.strategies.predicted import InOrder, around_best, best_codes, starts_of, teach


@register(
    "strategies",
    "smbo",
    labels={
        "family": "model",
        "objectives": "many",
        "constraints": True,
        "paper": "Negrinho & Gordon 2017, DeepArchitect",
    },
)
class RidgeSearch:
    """Evaluates what a ridge regression predicts to be best.

    Args:
        problem: what is searched.
        seed: of all random draws.
        starts: random architectures first; by default twice the number of decisions.
        drawn: candidates that are scored an ask.
        epsilon: probability of a random architecture.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        starts: int | None = None,
        drawn: int = 512,
        epsilon: float = 0.1,
    ) -> None:
        check_option("drawn", drawn, 1)
        check_option("epsilon", epsilon, 0.0, 1.0)
        self._space, self._seed, self._asks, self._asked = problem.space, seed, 0, 0
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._starts, self._drawn, self._epsilon = starts_of(problem, starts), drawn, epsilon
        self._predictor = Ridge(problem.space, pairs=0.5)

    @property
    def batch(self) -> int:
        """The random start can be asked for at once."""
        return max(1, self._starts - self._asked)

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: random ones, then the best predicted."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        start = self._starts - self._asked
        if start > 0 or rng.random() < self._epsilon or not teach(self._predictor, self._space, self._memory):
            picked = self._proposals.random(min(n, start) if start > 0 else n, rng)
        else:
            around = around_best(self._space, best_codes(self._memory, 10), self._drawn, rng, changes=2, chance=0.5)
            picked = self._proposals.pick(n, rng, InOrder(around, self._predictor.predict(around)[0]))
        self._asked += len(picked)
        return candidates_of(picked)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Remember trials."""
        self._memory.add(trials)
