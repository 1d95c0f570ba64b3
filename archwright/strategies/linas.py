"""LINAS: evolution on predictors, validated population by population.

Sarah et al., "A Hardware-Aware System for Accelerating Deep Neural Network Optimization" (DyNAS-T, 2022), section 3.3:
a population is evaluated, one predictor an objective is refitted on all results, a long NSGA-II runs on the predictors
alone, and its most promising members are the next population. Differences: ridge regressions and Gaussian processes in
place of ridge and support vectors; what is returned by a run are evaluated architectures only; the inner search starts
from the best evaluated ones and its choice is spread along the predicted front; it sees lower confidence bounds
(Srinivas et al., 2010) in place of means, so that little known parts of the front are tried as well.
"""

from __future__ import annotations

import numpy as np

from archwright.predictors.base import Predictor
from archwright.registry import get, register
from archwright.search.pareto import crowding_by_rank, deb_ranks
from archwright.search.problem import Problem
from archwright.space.architecture import Architectures
from archwright.strategies.common import check_option
from archwright.strategies.predicted import InOrder
from archwright.strategies.rounds import Rounds

INNER = 100  # population of the inner search


@register(
    "strategies",
    "linas",
    labels={
        "family": "model",
        "objectives": "many",
        "constraints": True,
        "paper": "Sarah et al. 2022, A Hardware-Aware System for Accelerating Deep Neural Network Optimization",
    },
)
class Linas(Rounds):
    """Populations proposed by evolution on predictors.

    Args:
        problem: what is searched.
        seed: of all random draws.
        population: evaluations between two fits (50 in the paper, for thousands of evaluations).
        inner: predicted architectures of an inner search.
        predictor: registered name, one a goal; it must know its uncertainty.
        optimism: standard deviations by which a predicted loss is lowered.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        population: int = 10,
        inner: int = 2000,
        predictor: str = "gp",
        optimism: float = 1.0,
    ) -> None:
        check_option("population", population, 2)
        check_option("inner", inner, INNER)
        check_option("optimism", optimism, 0.0)
        super().__init__(problem, seed, population)
        self._population, self._inner, self._optimism = population, inner, optimism
        make = get("predictors", predictor)
        self._predictors: list[Predictor] = [make(problem.space, seed=seed) for _ in problem.goals]
        self._fitted = -1

    def _next(self, n: int, rng: np.random.Generator) -> Architectures:
        """The inner search's choice; random ones while there is too little to learn from."""
        if not self._fit():
            return self._proposals.random(n, rng)
        return self._proposals.pick(n, rng, self._choice(rng))

    def _fit(self) -> bool:
        memory = self._memory
        if self._fitted >= 0 and len(memory) - self._fitted < self._population:
            return True
        rows = np.flatnonzero(np.isfinite(memory.losses).all(axis=1))
        if len(rows) < 2:
            return False
        known = Architectures(self._space, memory.codes[rows])
        for predictor, losses in zip(self._predictors, memory.losses[rows].T, strict=True):
            predictor.fit(known, losses)
        self._fitted = len(memory)
        return True

    def _predict(self, architectures: Architectures) -> np.ndarray:
        """(n, goals) lower confidence bounds of the losses."""
        predicted = [p.predict(architectures) for p in self._predictors]
        return np.stack([mean - self._optimism * std for mean, std in predicted], axis=1)

    def _choice(self, rng: np.random.Generator) -> InOrder:
        """NSGA-II on the predictors from the best evaluated ones; new members in order of rank, then crowding."""
        memory = self._memory
        rows = np.flatnonzero(np.isfinite(memory.losses).all(axis=1))
        parents = Architectures(self._space, memory.codes[rows[np.argsort(memory.order(rows))[:INNER]]])
        losses = self._predict(parents)
        found, scores = parents, losses
        for _ in range(self._inner // INNER):
            mates = parents[rng.integers(0, len(parents), INNER)]
            children = self._space.crossover(parents[rng.integers(0, len(parents), INNER)], mates, rng)
            pool = (parents + self._space.mutate(children, rng)).unique()
            losses = self._predict(pool)
            keep = _order(losses, self._violation(pool))[:INNER]
            parents, losses = pool[keep], losses[keep]
            found, scores = found + parents, np.concatenate([scores, losses])
        new = np.array([c.tobytes() not in self._proposals.seen for c in found.codes])
        found, scores = found[new], scores[new]
        place = np.empty(len(found))
        place[_order(scores, self._violation(found))] = np.arange(len(found))
        return InOrder(found, place)

    def _violation(self, architectures: Architectures) -> np.ndarray:
        return self._proposals.prescreen.violation(architectures)


def _order(losses: np.ndarray, violation: np.ndarray) -> np.ndarray:
    """Rows by Deb's rank, then crowding distance."""
    if not len(losses):
        return np.zeros(0, np.int64)
    if losses.shape[1] == 1:
        return np.lexsort((losses[:, 0], violation))
    ranks = deb_ranks(losses, violation)
    return np.lexsort((-crowding_by_rank(losses, ranks), ranks))
