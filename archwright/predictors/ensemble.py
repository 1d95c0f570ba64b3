"""The mean of several predictors; where they disagree, nobody knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwright.predictors.base import Predictor
from archwright.predictors.encoding import Extra
from archwright.registry import get, register
from archwright.space import Architectures, Space


@register("predictors", "ensemble", labels={"family": "ensemble", "uncertainty": True})
class Ensemble:
    """Averages predictors and adds their disagreement to their own uncertainty (Lakshminarayanan et al., 2017, eq. 4).

    Args:
        space: of the architectures.
        seed: of the members.
        extra: further free columns.
        members: registered names.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        extra: Extra | None = None,
        members: Sequence[str] = ("gp", "ridge", "mlp"),
    ) -> None:
        self.members: list[Predictor] = [
            get("predictors", name)(space, seed=seed + i, extra=extra) for i, name in enumerate(members)
        ]

    def fit(self, architectures: Architectures, values: np.ndarray) -> Ensemble:
        """Fit every member."""
        for member in self.members:
            member.fit(architectures, values)
        return self

    def predict(self, architectures: Architectures) -> tuple[np.ndarray, np.ndarray]:
        """Mean (n,) and standard deviation (n,) of the mixture."""
        found = [member.predict(architectures) for member in self.members]
        means, stds = np.stack([m for m, _ in found]), np.stack([s for _, s in found])
        variance = np.mean(np.square(stds), axis=0) + means.var(axis=0)
        return means.mean(axis=0), np.sqrt(variance)
