"""NSGA-II: non-dominated sorting with crowding distance.

Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002): parents are chosen by binary
tournaments (rank, then crowding, III.C), children made by crossover (probability 0.9) and mutation (each decision with
probability 1/D), and the best of parents and children survive; constraints by constraint-domination (VI.A). Any number
of objectives; with more than three, most points become non-dominated and the pressure falls.
Differences: crossover is uniform over the space's decisions, at most four decisions mutate in one child (and one more
if the child was proposed before), and no architecture is proposed twice. The survivors are chosen whenever a population
of new trials is there, however they were asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwright.registry import register
from archwright.search.pareto import crowding_by_rank, deb_ranks
from archwright.search.problem import Problem
from archwright.search.trial import Trial
from archwright.space.architecture import Architectures
from archwright.strategies.common import check_option
from archwright.strategies.prior import Prior
from archwright.strategies.rounds import Rounds

MUTATIONS_AT_MOST = 4
MADE_AT_ONCE = 32


@register(
    "strategies",
    "nsga2",
    labels={
        "family": "evolution",
        "objectives": "many",
        "constraints": True,
        "paper": "Deb et al. 2002, A fast and elitist multiobjective genetic algorithm: NSGA-II",
    },
)
class NSGA2(Rounds):
    """Elitist genetic search for a front.

    Args:
        problem: what is searched.
        seed: of all random draws.
        population: size of a generation; this many random architectures come first.
        crossover: probability that a child has two parents.
        mutation: probability that a decision of a child changes; 1/D by default.
        prior: begin on the front that cheap evaluators promise (`prior.py`), with random architectures after it.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        population: int = 100,
        crossover: float = 0.9,
        mutation: float | None = None,
        prior: bool = False,
    ) -> None:
        check_option("population", population, 2)
        check_option("crossover", crossover, 0.0, 1.0)
        check_option("mutation", 0.0 if mutation is None else mutation, 0.0, 1.0)
        super().__init__(problem, seed, population)
        self._prior = Prior(problem) if prior else None
        self._population, self._crossover = population, crossover
        self._mutation = 1.0 / max(1, len(problem.space.decisions)) if mutation is None else mutation
        self._parents = np.zeros(0, np.int64)  # rows of the memory, best first
        self._place = np.zeros(0, np.int64)  # of each parent; equal rank and crowding share a place
        self._judged = 0  # rows of the memory that were up for selection
        self._made = problem.space.architectures(np.zeros((0, len(problem.space.decisions)), np.int16))

    def _first(self, n: int, rng: np.random.Generator) -> Architectures:
        return self._proposals.pick(n, rng, self._prior.front if self._prior else self._space.sample)

    def _next(self, n: int, rng: np.random.Generator) -> Architectures:
        if not len(self._parents):
            self._select()
        return self._proposals.pick(n, rng, self._made_before if len(self._parents) > 1 else self._space.sample)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Add trials; survivors are chosen once a whole population of them is new."""
        self._memory.add(trials)
        if len(self._memory) - self._judged >= self._population:
            self._select()

    def _select(self) -> None:
        """Survivors of parents and new trials: by rank, then crowding distance."""
        memory = self._memory
        pool = np.concatenate([self._parents, np.arange(self._judged, len(memory))])
        self._judged, self._made = len(memory), self._made[:0]
        losses, violation = memory.losses[pool], memory.violation[pool]
        ranks = deb_ranks(losses, violation)
        crowding = crowding_by_rank(losses, ranks)
        order = np.lexsort((-crowding, ranks))[: self._population]
        self._parents = pool[order]
        steps = (np.diff(ranks[order]) != 0) | (crowding[order][1:] != crowding[order][:-1])
        self._place = np.concatenate([[0], np.cumsum(steps)])

    def _tournament(self, n: int, rng: np.random.Generator) -> Architectures:
        """Winners of n binary tournaments; ties are decided by chance."""
        pairs = rng.integers(0, len(self._parents), (n, 2))
        second = self._place[pairs[:, 1]] < self._place[pairs[:, 0]]
        rows = self._parents[np.where(second, pairs[:, 1], pairs[:, 0])]
        return Architectures.taking(self._space, self._memory.codes[rows])

    def _made_before(self, n: int, rng: np.random.Generator) -> Architectures:
        """The next n children; as their parents stay the same for a generation, they are made many at once."""
        if len(self._made) < n:
            self._made = self._children(max(n, MADE_AT_ONCE), rng)
        given, self._made = self._made[:n], self._made[n:]
        return given

    def _children(self, n: int, rng: np.random.Generator) -> Architectures:
        mothers, fathers = self._tournament(n, rng), self._tournament(n, rng)
        alone = rng.random(n) >= self._crossover
        codes = self._space.crossover(mothers, fathers, rng).codes.copy()
        codes[alone] = mothers.codes[alone]
        changes = np.minimum(rng.binomial(codes.shape[1], self._mutation, n), MUTATIONS_AT_MOST)
        for count in range(1, MUTATIONS_AT_MOST + 1):
            rows = np.flatnonzero(changes == count)
            if len(rows):
                codes[rows] = self._space.mutate(Architectures.taking(self._space, codes[rows]), rng, count).codes
        known = self._proposals.known(codes)
        if len(known):  # mutated once more, so that a population that has converged does not draw in vain
            codes[known] = self._space.mutate(Architectures.taking(self._space, codes[known]), rng).codes
        return Architectures.taking(self._space, codes)
