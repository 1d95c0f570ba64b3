"""Accuracy and latency as one number that a controller can maximize: MnasNet's reward.

Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile" (2019), equations 2 and 3: the accuracy
times (latency / target)^w, with w = alpha up to the target and beta above it. alpha = beta = -0.07 is the soft
constraint, at which twice the latency is worth 5 % of the accuracy; alpha = 0, beta = -1 is the hard one. Unlike a
limit it lets every candidate be measured in full; with the soft constraint the best network lies where the trade pays,
which may be far from the target.
"""

from __future__ import annotations

import numpy as np

from archwright.errors import ConfigurationError, nearest
from archwright.registry import register
from archwright.search.problem import Columns, Evaluator
from archwright.space import Architectures

SOFT, HARD = (-0.07, -0.07), (0.0, -1.0)
REWARD = "reward_score"


def mnasnet_reward(
    value: np.ndarray, cost: np.ndarray, target: float, exponents: tuple[float, float] = SOFT
) -> np.ndarray:
    """(n,) rewards of values (n,) at costs (n,) in the target's unit; exponents are alpha and beta."""
    alpha, beta = exponents
    return value * (cost / target) ** np.where(cost <= target, alpha, beta)


@register(
    "evaluators",
    "mnasnet_reward",
    labels={"cost": "of what is wrapped", "survey": ["strategy: reinforcement and tree search"]},
)
class MnasNetReward:
    """Two evaluators and the reward of their metrics, in the column `reward_score`.

    Args:
        value: measures what is to be large.
        cost: measures what is to be small.
        target: of the cost, in its unit.
        metrics: names of the value and of the cost.
        exponents: alpha and beta, `SOFT` or `HARD`.

    Raises:
        ConfigurationError: if an evaluator lacks its metric, or the target or an exponent has the wrong sign.
    """

    def __init__(
        self,
        value: Evaluator,
        cost: Evaluator,
        target: float,
        *,
        metrics: tuple[str, str] = ("accuracy_percent", "latency_ms"),
        exponents: tuple[float, float] = SOFT,
    ) -> None:
        for evaluator, metric in zip((value, cost), metrics, strict=True):
            if metric not in evaluator.metrics:
                raise ConfigurationError(
                    f"{type(evaluator).__name__} does not measure {metric!r}; {nearest(metric, evaluator.metrics)}"
                )
        if target <= 0 or max(exponents) > 0:
            raise ConfigurationError(f"the target is above 0 and exponents at most 0, got {target} and {exponents}")
        self.value, self.cost, self.target, self.exponents = value, cost, target, exponents
        self._of = metrics
        self.metrics: tuple[str, ...] = tuple(dict.fromkeys((REWARD, *value.metrics, *cost.metrics)))
        self.deterministic = value.deterministic and cost.deterministic

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Measure n architectures, see `Evaluator.evaluate`; the fidelity is that of the value."""
        columns = dict(self.cost.evaluate(architectures, seed=seed))
        columns |= self.value.evaluate(architectures, fidelity=fidelity, seed=seed)
        of_value, of_cost = (np.asarray(columns[m], np.float64) for m in self._of)
        columns[REWARD] = mnasnet_reward(of_value, of_cost, self.target, self.exponents)
        return columns
