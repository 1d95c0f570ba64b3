"""A predictor that learns on one space and scores another.

Networks of both spaces are embedded alike (`onnx_text`, `vsa`), rows are standardised within each space, which needs no
labels, and targets are ranks, since accuracies of two data sets share no scale. The source is learned as the first
component of partial least squares (Wold, 1966): each column counts by its covariance with the target. A full regression
sets collinear columns against each other, which does not carry over. The prediction is one more column, with more
weight, for a ridge regression on the target's few labels. Zero-shot and few-shot as in Qin et al., "ONNX-Net" (2025),
with a linear model in place of a language model.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from archwright.errors import ConfigurationError
from archwright.predictors.embeddings import Embedding
from archwright.space import Architectures

PENALTIES = 10.0 ** np.arange(-1, 5)
TRUST = 3.0  # standard deviations that the source's opinion is stretched to beside columns of one


class Transfer:
    """Ranks architectures of a target space.

    Args:
        embedding: of both spaces; rows may differ in kind, not in length.
        reference: members of the target space without labels, that its rows are standardised by.

    Raises:
        ConfigurationError: if there are fewer than two reference rows.
    """

    def __init__(self, embedding: Embedding, reference: Architectures) -> None:
        self._embedding = embedding
        rows = embedding.embed(reference).astype(np.float64)
        if len(rows) < 2:
            raise ConfigurationError(f"rows are standardised by at least two reference members, got {len(rows)}")
        self._scale = _scale(rows)
        self._reference, self._spread = _standard(rows, self._scale), 1.0
        self._source: np.ndarray | None = None
        self._target: tuple[np.ndarray, float] | None = None

    def learn_source(
        self, architectures: Architectures, values: np.ndarray, embedding: Embedding | None = None
    ) -> None:
        """Learn from n labelled architectures of another space.

        Args:
            architectures: of any space.
            values: (n,), larger is better.
            embedding: of that space, if its inputs need another one.
        """
        rows = (embedding or self._embedding).embed(architectures).astype(np.float64)
        direction = _standard(rows, _scale(rows)).T @ _ranks(values)
        self._source = direction / max(float(np.linalg.norm(direction)), 1e-12)
        self._spread = float((self._reference @ self._source).std()) or 1.0

    def fit(self, architectures: Architectures, values: np.ndarray) -> Transfer:
        """Learn from labelled architectures of the target space."""
        self._target = _ridge(self._rows(architectures), _ranks(values))
        return self

    def predict(self, architectures: Architectures) -> np.ndarray:
        """(n,) scores; larger is better, only their order means something.

        Raises:
            ConfigurationError: if nothing was learned.
        """
        rows = self._rows(architectures)
        if self._target is not None:
            return rows @ self._target[0] + self._target[1]
        if self._source is None:
            raise ConfigurationError("nothing was learned yet; call learn_source or fit first")
        return rows[:, -1]

    def _rows(self, architectures: Architectures) -> np.ndarray:
        rows = _standard(self._embedding.embed(architectures).astype(np.float64), self._scale)
        if self._source is None:
            return rows
        opinion = rows @ self._source
        return np.concatenate([rows, TRUST / self._spread * opinion[:, None]], axis=1)


def _scale(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spread = rows.std(axis=0)
    return rows.mean(axis=0), np.where(spread > 1e-6, 1.0 / np.maximum(spread, 1e-6), 0.0)


def _standard(rows: np.ndarray, scale: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return (rows - scale[0]) * scale[1]


def _ranks(values: np.ndarray) -> np.ndarray:
    return rankdata(values) / len(values) - 0.5


def _ridge(rows: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, float]:
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(alphas=PENALTIES).fit(rows, values)
    return np.asarray(model.coef_), float(model.intercept_)
