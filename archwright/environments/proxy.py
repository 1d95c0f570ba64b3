"""Proxy models: a fitted regressor that stands in for a slow evaluator, with its error on designs it has not seen.

Gradient-boosted trees over the options' numbers (ordered decisions) and categories (others), one ensemble per metric,
on the metric's own scale, because that is where the error counts. `features` may add what is known of the evaluator,
such as which decisions have no effect beside others. A proxy is an evaluator itself, so every strategy runs on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from archwright.errors import ConfigurationError
from archwright.space import Architectures, Space


class Proxy:
    """A fitted stand-in for an evaluator.

    Args:
        space: of designs.
        metrics: to predict.
        features: codes (n, decisions) -> further numbers (n, k).
        trees: boosting rounds.
        leaves: of a tree.
        rate: learning rate.
        seed: of the fit.
    """

    deterministic = True
    cheap = True

    def __init__(
        self,
        space: Space,
        metrics: Sequence[str],
        *,
        features: Callable[[np.ndarray], np.ndarray] | None = None,
        trees: int = 800,
        leaves: int = 63,
        rate: float = 0.05,
        seed: int = 0,
    ) -> None:
        self.space, self.metrics = space, tuple(metrics)
        self._more = features
        self._options = {
            "max_iter": trees, "max_leaf_nodes": leaves, "learning_rate": rate, "random_state": seed,
            "early_stopping": False,
        }  # fmt: skip
        self._table: dict[str, np.ndarray] = {}
        self._radix = np.ones(0, dtype=np.int64)
        self._models: dict[str, Any] = {}

    def fit(self, codes: np.ndarray, columns: Mapping[str, np.ndarray]) -> Proxy:
        """Learn from evaluated designs, (n, decisions) and metric -> (n,).

        Raises:
            ConfigurationError: if there are fewer than ten designs or a metric is missing.
        """
        from sklearn.ensemble import HistGradientBoostingRegressor

        missing = [m for m in self.metrics if m not in columns]
        if missing or len(codes) < 10:
            raise ConfigurationError(
                f"a proxy needs ten designs and every metric; got {len(codes)} designs, missing {missing}"
            )
        x = self._features(codes)
        categorical = np.arange(x.shape[1]) < len(self.space.decisions)
        categorical[: len(self.space.decisions)] &= [not d.ordered for d in self.space.decisions]
        for metric in self.metrics:
            model = HistGradientBoostingRegressor(categorical_features=categorical, min_samples_leaf=2, **self._options)
            self._models[metric] = model.fit(x, np.asarray(columns[metric], dtype=np.float64))
        self._table = {}
        return self

    def tabulate(self, most: int = 2_000_000) -> Proxy:
        """Predict every combination of options once; later predictions are look-ups.

        Raises:
            ConfigurationError: if there are more than `most` combinations, or a decision may be inactive.
        """
        sizes = [len(d.options) for d in self.space.decisions]
        total = int(np.prod(sizes, dtype=np.float64))
        if total > most or total != self.space.size():
            raise ConfigurationError(
                f"only flat spaces of at most {most} designs are tabulated, this one has {total} combinations"
            )
        codes = np.stack(np.unravel_index(np.arange(total), sizes), axis=1)
        self._radix = np.array([int(np.prod(sizes[i + 1 :], dtype=np.int64)) for i in range(len(sizes))])
        self._table = self._predict(codes)
        return self

    def _features(self, codes: np.ndarray) -> np.ndarray:
        own = np.asarray(codes, dtype=np.float64) + 1  # inactive decisions become 0
        return own if self._more is None else np.concatenate([own, self._more(codes)], axis=1)

    def evaluate(
        self, architectures: Architectures | np.ndarray, *, fidelity: float = 1.0, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """Predicted metric -> (n,)."""
        codes = architectures if isinstance(architectures, np.ndarray) else architectures.codes
        if self._table:
            at = codes.astype(np.int64) @ self._radix
            return {metric: table[at] for metric, table in self._table.items()}
        return self._predict(codes)

    def _predict(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        x = self._features(codes)
        return {metric: model.predict(x) for metric, model in self._models.items()}

    def error_percent(self, codes: np.ndarray, columns: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
        """Root mean square error on other designs, in percent of the metric's mean and of its range."""
        predicted = self.evaluate(codes)
        out = {}
        for metric in self.metrics:
            y = np.asarray(columns[metric], dtype=np.float64)
            rmse = float(np.sqrt(np.mean((predicted[metric] - y) ** 2)))
            spread = float(y.max() - y.min())
            out[metric] = {
                "rmse_percent_of_mean": 100 * rmse / float(np.abs(y).mean()),
                "rmse_percent_of_range": 100 * rmse / spread if spread else 0.0,
            }
        return out
