"""A generational genetic algorithm, the GA agent of ArchGym.

Krishnan et al., "ArchGym: An Open-Source Gymnasium for Machine Learning Assisted Architecture Design" (2023), section
4; Holland (1975). Parents by tournament, uniform crossover, mutation, elites survive. Differences: no architecture is
proposed twice, and limits and several objectives go by Deb's rule.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architectures
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of


@register(
    "strategies",
    "genetic",
    labels={"family": "evolution", "objectives": "many", "constraints": True, "paper": "Krishnan et al. 2023, ArchGym"},
)
class Genetic:
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
        self._space, self._seed, self._asks, self._asked = problem.space, seed, 0, 0
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._population, self._elite, self._tournament = population, elite, tournament
        self._crossover, self._mutation = crossover, mutation

    @property
    def batch(self) -> int:
        """What is left of the generation."""
        return self._population - self._asked % self._population

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: random ones, then children."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        start = self._population - self._asked
        if start > 0 or len(self._memory) < 2:
            picked = self._proposals.random(min(n, start) if start > 0 else n, rng)
        else:
            rows = np.arange(len(self._memory))
            place = self._memory.order(rows)
            keep = max(2, min(self._population, int(self._elite * len(rows))))
            self._parents = rows[np.argsort(place)[:keep]]
            picked = self._proposals.pick(n, rng, self._children)
        self._asked += len(picked)
        return candidates_of(picked)

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

    def tell(self, trials: Sequence[Trial]) -> None:
        """Remember trials."""
        self._memory.add(trials)
