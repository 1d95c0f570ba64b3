"""Ant colony optimization, the ACO agent of ArchGym.

Dorigo & Stuetzle (2004), the max-min ant system, as an agent of Krishnan et al., "ArchGym" (2023), section 4: every
option of every decision holds pheromone; ants choose in proportion to it; it evaporates, and the best ants of each
round and the best so far leave new pheromone. Bounds keep every option alive. Differences: limits and several
objectives go by Deb's rule, and no architecture is proposed twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architectures
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of
from archwright.strategies.fitness import draw_codes, fitness


@register(
    "strategies",
    "ant_colony",
    labels={"family": "swarm", "objectives": "many", "constraints": True, "paper": "Dorigo & Stuetzle 2004"},
)
class AntColony:
    """Pheromone on options.

    Args:
        problem: what is searched.
        seed: of all random draws.
        ants: of a round.
        evaporation: share of pheromone lost a round.
        followers: best ants of a round that leave pheromone.
        floor: smallest pheromone relative to the largest.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        ants: int = 16,
        evaporation: float = 0.1,
        followers: int = 4,
        floor: float = 0.02,
    ) -> None:
        check_option("ants", ants, 1)
        check_option("evaporation", evaporation, 0.0, 1.0)
        check_option("followers", followers, 1)
        check_option("floor", floor, 0.0, 1.0)
        self._space, self._seed, self._asks = problem.space, seed, 0
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._ants, self._evaporation, self._followers, self._floor = ants, evaporation, followers, floor
        self.pheromone = [np.ones(size) for size in problem.space.sizes.tolist()]
        self._judged = 0

    @property
    def batch(self) -> int:
        """What is left of the round."""
        return max(1, self._ants - (len(self._memory) - self._judged))

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n ants."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        return candidates_of(self._proposals.pick(n, rng, self._walk))

    def _walk(self, n: int, rng: np.random.Generator) -> Architectures:
        return draw_codes(self._space, [p / p.sum() for p in self.pheromone], n, rng)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Remember trials; after a round of ants the pheromone changes."""
        self._memory.add(trials)
        if len(self._memory) - self._judged >= self._ants:
            self._deposit()
            self._judged = len(self._memory)

    def _deposit(self) -> None:
        values = fitness(self._memory)
        recent = np.arange(self._judged, len(self._memory))
        chosen = [*recent[np.argsort(values[recent], kind="stable")[: self._followers]], int(np.argmin(values))]
        codes = self._memory.codes[[i for i in chosen if np.isfinite(values[i])]]
        for j, p in enumerate(self.pheromone):
            p *= 1.0 - self._evaporation
            active = codes[codes[:, j] >= 0, j]
            np.add.at(p, active, self._evaporation * len(p) / max(len(codes), 1))
            np.maximum(p, self._floor * p.max(), out=p)
