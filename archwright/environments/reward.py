"""One reward for every cost model: bounded, monotone, of the same sign everywhere.

For a metric m with target t that is to be at most t, the excess is x = max(0, m / t - 1) and the loss x / (1 + x): 0
when the target is met, 1 in the limit. The reward is minus the weighted sum, so it lies in [-sum of weights, 0], is 0
exactly when every target is met, and never rises with a metric. (ArchGym's own rewards divide by the distance to the
target, which is unbounded and changes sign with a flag.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from archwright.errors import ConfigurationError, nearest


@dataclass(frozen=True)
class Target:
    """A metric and the value that it should not exceed; `at_least` turns the direction."""

    metric: str
    value: float
    weight: float = 1.0
    at_least: bool = False

    def __post_init__(self) -> None:
        if not (self.value > 0 and np.isfinite(self.value)) or not self.weight > 0:
            raise ConfigurationError(
                f"a target needs a positive value and weight, got {self.value} and {self.weight} for {self.metric!r}"
            )


def excess(columns: Mapping[str, np.ndarray], targets: Sequence[Target]) -> np.ndarray:
    """Relative excess over each target, (n, targets), 0 where it is met; infinite where a metric is NaN.

    Raises:
        ConfigurationError: if a metric is missing.
    """
    parts = []
    for t in targets:
        if t.metric not in columns:
            raise ConfigurationError(f"no column for the target {t.metric!r}; {nearest(t.metric, columns)}")
        value = np.asarray(columns[t.metric], dtype=np.float64)
        ratio = t.value / np.maximum(value, 1e-300) if t.at_least else value / t.value
        parts.append(np.where(np.isnan(value), np.inf, np.maximum(ratio - 1, 0.0)))
    return np.stack(parts, axis=-1)


def reward(columns: Mapping[str, np.ndarray], targets: Sequence[Target]) -> np.ndarray:
    """(n,) in [-sum of weights, 0]; 0 = every target is met."""
    x = excess(columns, targets)
    with np.errstate(invalid="ignore"):
        loss = np.where(np.isinf(x), 1.0, x / (1 + x))
    return -(loss * np.array([t.weight for t in targets])).sum(axis=-1)
