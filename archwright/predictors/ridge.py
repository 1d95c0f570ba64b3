"""Ridge regression on one-hot codes, option counts and graph numbers, optionally with all pairs of options.

Hoerl & Kennard (1970). The penalty is chosen by leave-one-out error, exactly from one eigendecomposition (Golub et al.,
1979); with fewer labels than features everything happens in the labels' space, so pairs cost nothing extra. The
standard deviation is that of the Bayesian reading of ridge.
"""

from __future__ import annotations

import numpy as np

from archwright.predictors.encoding import Extra, encoder_of
from archwright.registry import register
from archwright.space import Architectures, Space

PENALTIES = 10.0 ** np.arange(-3, 3.5, 0.5)  # relative to the mean squared norm of a row


@register("predictors", "ridge", labels={"family": "linear", "uncertainty": True})
class Ridge:
    """A linear predictor.

    Args:
        space: of the architectures.
        seed: not used: the fit is exact.
        extra: further free columns.
        pairs: weight of products of two features (a quadratic kernel); 0 for none.
        structural: read the graph of the network where the space has one.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        extra: Extra | None = None,
        pairs: float = 0.0,
        structural: bool = True,
    ) -> None:
        self._encoder = encoder_of(space, extra, structural=structural)
        self._pairs = pairs

    def _kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        dot = a @ b.T
        return 1.0 + dot + self._pairs * dot * dot

    def fit(self, architectures: Architectures, values: np.ndarray) -> Ridge:
        """Learn from n architectures with values (n,)."""
        matrix = self._encoder.matrix(architectures).astype(np.float64)
        self._centre = matrix.mean(axis=0)
        self._rows = (matrix - self._centre) / (np.sqrt(np.square(matrix - self._centre).sum(axis=1).mean()) or 1.0)
        self._norm = np.sqrt(np.square(matrix - self._centre).sum(axis=1).mean()) or 1.0
        self._shift = float(values.mean())
        y = values - self._shift
        eigenvalues, vectors = np.linalg.eigh(self._kernel(self._rows, self._rows))
        eigenvalues = np.maximum(eigenvalues, 0.0)
        rotated, best = vectors.T @ y, np.inf
        for penalty in PENALTIES:
            shrunk = 1.0 / (eigenvalues + penalty)
            weights = vectors @ (shrunk * rotated)
            left_out = weights / (np.square(vectors) @ shrunk)
            error = float(np.mean(np.square(left_out)))
            if error < best:
                best, self._weights, self._noise = error, weights, penalty
                self._inverse = (vectors * shrunk) @ vectors.T
        self._scale = float(np.mean(y * self._weights)) if len(y) else 1.0
        return self

    def predict(self, architectures: Architectures) -> tuple[np.ndarray, np.ndarray]:
        """Mean (n,) and standard deviation (n,)."""
        rows = (self._encoder.matrix(architectures) - self._centre) / self._norm
        kernel = self._kernel(rows, self._rows)
        dot = np.square(rows).sum(axis=1)
        own = 1.0 + dot + self._pairs * dot * dot
        variance = np.maximum(own - ((kernel @ self._inverse) * kernel).sum(axis=1), 1e-12)
        return kernel @ self._weights + self._shift, np.sqrt(variance * max(self._scale, 1e-12))
