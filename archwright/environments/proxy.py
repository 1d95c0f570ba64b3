"""Proxy models: a fitted regressor that stands in for a slow evaluator, with its error on designs it has not seen.

Gradient-boosted trees over the options' numbers (ordered decisions) and categories (others) learn from the evaluated
designs, one ensemble per metric, on the metric's own scale, because that is where the error counts. `features` may add
what is known of the evaluator, such as which decisions have no effect beside others. Hundreds of trees are slow, so
what they say of random designs is then written into a few small tables (`tables.py`), which answer in well under a
microsecond. A proxy is an evaluator itself, so every strategy runs on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from archwright.environments.tables import Tables, fit_tables
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
        labels: random designs that the tables learn from.
        rank: terms of the tables' sum.
        cells: most combinations of options in a table.
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
        labels: int = 100_000,
        rank: int = 6,
        cells: int = 4096,
        seed: int = 0,
    ) -> None:
        self.space, self.metrics = space, tuple(metrics)
        self._more = features
        self._options = {
            "max_iter": trees, "max_leaf_nodes": leaves, "learning_rate": rate, "random_state": seed,
            "early_stopping": False,
        }  # fmt: skip
        self._labels, self._seed = labels, seed
        self._shape = {"rank": rank, "cells": cells}
        self._tables: Tables | None = None

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
        drawn = self.space.sample(self._labels, np.random.default_rng(self._seed)).codes
        asked, values = self._features(drawn), np.empty((len(drawn), len(self.metrics)))
        categorical = np.arange(x.shape[1]) < len(self.space.decisions)
        categorical[: len(self.space.decisions)] &= [not d.ordered for d in self.space.decisions]
        for k, metric in enumerate(self.metrics):
            model = HistGradientBoostingRegressor(categorical_features=categorical, min_samples_leaf=2, **self._options)
            values[:, k] = model.fit(x, np.asarray(columns[metric], dtype=np.float64)).predict(asked)
        sizes = np.array([d.size for d in self.space.decisions])
        self._tables = fit_tables(drawn, values, sizes, seed=self._seed, **self._shape)
        return self

    def _features(self, codes: np.ndarray) -> np.ndarray:
        own = np.asarray(codes, dtype=np.float64) + 1  # inactive decisions become 0
        return own if self._more is None else np.concatenate([own, self._more(codes)], axis=1)

    def evaluate(
        self, architectures: Architectures | np.ndarray, *, fidelity: float = 1.0, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """Predicted metric -> (n,).

        Raises:
            ConfigurationError: before `fit`.
        """
        if self._tables is None:
            raise ConfigurationError("a proxy predicts what it was fitted to; call fit first")
        codes = architectures if isinstance(architectures, np.ndarray) else architectures.codes
        return dict(zip(self.metrics, self._tables(codes).T, strict=True))

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
