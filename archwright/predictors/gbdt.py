"""Gradient-boosted trees on one-hot codes, option counts and graph numbers.

Luo et al., "Accuracy Prediction with Non-neural Model for Neural Architecture Search" (GBDT-NAS, 2020), section 3.1:
LightGBM with learning rate 0.05, 31 leaves, 100 rounds, 0.9 of the features and 0.8 of the labels a tree. The standard
deviation is that of a small ensemble over bootstrap samples, which is ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from archwright.errors import require
from archwright.predictors.encoding import Encoded, Extra, encoder_of
from archwright.registry import register
from archwright.space import Architectures, Space


@register("predictors", "gbdt", labels={"family": "trees", "uncertainty": True, "extra": "lightgbm"})
class GradientBoosting:
    """Trees by LightGBM.

    Args:
        space: of the architectures.
        seed: of the bootstrap and of the trees.
        extra: further free columns.
        rounds: trees of a member.
        members: of the ensemble; with 1 the standard deviation is that of the residuals.
        structural: read the graph of the network where the space has one.

    Raises:
        MissingPackageError: if LightGBM is not installed.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        extra: Extra | None = None,
        rounds: int = 100,
        members: int = 5,
        structural: bool = True,
    ) -> None:
        require("lightgbm", extra="predictors", feature="gradient-boosted trees")
        self.encoder = encoder_of(space, extra, structural=structural)
        self._seed, self._rounds, self._members = seed, rounds, members
        self._boosters: list[Any] = []

    def fit(self, architectures: Architectures, values: np.ndarray) -> GradientBoosting:
        """Learn from n architectures with values (n,)."""
        matrix = self.encoder.matrix(architectures)
        rng = np.random.default_rng([self._seed, len(values)])
        self._boosters = []
        for member in range(self._members):
            rows = np.arange(len(values)) if member == 0 else rng.integers(0, len(values), len(values))
            self._boosters.append(boost(matrix[rows], values[rows], self._rounds, self._seed + member))
        self._residual = float(np.std(values - self._boosters[0].predict(matrix)))
        return self

    def predict(self, architectures: Architectures) -> tuple[np.ndarray, np.ndarray]:
        """Mean (n,) and standard deviation (n,)."""
        return self.predict_encoded(self.encoder(architectures))

    def predict_encoded(self, encoded: Encoded) -> tuple[np.ndarray, np.ndarray]:
        """Mean (n,) and standard deviation (n,) of architectures that `self.encoder` has encoded."""
        matrix = self.encoder.columns(encoded)
        found = np.stack([b.predict(matrix, num_threads=1) for b in self._boosters])
        spread = found.std(axis=0) if len(found) > 1 else np.zeros(len(matrix))
        return found.mean(axis=0), np.maximum(spread, max(self._residual, 1e-9) * (len(found) == 1) + 1e-9)

    def contributions(self, architectures: Architectures) -> np.ndarray:
        """(n, features) SHAP values of the first member (Lundberg et al., 2020), without the expected value."""
        matrix = self.encoder.matrix(architectures)
        return np.asarray(self._boosters[0].predict(matrix, pred_contrib=True, num_threads=1))[:, :-1]


def boost(matrix: np.ndarray, values: np.ndarray, rounds: int, seed: int) -> Any:
    """One LightGBM booster with the paper's settings; leaves may hold few labels when there are few."""
    import lightgbm

    settings = {
        "objective": "regression", "learning_rate": 0.05, "num_leaves": 31, "feature_fraction": 0.9,
        "bagging_fraction": 0.8, "bagging_freq": 5, "min_data_in_leaf": max(1, min(20, len(values) // 80)),
        "min_data_in_bin": 1, "num_threads": 1, "deterministic": True, "force_col_wise": True, "verbosity": -1,
        "seed": seed,
    }  # fmt: skip
    data = lightgbm.Dataset(matrix, label=values, free_raw_data=True)
    return lightgbm.train(settings, data, num_boost_round=rounds)
