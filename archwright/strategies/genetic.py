"""A plain genetic algorithm: tournaments, uniform crossover, mutation, elites.

Holland, "Adaptation in Natural and Artificial Systems" (1975); the agent of ArchGym (Krishnan et al., "ArchGym: An
Open-Source Gymnasium for Machine Learning Assisted Architecture Design", 2023, section 4), whose hyper-parameters are
the population and the probability of mutation. Differences: no architecture is proposed twice, and several goals and
limits count by Deb's rule.
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
    labels={
        "family": "evolution",
        "objectives": "many",
        "constraints": True,
        "paper": "Krishnan et al. 2023, ArchGym",
    },
)
class Genetic:
    """Generations of children of tournament winners; the elites of all that was told stay parents.

    Args:
        problem: what is searched.
        seed: of all random draws.
        population: size of a generation; this many random architectures come first.
        mutation: probability that a decision of a child changes; 1/D by default.
        crossover: probability that a child has two parents.
        tournament: entrants of a tournament.
        elites: best trials that are parents beside the last generation.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        population: int = 50,
        mutation: float | None = None,
        crossover: float = 0.9,
        tournament: int = 3,
        elites: int = 2,
    ) -> None:
        check_option("population", population, 2)
        check_option("mutation", 0.0 if mutation is None else mutation, 0.0, 1.0)
        check_option("crossover", crossover, 0.0, 1.0)
        check_option("tournament", tournament, 1)
        check_option("elites", elites, 0)
        self._space = problem.space
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._seed, self._asks, self._asked = seed, 0, 0
        self._population, self._crossover, self._entrants, self._elites = population, crossover, tournament, elites
        self._mutation = 1.0 / max(1, len(problem.space.decisions)) if mutation is None else mutation
        self._parents = np.empty(0, np.int64)  # rows of the memory, best first
        self._judged = 0

    @property
    def batch(self) -> int:
        """What is left of the generation."""
        return self._population - self._asked % self._population

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: random ones for the first generation, then children."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        start = self._population - self._asked
        if start > 0:
            picked = self._proposals.random(min(n, start), rng)
        else:
            if not len(self._parents):
                self._next_generation()
            picked = self._proposals.pick(n, rng, self._children if len(self._parents) > 1 else self._space.sample)
        self._asked += len(picked)
        return candidates_of(picked)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Add trials; a population of new ones becomes the next parents."""
        self._memory.add(trials)
        if len(self._memory) - self._judged >= self._population:
            self._next_generation()

    def _next_generation(self) -> None:
        memory = self._memory
        pool = np.concatenate([self._parents[: self._elites], np.arange(self._judged, len(memory))])
        self._judged = len(memory)
        self._parents = pool[np.argsort(memory.order(pool), kind="stable")] if len(pool) else pool

    def _winners(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """(n, D) codes of winners of n tournaments: the smallest place among the parents wins."""
        places = rng.integers(0, len(self._parents), (n, self._entrants)).min(axis=1)
        return self._memory.codes[self._parents[places]]

    def _children(self, n: int, rng: np.random.Generator) -> Architectures:
        space = self._space
        mothers = Architectures(space, self._winners(n, rng))
        fathers = Architectures(space, self._winners(n, rng))
        codes = space.crossover(mothers, fathers, rng).codes.copy()
        alone = rng.random(n) >= self._crossover
        codes[alone] = mothers.codes[alone]
        changes = rng.binomial(codes.shape[1], self._mutation, n)
        changes[self._proposals.known(codes)] += 1  # of no use unless changed
        for count in np.unique(changes[changes > 0]).tolist():
            rows = np.flatnonzero(changes == count)
            codes[rows] = space.mutate(Architectures(space, codes[rows]), rng, count).codes
        return Architectures(space, codes)
