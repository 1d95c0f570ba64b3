"""Local search by first improvement.

White et al., "Exploring the loss landscape in neural architecture search" (2021), Algorithm 1 with the early move of
their `query_until_lower` variant: from a random start the neighbours are evaluated in random order and the search moves
to the first that is better; at a local optimum it starts anew. Differences: no architecture is evaluated twice, and a
neighbour that is equally good is moved to (plateaus are crossed; `ties=False` turns that off).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architecture, Architectures
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of, single_goal


@register(
    "strategies",
    "local_search",
    labels={
        "family": "local",
        "objectives": "one",
        "constraints": True,
        "paper": "White et al. 2021, Exploring the loss landscape in neural architecture search",
    },
)
class LocalSearch:
    """Hill climbing over one-decision neighbours, with random restarts; limits by Deb's rule.

    Args:
        problem: with one goal.
        seed: of all random draws.
        starts: random architectures of which the best begins a climb.
        ties: also move to neighbours that are exactly as good.
    """

    def __init__(self, problem: Problem, *, seed: int = 0, starts: int = 1, ties: bool = True) -> None:
        check_option("starts", starts, 1)
        single_goal(problem, "local_search")
        self._space = problem.space
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._seed, self._asks = seed, 0
        self._starts, self._ties = starts, ties
        self._centre = -1  # row of the memory; -1 before a climb
        self._queue: np.ndarray | None = None  # (k, D) neighbours of the centre to try, in order
        self._wanted = starts  # random starts still to be asked for
        self._missing = starts  # random starts still to be told

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: random starts, or the next neighbours."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        if self._centre >= 0 and self._missing <= 0:
            if self._queue is None:
                self._queue = self._neighbours(rng)
            while len(self._queue):
                codes, self._queue = self._queue[:n], self._queue[n:]
                codes = codes[[code.tobytes() not in self._proposals.seen for code in codes]]
                if len(codes):
                    self._proposals.seen.update(code.tobytes() for code in codes)
                    return candidates_of(Architectures(self._space, codes))
            self._centre, self._queue = -1, None
            self._wanted = self._missing = self._starts
        picked = self._proposals.random(min(n, self._wanted) if self._wanted > 0 else 1, rng)
        self._wanted -= len(picked)
        return candidates_of(picked)

    def _neighbours(self, rng: np.random.Generator) -> np.ndarray:
        """New neighbours of the centre (k, D) in random order, without those known to break limits that it keeps."""
        code = self._memory.codes[self._centre].copy()
        around = self._space.neighbours(Architecture(self._space, code))
        new = [i for i, c in enumerate(around.codes) if c.tobytes() not in self._proposals.seen]
        around = around[rng.permutation(np.array(new, np.int64))]
        if self._proposals.prescreen and len(around):
            broken = self._proposals.prescreen.violation(around)
            if self._memory.violation[self._centre] == 0:
                return around.codes[broken == 0]
            return around.codes[np.argsort(broken, kind="stable")]
        return around.codes

    def tell(self, trials: Sequence[Trial]) -> None:
        """Move to trials that are better than the centre."""
        for row in self._memory.add(trials).tolist():
            self._missing -= 1
            if np.isinf(self._memory.violation[row]):
                continue
            if self._centre < 0 or self._better(row, self._centre):
                self._centre, self._queue = row, None

    def _better(self, row: int, centre: int) -> bool:
        memory = self._memory
        new = (memory.violation[row], memory.losses[row, 0])
        old = (memory.violation[centre], memory.losses[centre, 0])
        return bool(new < old or (self._ties and new == old))
