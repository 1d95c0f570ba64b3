"""Multi-agent PPO for designs: one agent per decision, one shared reward.

Krishnan et al., "Multi-Agent Reinforcement Learning for Microprocessor Design Space Exploration" (2022): every
parameter of a design is an agent of its own. Here an agent is a categorical policy that is updated with PPO's clipped
surrogate (Schulman et al., 2017, equation 7) on its own probability ratio, so that one agent's change does not clip
the others'; the joint policy of single-agent PPO has one ratio for all decisions. Differences: agents keep no
observation, since a design is evaluated in one step, and no design is proposed twice.
"""

from __future__ import annotations

import numpy as np

from archwright.registry import register
from archwright.search.problem import Problem
from archwright.space.architecture import Architectures
from archwright.strategies.common import check_option
from archwright.strategies.rounds import PolicyRounds


@register(
    "strategies",
    "multi_agent_ppo",
    labels={
        "family": "reinforcement",
        "objectives": "many",
        "constraints": True,
        "paper": "Krishnan et al. 2022, Multi-Agent Reinforcement Learning for Microprocessor Design Space Exploration",
    },
)
class MultiAgentPPO(PolicyRounds):
    """Independent clipped policies, one per decision.

    Args:
        problem: what is searched.
        seed: of all random draws.
        round_size: trials between two updates.
        rate: step of the logits.
        entropy: weight of the bonus.
        clip: half width of the ratio's interval.
        epochs: passes over a round.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        round_size: int = 10,
        rate: float = 5.0,
        entropy: float = 1e-2,
        clip: float = 0.2,
        epochs: int = 4,
    ) -> None:
        super().__init__(problem, seed, round_size, rate, entropy)
        check_option("clip", clip, 0.0, 1.0)
        check_option("epochs", epochs, 1)
        self._sizes = [len(d.options) for d in problem.space.decisions]
        self.logits = [np.zeros(n) for n in self._sizes]
        self._clip, self._epochs = clip, epochs

    def _write(self, n: int, rng: np.random.Generator) -> Architectures:
        columns = [rng.choice(len(p), size=n, p=p) for p in map(_softmax, self.logits)]
        return self._space.nearest(np.stack(columns, axis=1).astype(np.int16))

    def _learn(self, codes: np.ndarray, advantage: np.ndarray) -> None:
        for agent, own in enumerate(codes.T):
            self._improve(agent, own, advantage)

    def _improve(self, agent: int, codes: np.ndarray, advantage: np.ndarray) -> None:
        """Ascend the clipped surrogate of one agent; decisions that were inactive teach nothing."""
        active = codes >= 0
        if not active.any():
            return
        codes, advantage = codes[active].astype(np.int64), advantage[active]
        before = np.maximum(_softmax(self.logits[agent])[codes], 1e-12)
        chosen = np.eye(self._sizes[agent])[codes]
        for _ in range(self._epochs):
            p = _softmax(self.logits[agent])
            ratio = p[codes] / before
            inside = np.where(advantage > 0, ratio < 1 + self._clip, ratio > 1 - self._clip)
            policy = ((inside * advantage * ratio)[:, None] * (chosen - p)).mean(axis=0)
            log_p = np.log(np.maximum(p, 1e-12))
            spread = -p * (log_p - (p * log_p).sum())
            self.logits[agent] = self.logits[agent] + self._rate * (policy + self._entropy * spread)


def _softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max())
    return np.asarray(e / e.sum())
