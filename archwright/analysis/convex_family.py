"""A family of ridge regressions on nested random features: strongly convex, with its optimum in closed form.

The smallest instance on which the guarantee of the FPTAS is a theorem and not a hope: the width k is the architecture,
parameters and operations grow with k (AB^nC holds exactly), the objective is smooth and strongly convex, and training
is SGD. The targets' weights decay along the features, so that the error falls steeply and then stays: the W-coefficient
has its optimum inside the grid. With `kink` the first features count alike and all others hardly: W then has a sharp
peak that a stride may step over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from archwright.search.problem import Columns, Objective, Problem
from archwright.space import Architectures, Space, oneof


@dataclass(frozen=True)
class Width:
    """Number of features used."""

    features: int


class ConvexFamily:
    """Evaluator of `regression_loss` after SGD; fidelity 1 stands for `full_steps` updates.

    Args:
        seed: of features, targets and noise.
        widths: numbers of features.
        examples: in the training set, and as many to measure on.
        batch: examples of an update.
        decay: the weight of feature j falls as j^-decay.
        kink: instead, so many features count alike, and all others a twentieth of that.
        noise: standard deviation of the noise of targets.
        ridge: weight of the squared norm.
        full_steps: updates at fidelity 1.
    """

    metrics = ("regression_loss",)
    deterministic = True
    strongly_convex = True

    def __init__(
        self,
        seed: int = 0,
        widths: tuple[int, ...] = tuple(range(4, 196, 4)),
        *,
        examples: int = 4096,
        batch: int = 1024,
        decay: float = 1.0,
        kink: int | None = None,
        noise: float = 0.1,
        ridge: float = 0.01,
        full_steps: int = 1000,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.widths, self.full_steps, self.batch, self._ridge, self._seed = widths, full_steps, batch, ridge, seed
        most = widths[-1]
        scale = rng.uniform(0.8, 1.0, most)  # standard deviations: a condition number near 1.6
        size = np.arange(1, most + 1) ** -decay if kink is None else np.where(np.arange(most) < kink, 1.0, 0.05)
        weights = size * rng.choice([-1.0, 1.0], most)
        weights /= np.linalg.norm(weights * scale)

        def draw() -> tuple[np.ndarray, np.ndarray]:
            x = rng.standard_normal((examples, most)) * scale
            return x, x @ weights + noise * rng.standard_normal(examples)

        self._train, self._held = draw(), draw()
        self.updates = 0  # of all trainings so far
        self.examples_seen = 0

    def space(self) -> Space:
        """One ordered decision."""
        return Space(Width(oneof(*self.widths, name="features")))

    def problem(self) -> Problem:
        """Minimize the loss; sizes and operations are known beforehand."""
        return Problem(self.space(), (Objective("regression_loss"),), (WidthCosts(self.widths), self))

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Loss (n,) on held-out examples after round(fidelity * full_steps) updates from zero."""
        steps = max(1, round(fidelity * self.full_steps))
        ks = [self.widths[code] for code in architectures.codes[:, 0].tolist()]
        return {"regression_loss": np.array([self._loss(self._trained(k, steps), k, self._held) for k in ks])}

    def _trained(self, k: int, steps: int) -> np.ndarray:
        x, y = self._train
        x = x[:, :k]
        rng = np.random.default_rng([self._seed, 1])  # the same batches for every width
        weights = np.zeros(k)
        rate = 2.0 / (1.0 + 0.8**2 + 2.0 * self._ridge)  # 2 / (L + mu) of the expected objective
        for _ in range(steps):
            rows = rng.integers(0, len(x), self.batch)
            gradient = x[rows].T @ (x[rows] @ weights - y[rows]) / self.batch + self._ridge * weights
            weights -= rate * gradient
        self.updates += steps
        self.examples_seen += steps * self.batch
        return weights

    def _loss(self, weights: np.ndarray, k: int, data: tuple[np.ndarray, np.ndarray]) -> float:
        x, y = data
        residual = x[:, :k] @ weights - y
        return float(0.5 * residual @ residual / len(y) + 0.5 * self._ridge * weights @ weights)

    def optimal_losses(self) -> np.ndarray:
        """(widths,) loss at the minimizer of the training objective, in closed form, on held-out examples."""
        x, y = self._train
        gram, moment = x.T @ x / len(y), x.T @ y / len(y)
        found = []
        for k in self.widths:
            weights = np.linalg.solve(gram[:k, :k] + self._ridge * np.eye(k), moment[:k])
            found.append(self._loss(weights, k, self._held))
        return np.array(found)


class WidthCosts:
    """Parameters and operations of a linear model of k random features, in millions."""

    metrics = ("params_m", "macs_m")
    deterministic = True
    batched = True
    cheap = True
    inputs = 16  # of the random features

    def __init__(self, widths: tuple[int, ...]) -> None:
        self._widths = np.array(widths, np.float64)

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Metric -> (n,)."""
        k = self._widths[architectures.codes[:, 0]]
        return {"params_m": k * 1e-6, "macs_m": k * (self.inputs + 1) * 1e-6}
