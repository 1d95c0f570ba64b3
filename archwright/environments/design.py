"""A cost model as a `gymnasium` environment: an action names every decision of a design.

An episode is `horizon` designs. The observation is each target's metric over its target, through m / (1 + m), so that
it lies in [0, 1). Every evaluated design is kept in `log`, whose arrays are a dataset for proxy models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from archwright.environments.reward import Target, reward
from archwright.errors import ConfigurationError
from archwright.space import Space


class DesignLog:
    """Codes, metrics and rewards of everything that was evaluated, in order."""

    def __init__(self) -> None:
        self._codes: list[np.ndarray] = []
        self._metrics: list[dict[str, float]] = []
        self._rewards: list[float] = []

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, code: np.ndarray, metrics: Mapping[str, float], value: float) -> None:
        """Remember one design."""
        self._codes.append(code.copy())
        self._metrics.append(dict(metrics))
        self._rewards.append(value)

    @property
    def codes(self) -> np.ndarray:
        """(n, decisions) int16."""
        return np.array(self._codes, dtype=np.int16)

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Metric -> (n,)."""
        names = self._metrics[0] if self._metrics else ()
        return {m: np.array([line[m] for line in self._metrics]) for m in names}

    @property
    def rewards(self) -> np.ndarray:
        """(n,)."""
        return np.array(self._rewards)


class Evaluation:
    """Shared by both environments: code -> metrics, observation, reward."""

    def __init__(self, space: Space, evaluator: Any, targets: Sequence[Target]) -> None:
        if not targets:
            raise ConfigurationError("an environment needs at least one target")
        if not space.decisions:
            raise ConfigurationError("an environment needs a space with at least one decision")
        self.space, self.evaluator, self.targets = space, evaluator, tuple(targets)
        self.log = DesignLog()

    def sizes(self) -> list[int]:
        """Options of each decision."""
        return [len(d.options) for d in self.space.decisions]

    def nothing(self) -> np.ndarray:
        """Observation before any design."""
        return np.zeros(len(self.targets), dtype=np.float32)

    def run(self, action: np.ndarray) -> tuple[np.ndarray, float, dict[str, float]]:
        """Observation, reward and metrics of one design; inactive decisions are ignored."""
        code = self.space.canonical(np.asarray(action, dtype=np.int16)[None])
        if not self.space.is_member(code)[0]:
            return self.nothing(), -sum(t.weight for t in self.targets), {}
        columns = self.evaluator.evaluate(code)
        value = float(reward(columns, self.targets)[0])
        metrics = {m: float(v[0]) for m, v in columns.items()}
        ratios = np.array([metrics[t.metric] / t.value for t in self.targets])
        seen = np.where(np.isfinite(ratios), ratios / (1 + ratios), 1.0).astype(np.float32)
        self.log.add(code[0], metrics, value)
        return seen, value, metrics


class DesignEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """Designs as actions.

    Args:
        space: of designs.
        evaluator: a cost model over the space.
        targets: what the reward asks for.
        horizon: designs per episode.
    """

    def __init__(self, space: Space, evaluator: Any, targets: Sequence[Target], *, horizon: int = 1) -> None:
        if horizon < 1:
            raise ConfigurationError(f"an episode has at least one design, got horizon={horizon}")
        self._evaluation = Evaluation(space, evaluator, targets)
        self.horizon, self._step = horizon, 0
        self.action_space = gymnasium.spaces.MultiDiscrete(self._evaluation.sizes())
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (len(targets),), np.float32)

    @property
    def log(self) -> DesignLog:
        """Everything evaluated so far."""
        return self._evaluation.log

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        self._step = 0
        return self._evaluation.nothing(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Evaluate a design."""
        seen, value, metrics = self._evaluation.run(np.asarray(action))
        self._step += 1
        return seen, value, value == 0.0, self._step >= self.horizon, {"metrics": metrics}
