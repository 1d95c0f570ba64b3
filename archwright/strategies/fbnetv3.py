"""FBNetV3's predictor-guided search: a predictor that knows free statistics, constrained rounds, then evolution on it.

Dai et al., "FBNetV3: Joint Architecture-Recipe Search using Predictor Pretraining" (2021), section 3.2 and 3.3: the
predictor is pre-trained to say parameters and multiply-accumulates; a quasi-Monte-Carlo pool is scored, in each round
the best that keep the limits are evaluated and the predictor is refitted; then an adaptive genetic search runs on the
predictor alone. Free statistics come from the problem's cheap evaluators; without any the pre-training is left out.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import qmc

from archwright.predictors.mlp import Perceptrons
from archwright.registry import register
from archwright.search.problem import Problem
from archwright.space.architecture import Architectures
from archwright.strategies.common import check_option
from archwright.strategies.free_columns import FreeColumns
from archwright.strategies.predicted import InOrder, around_best, best_codes
from archwright.strategies.rounds import PredictorRounds

POOL = 512
UNLABELLED = 1000
GENERATIONS = 10


@register(
    "strategies",
    "fbnetv3",
    labels={"family": "model", "objectives": "many", "constraints": True, "paper": "Dai et al. 2021, FBNetV3"},
)
class PretrainedSearch(PredictorRounds):
    """Rounds of what a pre-trained predictor likes, then evolution on it.

    Args:
        problem: what is searched.
        seed: of all random draws.
        round_size: evaluations between two fits.
        rounds: of the constrained iterative optimization, the first without a predictor.
    """

    def __init__(self, problem: Problem, *, seed: int = 0, round_size: int = 12, rounds: int = 3) -> None:
        check_option("round_size", round_size, 2)
        check_option("rounds", rounds, 1)
        predictor = Perceptrons(problem.space, seed=seed)
        super().__init__(problem, seed, round_size, predictor, starts=0)  # the first round comes from the pool
        self._rounds = rounds
        self._pool = quasi_random(problem, POOL, seed)
        free = FreeColumns(problem)
        if free:
            unlabelled = quasi_random(problem, UNLABELLED, seed + 1)
            predictor.pretrain(unlabelled, _rankable(free(unlabelled)))

    def _next(self, n: int, rng: np.random.Generator) -> Architectures:
        """The pool's first, then its best predicted, then what evolution on the predictor finds."""
        if self._asked < self._round or not self._ready():
            source = InOrder(self._pool, np.arange(len(self._pool)))
        elif self._asked < self._rounds * self._round:
            source = InOrder(self._pool, self._predictor.predict(self._pool)[0])
        else:
            found = self._evolve(rng)
            source = InOrder(found, self._predictor.predict(found)[0])
        return self._proposals.pick(n, rng, source)

    def _evolve(self, rng: np.random.Generator) -> Architectures:
        """Generations of mutants on the predictor; the change shrinks as the search goes on."""
        parents = Architectures(self._space, best_codes(self._memory, 40))
        found = parents
        for generation in range(GENERATIONS):
            changes = max(1, 3 - generation // 3)
            children = around_best(self._space, parents.codes, 100, rng, changes=changes)
            everyone = (parents + children).unique()
            order = np.argsort(self._predictor.predict(everyone)[0], kind="stable")
            parents = everyone[order[:40]]
            found = found + parents
        return found.unique()


def quasi_random(problem: Problem, n: int, seed: int) -> Architectures:
    """About n different members near a scrambled Sobol sequence over the decisions."""
    sizes = problem.space.sizes
    points = qmc.Sobol(len(sizes), scramble=True, rng=np.random.default_rng([seed, 0x50B01])).random_base2(
        int(np.ceil(np.log2(n)))
    )[:n]
    return problem.space.nearest(np.minimum((points * sizes).astype(np.int64), sizes - 1)).unique()


def _rankable(columns: np.ndarray) -> np.ndarray:
    """Finite columns; unknown values take the column's mean."""
    known = np.where(np.isfinite(columns), columns, np.nan)
    return np.where(np.isfinite(columns), columns, np.nan_to_num(np.nanmean(known, axis=0)))
