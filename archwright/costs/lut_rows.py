"""Times of operators that were not measured, from those that were.

A ridge regression on logarithms: log time over log multiply-accumulates, parameters, bytes read and written, with a
level for each kind of operator. The operators of one space are close relatives, so this interpolates; its error on
measured operators that it has not seen is part of the table's report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from archwright.costs.workload import OperatorRows
from archwright.errors import ConfigurationError, require

Predictor = Literal["ridge", "lightgbm"]
FLOOR_MS = 1e-5  # ten nanoseconds: what is folded away counts as this


def features_of(rows: OperatorRows) -> np.ndarray:
    """Logarithms of counts, float64 (rows, 5): macs, params, output bytes, input elements, weight bytes."""
    counts = rows.counts
    inputs = np.array([sum(int(np.prod(s)) for s in shapes) for shapes in rows.input_shapes], dtype=np.float64)
    columns = [counts["macs"], counts["params"], counts["activation_bytes"], inputs, counts["weight_bytes"]]
    return np.log1p(np.stack(columns, axis=1)) if len(rows) else np.zeros((0, 5))


@dataclass(frozen=True)
class RowRegression:
    """Log time of an operator from its kind and features."""

    kinds: tuple[str, ...]
    predictor: Predictor = "ridge"
    strength: float = 1e-2

    def fit_predict(
        self, kinds: Sequence[str], features: np.ndarray, ms: np.ndarray, new_kinds: Sequence[str], new: np.ndarray
    ) -> np.ndarray:
        """Times (m,) in ms of new rows with features (m, 5), from measured ones (n, 5) with times (n,)."""
        target = np.log(np.maximum(ms, FLOOR_MS))
        if self.predictor == "lightgbm":
            return np.exp(self._boosted(kinds, features, target, new_kinds, new))
        if self.predictor != "ridge":
            raise ConfigurationError(f"a row predictor is ridge or lightgbm, got {self.predictor!r}")
        mean, std = features.mean(axis=0), features.std(axis=0)
        std = np.where(std > 1e-9, std, 1.0)
        x = self._design(kinds, (features - mean) / std)
        penalty = self.strength * len(x) * np.eye(x.shape[1])
        penalty[0, 0] = 0.0
        weights = np.linalg.solve(x.T @ x + penalty + 1e-9 * np.eye(x.shape[1]), x.T @ target)
        out = self._design(new_kinds, (new - mean) / std) @ weights
        return np.exp(np.clip(out, target.min() - 2.0, target.max() + 2.0))

    def _design(self, kinds: Sequence[str], scaled: np.ndarray) -> np.ndarray:
        levels = np.array([[k == known for known in self.kinds] for k in kinds], dtype=np.float64)
        levels = levels.reshape(len(kinds), len(self.kinds))
        return np.concatenate([np.ones((len(kinds), 1)), scaled, scaled**2, levels, levels * scaled[:, :1]], axis=1)

    def _boosted(
        self, kinds: Sequence[str], features: np.ndarray, target: np.ndarray, new_kinds: Sequence[str], new: np.ndarray
    ) -> np.ndarray:
        require("lightgbm", extra="predictors", feature="the predictor 'lightgbm' of a latency table")
        import lightgbm

        options = {
            "objective": "l2",
            "min_data_in_leaf": 3,
            "num_leaves": 15,
            "verbose": -1,
            "seed": 0,
            "num_threads": 1,
        }
        data = lightgbm.Dataset(self._boost_design(kinds, features), target)
        return np.asarray(lightgbm.train(options, data, 200).predict(self._boost_design(new_kinds, new)))

    def _boost_design(self, kinds: Sequence[str], features: np.ndarray) -> np.ndarray:
        numbers = np.array([self.kinds.index(k) if k in self.kinds else -1 for k in kinds], dtype=np.float64)
        return np.concatenate([numbers[:, None], features], axis=1)

    def error_percent(self, kinds: Sequence[str], features: np.ndarray, ms: np.ndarray, folds: int = 5) -> float:
        """Median relative error on measured rows that were held out, in percent; NaN for fewer than ten rows."""
        if len(ms) < 10:
            return float("nan")
        part = np.random.default_rng(0).permutation(len(ms)) % folds
        errors = np.zeros(len(ms))
        names = np.array(kinds, dtype=object)
        for fold in range(folds):
            known, held = part != fold, part == fold
            guess = self.fit_predict(names[known], features[known], ms[known], names[held], features[held])
            errors[held] = np.abs(guess / np.maximum(ms[held], FLOOR_MS) - 1.0)
        return 100.0 * float(np.median(errors))


__all__ = ["FLOOR_MS", "Predictor", "RowRegression", "features_of"]
