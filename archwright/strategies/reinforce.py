"""Reinforcement learning with a recurrent controller: REINFORCE as in ENAS, PPO as in NASNet and MnasNet.

Pham et al., "Efficient Neural Architecture Search via Parameter Sharing" (2018), section 2.2: policy gradient with a
moving average as baseline and an entropy bonus. Schulman et al., "Proximal Policy Optimization" (2017), equation 7.
With `memory_buffer` the controller also learns to recall its past decisions from its state (Singh et al., "A Study of
the Learning Progress in Neural Architecture Search Techniques", 2019). The reward: the goal, standardised over all
trials so far, with limits as in `fitness.py`; MnasNet's soft constraint is the evaluator `mnasnet_reward`.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch

from archwright.registry import register
from archwright.search.problem import Problem
from archwright.space.architecture import Architectures
from archwright.strategies.common import check_option
from archwright.strategies.controller import seeded_controller
from archwright.strategies.rounds import PolicyRounds

CLIP = 0.2  # of PPO
EPOCHS = 4


class _PolicyGradient(PolicyRounds):
    """What both algorithms share: a recurrent controller that learns by gradients."""

    def __init__(
        self, problem: Problem, seed: int, round_size: int, rate: float, entropy: float, memory_buffer: float
    ) -> None:
        super().__init__(problem, seed, round_size, rate, entropy)
        check_option("memory_buffer", memory_buffer, 0.0)
        self.controller = seeded_controller(problem.space, seed)
        self._optimiser = torch.optim.Adam(self.controller.parameters(), lr=rate)
        self._buffer = memory_buffer

    def _write(self, n: int, rng: np.random.Generator) -> Architectures:
        return self._space.nearest(self.controller.sample(n, rng))

    def _learn(self, codes: np.ndarray, advantage: np.ndarray) -> None:
        self._improve(codes, torch.from_numpy(advantage.astype(np.float32)))

    @abstractmethod
    def _improve(self, codes: np.ndarray, advantage: torch.Tensor) -> None:
        """Steps on the policy loss of codes (k, D) with advantages (k,)."""

    def _step(self, policy: torch.Tensor, entropy: torch.Tensor, recall: torch.Tensor) -> None:
        loss = policy - self._entropy * entropy.mean() + self._buffer * recall
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.controller.parameters(), 5.0)
        self._optimiser.step()


@register(
    "strategies",
    "reinforce",
    labels={
        "family": "reinforcement",
        "objectives": "many",
        "constraints": True,
        "paper": "Pham et al. 2018, Efficient Neural Architecture Search via Parameter Sharing",
    },
)
class Reinforce(_PolicyGradient):
    """Policy gradient with a moving baseline.

    Args:
        problem: what is searched.
        seed: of all random draws.
        round_size: trials between two updates.
        rate: of Adam (3.5e-4 in the paper, for thousands of updates).
        entropy: weight of the bonus.
        memory_buffer: weight of recalling past decisions; 0 for none.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        round_size: int = 10,
        rate: float = 5e-3,
        entropy: float = 1e-2,
        memory_buffer: float = 0.0,
    ) -> None:
        super().__init__(problem, seed, round_size, rate, entropy, memory_buffer)

    def _improve(self, codes: np.ndarray, advantage: torch.Tensor) -> None:
        log_p, entropy, recall = self.controller.score(codes)
        self._step(-(advantage * log_p).mean(), entropy, recall)


@register(
    "strategies",
    "ppo",
    labels={
        "family": "reinforcement",
        "objectives": "many",
        "constraints": True,
        "paper": "Schulman et al. 2017, Proximal Policy Optimization",
    },
)
class PPO(_PolicyGradient):
    """Clipped policy gradient, several epochs a round.

    Args:
        problem: what is searched.
        seed: of all random draws.
        round_size: trials between two updates.
        rate: of Adam.
        entropy: weight of the bonus.
        memory_buffer: weight of recalling past decisions; 0 for none.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        round_size: int = 20,
        rate: float = 3e-3,
        entropy: float = 1e-2,
        memory_buffer: float = 0.0,
    ) -> None:
        super().__init__(problem, seed, round_size, rate, entropy, memory_buffer)

    def _improve(self, codes: np.ndarray, advantage: torch.Tensor) -> None:
        with torch.no_grad():
            before = self.controller.score(codes)[0]
        for _ in range(EPOCHS):
            log_p, entropy, recall = self.controller.score(codes)
            ratio = (log_p - before).clamp(-5.0, 5.0).exp()
            clipped = ratio.clamp(1.0 - CLIP, 1.0 + CLIP)
            self._step(-torch.minimum(ratio * advantage, clipped * advantage).mean(), entropy, recall)
