"""A Gaussian process over architectures: similarity of codes plus linear trends of counts, graph shape and free scores.

Kernel k(a, b) = 1 + sum over blocks of w_block <a_block, b_block> + exp(-h(a, b) / l), where h is the Hamming distance
of canonical codes (ordered decisions: distance in the order, scaled to 1), l a share of the number of decisions. An
additive trend with a local correction extrapolates from a few points and still bends where it is wrong; Hamming kernels
for categories follow Ru et al., "Bayesian optimisation over multiple continuous and categorical inputs" (2020), section
4.1. The signal's scale is integrated out under an inverse gamma prior; weights, length and noise are the best of a grid
by marginal likelihood (Rasmussen & Williams, 2006, section 5.4). Cubic in the labels: for up to a few hundred.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, solve_triangular

from archwright.errors import ConfigurationError
from archwright.predictors.encoding import Encoded, Encoder, Extra, encoder_of
from archwright.registry import register
from archwright.space import Architectures, Space

WEIGHTS: Mapping[str, Sequence[float]] = {"paths": (0.3, 1.0, 3.0), "counts": (0.1, 0.5, 2.0), "extra": (0.3, 1.0, 3.0)}
LENGTHS = (0.25, 0.5)  # in numbers of decisions
NOISES = (0.02, 0.1)  # variance relative to the local term's
PRIOR = 2.0  # observations that the prior on the scale counts for
BLOCK = 512  # rows predicted at once, so that their kernel stays in the cache


@dataclass(frozen=True)
class Hyper:
    """Parameters of the kernel."""

    weights: tuple[tuple[str, float], ...]
    length: float
    noise: float


def settings_of(blocks: Sequence[str], decisions: int) -> list[Hyper]:
    """The grid of hyperparameters for the blocks that a space has."""
    names = [b for b in blocks if b in WEIGHTS]
    scales = itertools.product(*(WEIGHTS[b] for b in names))
    return [
        Hyper(tuple(zip(names, w, strict=True)), length * max(decisions, 1), noise)
        for w in scales
        for length in LENGTHS
        for noise in NOISES
    ]


@register("predictors", "gp", labels={"family": "gaussian process", "uncertainty": True})
class GaussianProcess:
    """Predicts one number with its standard deviation.

    Args:
        space: of the architectures.
        seed: not used: the fit is exact.
        extra: further free columns.
        structural: read the graph of the network where the space has one.
        encoder: to share, in place of `extra` and `structural`.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        extra: Extra | None = None,
        structural: bool = True,
        encoder: Encoder | None = None,
    ) -> None:
        self.encoder = encoder or encoder_of(space, extra, structural=structural)
        self.hyper: Hyper | None = None
        self.evidence = -np.inf  # log density of the labels up to a constant

    def fit(self, architectures: Architectures, values: np.ndarray) -> GaussianProcess:
        """Learn from n architectures with values (n,)."""
        self.hyper = None
        return self.fit_encoded(self.encoder(architectures), values)

    def predict(self, architectures: Architectures) -> tuple[np.ndarray, np.ndarray]:
        """Mean (n,) and standard deviation (n,) of the noise-free value."""
        return self.predict_encoded(self.encoder(architectures))

    def fit_encoded(self, data: Encoded, values: np.ndarray, hyper: Hyper | None = None) -> GaussianProcess:
        """As `fit`, for encoded architectures; given hyperparameters are kept."""
        self._data = data
        self._shift = float(values.mean())
        self._unit = float(values.std()) or 1.0
        self._y = (values - self._shift) / self._unit
        apart = data.distances(data).astype(np.float64)
        grams = {name: (b @ b.T).astype(np.float64) for name, b in data.blocks.items() if name in WEIGHTS}
        settings = [hyper] if hyper is not None else settings_of(list(data.blocks), data.codes.shape[1])
        local = {s.length: np.exp(-apart / s.length) for s in settings}
        best = -np.inf
        for s in settings:
            kernel = 1.0 + local[s.length] + sum(w * grams[name] for name, w in s.weights)
            kernel[np.diag_indices(len(kernel))] += s.noise
            factor = np.linalg.cholesky(kernel)
            white = solve_triangular(factor, self._y, lower=True, check_finite=False)
            scale = (white @ white + PRIOR) / (len(white) + PRIOR)
            evidence = -0.5 * (len(white) + PRIOR) * np.log(scale) - np.log(np.diag(factor)).sum()
            if evidence > best:
                best, self.hyper, self._factor, self._scale = evidence, s, factor, scale
        self.evidence = float(best - len(values) * np.log(self._unit))
        self._weights = cho_solve((self._factor, True), self._y, check_finite=False)
        return self

    def _fitted(self) -> Hyper:
        if self.hyper is None:
            raise ConfigurationError("a Gaussian process predicts after fit(architectures, values)")
        return self.hyper

    def mean_encoded(self, data: Encoded) -> np.ndarray:
        """(n,) mean alone, at a cost linear in the labels."""
        hyper = self._fitted()
        weights = self._weights.astype(np.float32)
        mean = np.empty(len(data))
        for rows in _blocks(len(data)):
            mean[rows] = self._near(data[rows], hyper) @ weights
        mean += self._weights.sum()
        for name, w in hyper.weights:
            mean += w * (data.blocks[name] @ (self._data.blocks[name].T @ self._weights))
        return mean * self._unit + self._shift

    def predict_encoded(self, data: Encoded) -> tuple[np.ndarray, np.ndarray]:
        """As `predict`, for encoded architectures."""
        hyper = self._fitted()
        trend = _trend(self._data, hyper).T
        mean, variance = np.empty(len(data)), np.empty(len(data))
        for rows in _blocks(len(data)):
            part = data[rows]
            own = _trend(part, hyper)
            kernel = (self._near(part, hyper) + own @ trend).astype(np.float64)
            mean[rows] = kernel @ self._weights
            white = solve_triangular(self._factor, kernel.T, lower=True, check_finite=False, overwrite_b=True)
            variance[rows] = 1.0 + np.square(own).sum(axis=1) - np.einsum("ij,ij->j", white, white)
        variance = np.maximum(variance, 1e-9) * self._scale
        return mean * self._unit + self._shift, np.sqrt(variance) * self._unit

    def _near(self, data: Encoded, hyper: Hyper) -> np.ndarray:
        """(n, labels) float32 local part of the kernel."""
        apart = data.distances(self._data)
        apart *= np.float32(-1.0 / hyper.length)
        return np.exp(apart, out=apart)


def _trend(data: Encoded, hyper: Hyper) -> np.ndarray:
    """(n, columns) float32 whose products are the constant and the linear part of the kernel."""
    blocks = [np.float32(np.sqrt(w)) * data.blocks[name] for name, w in hyper.weights]
    return np.concatenate([np.ones((len(data), 1), np.float32), *blocks], axis=1)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, n, BLOCK))
