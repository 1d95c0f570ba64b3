"""A cost model as a PettingZoo environment: one agent per decision, one shared reward.

After Krishnan et al., "Multi-Agent Reinforcement Learning for Microprocessor Design Space Exploration", 2022:
parameters of a design are chosen at the same time by agents that see the same observation and earn the same reward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from pettingzoo import ParallelEnv

from archwright.environments.design import DesignLog, Evaluation
from archwright.environments.reward import Target
from archwright.errors import ConfigurationError
from archwright.space import Space


class MultiAgentDesignEnv(ParallelEnv[str, np.ndarray, int]):
    """Agents are named by the decisions' paths.

    Args:
        space: of designs.
        evaluator: a cost model over the space.
        targets: what the reward asks for.
        horizon: designs per episode.
    """

    metadata = {"name": "archwright_design_v0", "render_modes": []}  # noqa: RUF012

    def __init__(self, space: Space, evaluator: Any, targets: Sequence[Target], *, horizon: int = 1) -> None:
        if horizon < 1:
            raise ConfigurationError(f"an episode has at least one design, got horizon={horizon}")
        self._evaluation = Evaluation(space, evaluator, targets)
        self.possible_agents = [d.path for d in space.decisions]
        self.agents: list[str] = []
        self.horizon, self._step = horizon, 0
        sizes = self._evaluation.sizes()
        self._actions = {a: gymnasium.spaces.Discrete(n) for a, n in zip(self.possible_agents, sizes, strict=True)}
        self._seen = gymnasium.spaces.Box(0.0, 1.0, (len(targets),), np.float32)

    @property
    def log(self) -> DesignLog:
        """Everything evaluated so far."""
        return self._evaluation.log

    def observation_space(self, agent: str) -> gymnasium.spaces.Space:
        """The shared observation."""
        return self._seen

    def action_space(self, agent: str) -> gymnasium.spaces.Space:
        """The options of the agent's decision."""
        return self._actions[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        """Start an episode with all agents."""
        self.agents, self._step = list(self.possible_agents), 0
        return {a: self._evaluation.nothing() for a in self.agents}, {a: {} for a in self.agents}

    def step(self, actions: Mapping[str, int]) -> tuple[dict[str, Any], ...]:
        """Evaluate the joint design.

        Raises:
            ConfigurationError: if an agent has no action.
        """
        missing = [a for a in self.agents if a not in actions]
        if missing:
            raise ConfigurationError(f"every agent acts at once; {missing[0]!r} gave no action")
        code = np.array([actions[a] for a in self.possible_agents])
        seen, value, metrics = self._evaluation.run(code)
        self._step += 1
        done, cut = value == 0.0, self._step >= self.horizon
        agents = self.agents
        if done or cut:
            self.agents = []
        return (
            {a: seen for a in agents},
            dict.fromkeys(agents, value),
            dict.fromkeys(agents, done),
            dict.fromkeys(agents, cut),
            {a: {"metrics": metrics} for a in agents},
        )
