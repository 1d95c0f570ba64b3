"""Ant colony system: ants take options by pheromone, which evaporates and is laid where the best ants went.

Dorigo & Gambardella, "Ant colony system" (1997), section III: with probability q0 (greediness) the option with most
pheromone is taken, else one by chance in proportion; each ant takes a little pheromone away from what it used (local
update), and the best ant lays some (global update). Used for architectures by DeepSwarm (Byla & Pang, 2019) and as an
agent of ArchGym (Krishnan et al., 2023, section 4), whose hyper-parameters these are. Pheromone lies on the options of
each decision, not on pairs of consecutive options, since the order of decisions means nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwright.errors import SpaceError
from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architectures
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of, single_goal


@register(
    "strategies",
    "ant_colony",
    labels={
        "family": "swarm",
        "objectives": "one",
        "constraints": True,
        "paper": "Dorigo & Gambardella 1997, Ant colony system",
    },
)
class AntColony:
    """Constructs architectures option by option along pheromone.

    Args:
        problem: with one goal.
        seed: of all random draws.
        ants: of a generation; the best of each lays pheromone, and so does the best of all.
        greediness: q0, probability of taking the option with most pheromone.
        evaporation: share that the global update replaces.
        decay: share that the local update replaces by the start value.
        start: pheromone at the beginning; the best ants lay 1.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        ants: int = 16,
        greediness: float = 0.5,
        evaporation: float = 0.1,
        decay: float = 0.1,
        start: float = 0.1,
    ) -> None:
        check_option("ants", ants, 1)
        for name, value in (("greediness", greediness), ("evaporation", evaporation), ("decay", decay)):
            check_option(name, value, 0.0, 1.0)
        check_option("start", start, 1e-6, 1.0)
        single_goal(problem, "ant_colony")
        self._space = problem.space
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._seed, self._asks = seed, 0
        self._ants, self._greediness, self._evaporation, self._decay = ants, greediness, evaporation, decay
        self._start = start
        sizes = problem.space.sizes
        self._legal = np.arange(int(sizes.max(initial=1)))[None] < sizes[:, None]  # (D, options)
        self.pheromone = np.where(self._legal, start, 0.0)  # (D, options)
        self._judged = 0

    @property
    def batch(self) -> int:
        """The ants of one generation walk at once."""
        return self._ants

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: where n ants went."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        picked = self._proposals.pick(n, rng, self._walk)
        self._replace(picked.codes, self._decay, self._start)
        return candidates_of(picked)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Update the pheromone once a generation has returned."""
        self._memory.add(trials)
        while len(self._memory) - self._judged >= self._ants:
            end = self._judged + self._ants
            for rows in (np.arange(self._judged, end), np.arange(end)):
                best = rows[int(self._memory.order(rows).argmin())]
                if np.isfinite(self._memory.violation[best]):
                    self._replace(self._memory.codes[[best]], self._evaporation, 1.0)
            self._judged = end

    def _replace(self, codes: np.ndarray, share: float, value: float) -> None:
        """Move the pheromone of used options (of codes (n, D)) towards a value, once for every use."""
        for code in codes:
            used = np.flatnonzero(code >= 0)
            at = (used, code[used])
            self.pheromone[at] += share * (value - self.pheromone[at])

    def _walk(self, n: int, rng: np.random.Generator) -> Architectures:
        """N ants; what is no member is moved to the nearest one."""
        d, options = self.pheromone.shape
        odds = np.cumsum(self.pheromone, axis=1)
        points = rng.random((n, d)) * odds[:, -1]
        chance = (points[:, :, None] >= odds[None]).sum(axis=2)
        tied = np.where(self._legal, self.pheromone, -1.0) + 1e-9 * rng.random((n, d, options)) * self._legal
        greedy = tied.argmax(axis=2)
        codes = np.where(rng.random((n, d)) < self._greediness, greedy, np.minimum(chance, self._space.sizes - 1))
        try:
            return self._space.nearest(codes.astype(np.int16))
        except SpaceError:  # predicates hold nowhere near
            return self._space.sample(n, rng)
