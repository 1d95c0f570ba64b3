"""A cost model with targets as an evaluator: its metrics and one score, for every ask/tell strategy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from archwright.environments.reward import Target, reward
from archwright.errors import ConfigurationError, nearest
from archwright.search.problem import Objective, Problem
from archwright.space import Architectures, Space


class Targeted:
    """Adds `reward_score`, the reward of `reward.py`, to an evaluator's metrics.

    Args:
        evaluator: the cost model.
        targets: what the reward asks for.
    """

    def __init__(self, evaluator: Any, targets: Sequence[Target]) -> None:
        for t in targets:
            if t.metric not in evaluator.metrics:
                raise ConfigurationError(
                    f"the evaluator does not measure {t.metric!r}; {nearest(t.metric, evaluator.metrics)}"
                )
        self.evaluator, self.targets = evaluator, tuple(targets)
        self.metrics = (*evaluator.metrics, "reward_score")
        self.deterministic = evaluator.deterministic
        self.cheap = getattr(evaluator, "cheap", False)

    def evaluate(
        self, architectures: Architectures | np.ndarray, *, fidelity: float = 1.0, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """Metric -> (n,), `reward_score` included."""
        columns = dict(self.evaluator.evaluate(architectures, fidelity=fidelity, seed=seed))
        columns["reward_score"] = reward(columns, self.targets)
        return columns


def design_problem(space: Space, evaluator: Any, targets: Sequence[Target]) -> Problem:
    """The search for a design that meets all targets."""
    return Problem(space, (Objective("reward_score", "maximize"),), (Targeted(evaluator, targets),))
