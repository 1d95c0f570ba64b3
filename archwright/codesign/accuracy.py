"""Accuracies of the tasks' networks in a joint design: from tables, or inherited from supernets trained on the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from archwright.codesign.joint import network_codes
from archwright.errors import ConfigurationError
from archwright.space import Architectures, Space

if TYPE_CHECKING:
    from archwright.benchmarks.table import TableBenchmark
    from archwright.costs.base import Columns
    from archwright.evaluators.inherited import InheritedEvaluator

Accuracy = Callable[[np.ndarray], np.ndarray]  # codes of a task's own space (n, decisions) -> percent (n,)


class JointAccuracy:
    """Mean accuracy over the tasks, and that of each task as `TASK_accuracy_percent`.

    Args:
        space: from `codesign_space`.
        tasks: the same mapping of task to network space.
        accuracy: task -> accuracy of its networks. Each distinct network is asked for once.

    Raises:
        ConfigurationError: if a task has none.
    """

    deterministic = True
    batched = True

    def __init__(self, space: Space, tasks: Mapping[str, Space], accuracy: Mapping[str, Accuracy]) -> None:
        missing = [t for t in tasks if t not in accuracy]
        if missing:
            raise ConfigurationError(f"the task {missing[0]!r} needs an accuracy function")
        self.space, self.tasks, self.accuracy = space, dict(tasks), dict(accuracy)
        self.metrics = ("accuracy_percent", *(f"{t}_accuracy_percent" for t in tasks))
        self._known: dict[str, dict[bytes, float]] = {t: {} for t in tasks}

    def evaluate(self, architectures: Architectures | np.ndarray, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Metric -> float64 (n,)."""
        codes = architectures if isinstance(architectures, np.ndarray) else architectures.codes
        columns = {f"{t}_accuracy_percent": self._of(t, codes) for t in self.tasks}
        return {"accuracy_percent": np.mean(list(columns.values()), axis=0), **columns}

    def _of(self, task: str, codes: np.ndarray) -> np.ndarray:
        own, known = network_codes(self.space, self.tasks, codes, task), self._known[task]
        keys = [code.tobytes() for code in own]
        new = {key: i for i, key in enumerate(keys) if key not in known}
        if new:
            found = self.accuracy[task](own[list(new.values())])
            known.update(zip(new, found.tolist(), strict=True))
        return np.array([known[key] for key in keys])


def from_table(benchmark: TableBenchmark) -> Accuracy:
    """Mean over the table's trainings of each network, NaN where it lists none."""

    def accuracy(codes: np.ndarray) -> np.ndarray:
        return benchmark.read("accuracy_percent", benchmark.rows(codes), true=True)

    return accuracy


def from_supernet(evaluator: InheritedEvaluator, space: Space) -> Accuracy:
    """Valid accuracy with a trained supernet's weights."""

    def accuracy(codes: np.ndarray) -> np.ndarray:
        return evaluator.evaluate(Architectures(space, codes))["accuracy_percent"]

    return accuracy
