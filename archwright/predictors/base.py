"""What a predictor is: learns a number of an architecture from labels, and says how sure it is."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from archwright.space import Architectures


class Predictor(Protocol):
    """Constructed as `get("predictors", name)(space, seed=0, **options)`."""

    def fit(self, architectures: Architectures, values: np.ndarray) -> Predictor:
        """Learn from n architectures with values (n,); replaces what was learned before."""
        ...

    def predict(self, architectures: Architectures) -> tuple[np.ndarray, np.ndarray]:
        """Mean (n,) and standard deviation (n,), both in the unit of the values."""
        ...
