"""What a problem's cheap evaluators say before a trial is spent: inputs for models of the losses."""

from __future__ import annotations

import numpy as np

from archwright.search.problem import Evaluator, Problem
from archwright.space.architecture import Architectures
from archwright.units import unit_of


class FreeColumns:
    """Columns of the cheap evaluators.

    Args:
        problem: its evaluators with `cheap = True` are read; metrics that are goals are left out.
    """

    def __init__(self, problem: Problem) -> None:
        goals = {g.metric for g in problem.goals}
        self._evaluators = [e for e in problem.evaluators if getattr(e, "cheap", False)]
        self.known = frozenset(m for e in self._evaluators for m in e.metrics)  # goals included
        metrics = dict.fromkeys(m for e in self._evaluators for m in e.metrics if m not in goals and m != "simulated_s")
        self.metrics = tuple(metrics)
        self.scores = [i for i, m in enumerate(self.metrics) if unit_of(m) == "score"]  # zero-cost proxies

    def __bool__(self) -> bool:
        return bool(self.metrics)

    def __call__(self, architectures: Architectures) -> np.ndarray:
        """(n, metrics) float64; NaN where an evaluator cannot say."""
        columns = self.values(architectures)
        nothing = np.full(len(architectures), np.nan)
        return np.stack([columns.get(m, nothing) for m in self.metrics], axis=1)

    def values(self, architectures: Architectures) -> dict[str, np.ndarray]:
        """Metric -> (n,), goals included."""
        columns: dict[str, np.ndarray] = {}
        for evaluator in self._evaluators:
            try:
                columns |= evaluator.evaluate(architectures)
            except Exception:  # of some member; its trial will say what is wrong
                columns |= _one_by_one(evaluator, architectures)
        return columns


def _one_by_one(evaluator: Evaluator, architectures: Architectures) -> dict[str, np.ndarray]:
    """The columns of an evaluator that raises for some members; NaN for those."""
    columns = {m: np.full(len(architectures), np.nan) for m in evaluator.metrics}
    for i in range(len(architectures)):
        try:
            for metric, values in evaluator.evaluate(architectures[i : i + 1]).items():
                columns[metric][i] = values[0]
        except Exception:
            continue
    return columns
