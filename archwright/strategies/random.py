"""Random search: the baseline that every other strategy has to beat (Bergstra & Bengio, 2012; Li & Talwalkar, 2019)."""

from __future__ import annotations

from collections.abc import Sequence

from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.strategies.common import Proposals, candidates_of, rng_of


@register(
    "strategies",
    "random",
    labels={
        "family": "baseline",
        "objectives": "many",
        "constraints": True,
        "paper": "Bergstra & Bengio 2012, Random search for hyper-parameter optimization",
    },
)
class Random:
    """Draws architectures at random, none twice, within the limits as far as cheap evaluators can tell.

    Every option of an active decision has the same chance (as far as constraints allow), not every architecture.
    """

    batch = 64

    def __init__(self, problem: Problem, *, seed: int = 0) -> None:
        self._proposals = Proposals(problem)
        self._seed, self._asks = seed, 0

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n new random architectures."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        return candidates_of(self._proposals.random(n, rng))

    def tell(self, trials: Sequence[Trial]) -> None:
        """Nothing is learnt."""
