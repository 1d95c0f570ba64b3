"""A generational genetic algorithm, the GA agent of ArchGym.

Krishnan et al., "ArchGym: An Open-Source Gymnasium for Machine Learning Assisted Architecture Design" (2023), section
4; Holland (1975). Parents by tournament, uniform crossover, mutation, elites survive. Differences: no architecture is
proposed twice, and limits and several objectives go by Deb's rule.
"""

from __future__ import annotations

import numpy as np

from archwright.registry import register
from archwright.search.problem import Problem
from archwright.space.architecture import Architectures
from archwright.strategies.common import check_option
from archwright.strategies.rounds import Rounds


@register(
    "strategies",
    "genetic",
    labels={"family": "evolution", "objectives": "many", "constraints": True, "paper": "Krishnan et al. 2023, ArchGym"},
)
class Genetic(Rounds):
    """Generations of children of the best so far.

    Args:
        problem: what is searched.
        seed: of all random draws.
        population: children of a generation; this many random architectures come first.
        elite: share of all trials so far, at most a population of them, that may become parents.
        crossover: probability that a child has two parents.
        mutation: probability that a child of two parents is mutated as well; children of one parent always are.
        tournament: entrants for each parent.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        population: int = 30,
        elite: float = 0.5,
        crossover: float = 0.6,
        mutation: float = 0.5,
        tournament: int = 3,
    ) -> None:
        check_option("population", population, 2)
        check_option("elite", elite, 0.0, 1.0)
        check_option("tournament", tournament, 1)
        super().__init__(problem, seed, population)
        self._population, self._elite, self._tournament = population, elite, tournament
        self._crossover, self._mutation = crossover, mutation

    def _next(self, n: int, rng: np.random.Generator) -> Architectures:
        """Children of the elite; random ones while there are no two to choose from."""
        if len(self._memory) < 2:
            return self._proposals.random(n, rng)
        rows = np.arange(len(self._memory))
        keep = max(2, min(self._population, int(self._elite * len(rows))))
        self._parents = rows[np.argsort(self._memory.order(rows))[:keep]]
        return self._proposals.pick(n, rng, self._children)

    def _winners(self, n: int, rng: np.random.Generator) -> Architectures:
        """Parents are sorted, so the smallest index of a tournament wins."""
        entrants = rng.integers(0, len(self._parents), (n, self._tournament)).min(axis=1)
        return Architectures(self._space, self._memory.codes[self._parents[entrants]])

    def _children(self, n: int, rng: np.random.Generator) -> Architectures:
        mothers, fathers = self._winners(n, rng), self._winners(n, rng)
        codes = mothers.codes.copy()
        paired = rng.random(n) < self._crossover
        if paired.any():
            codes[paired] = self._space.crossover(mothers[paired], fathers[paired], rng).codes
        changed = ~paired | (rng.random(n) < self._mutation)
        if changed.any():
            codes[changed] = self._space.mutate(Architectures(self._space, codes[changed]), rng).codes
        return Architectures(self._space, codes)
