"""Regularized (aging) evolution: the oldest of the population dies, not the worst.

Real et al., "Regularized evolution for image classifier architecture search" (2019), Algorithm 1: a tournament of S
random members of a population of P; the winner's mutant is evaluated and joins, the oldest member leaves. Proposals of
one ask come from the same population, as with the paper's asynchronous workers. Differences: no architecture is
proposed twice; with limits or several objectives the tournament is decided by Deb's rule, then crowding distance.
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
    "regularized_evolution",
    labels={
        "family": "evolution",
        "objectives": "many",
        "constraints": True,
        "paper": "Real et al. 2019, Regularized evolution for image classifier architecture search",
    },
)
class RegularizedEvolution:
    """Aging evolution with tournament selection and one mutation a child.

    Args:
        problem: what is searched.
        seed: of all random draws.
        population: P; this many random architectures come first.
        sample: S, drawn with replacement; the larger, the greedier.
    """

    def __init__(self, problem: Problem, *, seed: int = 0, population: int = 100, sample: int = 25) -> None:
        check_option("population", population, 2)
        check_option("sample", sample, 1)
        self._space = problem.space
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._seed, self._asks, self._asked = seed, 0, 0
        self._population, self._sample = population, sample

    @property
    def batch(self) -> int:
        """The random start, then a tenth of the population (the paper ran 450 workers at once for P = 100)."""
        return max(1, self._population // 10, self._population - self._asked)

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: random ones until the population is asked for, then mutants of tournament winners."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        start = self._population - self._asked
        if start > 0 or not len(self._memory):
            picked = self._proposals.random(min(n, start) if start > 0 else n, rng)
        else:
            picked = self._proposals.pick(n, rng, self._children())
        self._asked += len(picked)
        return candidates_of(picked)

    def _children(self) -> _Children:
        memory = self._memory
        alive = np.arange(max(0, len(memory) - self._population), len(memory))  # the youngest P
        return _Children(self, alive, memory.order(alive))

    def tell(self, trials: Sequence[Trial]) -> None:
        """Add trials as the youngest of the population."""
        self._memory.add(trials)


class _Children:
    """Makes mutants of tournament winners of one population."""

    def __init__(self, owner: RegularizedEvolution, alive: np.ndarray, place: np.ndarray) -> None:
        self._owner, self._alive, self._place = owner, alive, place
        self._by_place = np.empty_like(alive)
        self._by_place[place] = alive

    def __call__(self, n: int, rng: np.random.Generator) -> Architectures:
        owner = self._owner
        entrants = rng.integers(0, len(self._alive), (n, owner._sample))
        best = self._by_place[self._place[entrants].min(axis=1)]  # the entrant with the smallest place
        parents = Architectures.taking(owner._space, owner._memory.codes[best])
        return owner._space.mutate(parents, rng)
