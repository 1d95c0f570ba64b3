"""BANANAS: an ensemble of perceptrons on path features, independent Thompson sampling, mutants of the best.

White et al., "BANANAS: Bayesian Optimization with Neural Architectures for Neural Architecture Search" (2021),
Algorithm 1: after random architectures, each round fits five networks, draws a value for every candidate from its
predicted normal distribution (ITS), and evaluates the smallest; candidates are one-edge mutants of the best.
Differences: the path encoding is replaced by codes, option counts and the lengths and number of ways through the graph,
which exist for every space; the target is the log gap instead of the ratio loss of the paper.
"""

from __future__ import annotations

import numpy as np

from archwright.registry import get, register
from archwright.search.problem import Problem
from archwright.space.architecture import Architectures
from archwright.strategies.common import check_option
from archwright.strategies.predicted import InOrder, around_best, best_codes
from archwright.strategies.rounds import PredictorRounds


@register(
    "strategies",
    "bananas",
    labels={"family": "model", "objectives": "many", "constraints": True, "paper": "White et al. 2021, BANANAS"},
)
class Bananas(PredictorRounds):
    """Thompson sampling from a predictor ensemble.

    Args:
        problem: what is searched.
        seed: of all random draws.
        starts: random architectures first.
        round_size: evaluations between two fits.
        drawn: mutants that are scored an ask.
        predictor: registered name; it must know its uncertainty.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        starts: int = 10,
        round_size: int = 10,
        drawn: int = 100,
        predictor: str = "mlp",
    ) -> None:
        check_option("starts", starts, 2)
        check_option("round_size", round_size, 1)
        check_option("drawn", drawn, 1)
        super().__init__(problem, seed, round_size, get("predictors", predictor)(problem.space, seed=seed), starts)
        self._drawn = drawn

    def _next(self, n: int, rng: np.random.Generator) -> Architectures:
        """Thompson samples; random ones while there is too little to learn from."""
        if not self._ready():
            return self._proposals.random(n, rng)
        wanted = max(self._drawn, 4 * n)
        around = around_best(self._space, best_codes(self._memory, 10), wanted, rng, changes=2, chance=0.1)
        mean, std = self._predictor.predict(around)
        return self._proposals.pick(n, rng, InOrder(around, mean + std * rng.standard_normal(len(mean))))
