"""Zero-cost proxies as an evaluator: seconds a network instead of minutes, and no training.

Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS" (2021). Scores rank, they do not predict accuracy, and how
well they rank differs from space to space; `params_score` and `macs_score` are the baselines to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwright.errors import ConfigurationError
from archwright.nets.build import build
from archwright.proxies.score import score
from archwright.registry import get, names, register
from archwright.space import Architecture, Architectures
from archwright.tasks.base import Task

Columns = dict[str, np.ndarray]

CHEAP = ("synflow", "logsynflow", "naswot")  # no backward pass over the batch


@register("evaluators", "zero_cost", labels={"cost": "seconds", "survey": ["acceleration: training-free"]})
class ProxyEvaluator:
    """Builds each network with fresh weights and scores it on one batch of the training data.

    Args:
        task: data and loss.
        proxies: registered names; `names("proxies")` lists them.
        batch: samples; the same for all networks.
        repeats: initialisations that scores are averaged over.
        seed: draws the batch and the weights; the evaluation seed of a run is not used, so scores are comparable.
        screening: strategies may call the evaluator on proposals that are no trials (`cheap`).

    Raises:
        ConfigurationError: if a proxy is unknown, or a number is not positive.
    """

    deterministic = True

    def __init__(
        self,
        task: Task,
        proxies: Sequence[str] = CHEAP,
        *,
        batch: int = 32,
        repeats: int = 1,
        seed: int = 0,
        screening: bool = False,
    ) -> None:
        if batch < 2 or repeats < 1:
            raise ConfigurationError(f"proxies need batch >= 2 and repeats >= 1, got {batch} and {repeats}")
        if not proxies:
            raise ConfigurationError(f"give at least one proxy of: {', '.join(names('proxies'))}")
        for name in proxies:
            get("proxies", name)
        self.task, self.proxies, self.repeats, self.seed = task, tuple(proxies), repeats, seed
        self.metrics: tuple[str, ...] = tuple(f"{name}_score" for name in proxies)
        self.cheap = self.batched = screening
        drawn = task.train.take(batch, np.random.default_rng([seed, 0x9E0]))
        self._inputs = drawn.x if drawn.finish is None else drawn.finish(drawn.x)
        self._targets = drawn.y

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Score n architectures, see `Evaluator.evaluate`; NaN where a proxy cannot say."""
        rows = np.array([self.one(architecture) for architecture in architectures], dtype=np.float64)
        return dict(zip(self.metrics, rows.reshape(-1, len(self.metrics)).T.copy(), strict=True))

    def one(self, architecture: Architecture) -> np.ndarray:
        """(proxies,) scores of one architecture, mean over initialisations."""
        found = []
        for k in range(self.repeats):
            net = build(architecture, self.task.input_shape, seed=self.seed + k)
            scores = score(net, self._inputs, self._targets, self.proxies, loss=self.task.loss, seed=self.seed + k)
            found.append([scores[name] for name in self.proxies])
        mean = np.mean(found, axis=0)
        return np.where(np.isfinite(mean), mean, np.nan)


__all__ = ["CHEAP", "ProxyEvaluator"]
