"""Reinforcement learning with a recurrent controller: REINFORCE as in ENAS, PPO as in NASNet and MnasNet.

Pham et al., "Efficient Neural Architecture Search via Parameter Sharing" (2018), section 2.2: policy gradient with a
moving average as baseline and an entropy bonus. Schulman et al., "Proximal Policy Optimization" (2017), equation 7.
With `memory_buffer` the controller also learns to recall its past decisions from its state (Singh et al., "A Study of
the Learning Progress in Neural Architecture Search Techniques", 2019). The reward: the goal, standardised over all
trials so far; limits enter as in MnasNet (Tan et al., 2019, equation 2), as factors (value / bound)^w.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architectures
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of
from archwright.strategies.controller import seeded_controller
from archwright.strategies.fitness import fitness

CLIP = 0.2  # of PPO
EPOCHS = 4


def mnasnet_reward(value: np.ndarray, cost: np.ndarray, target: float, exponent: float = -0.07) -> np.ndarray:
    """Soft constraint: value (n,) times (cost / target)^w (Tan et al., 2019, equation 2 with alpha = beta = w)."""
    return value * (cost / target) ** exponent


class _PolicyGradient:
    """What both algorithms share: batches from the controller, and when it learns."""

    def __init__(
        self, problem: Problem, seed: int, round_size: int, rate: float, entropy: float, memory_buffer: float
    ) -> None:
        check_option("round_size", round_size, 1)
        check_option("rate", rate, 0.0)
        check_option("entropy", entropy, 0.0)
        check_option("memory_buffer", memory_buffer, 0.0)
        self._problem, self._space, self._seed, self._asks = problem, problem.space, seed, 0
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self.controller = seeded_controller(problem.space, seed)
        self._optimiser = torch.optim.Adam(self.controller.parameters(), lr=rate)
        self._round, self._entropy, self._buffer = round_size, entropy, memory_buffer
        self._learned = 0

    @property
    def batch(self) -> int:
        """What is left of the round."""
        return max(1, self._round - (len(self._memory) - self._learned))

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n that the controller writes."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        return candidates_of(self._proposals.pick(n, rng, self._write))

    def _write(self, n: int, rng: np.random.Generator) -> Architectures:
        return self._space.nearest(self.controller.sample(n, rng))

    def tell(self, trials: Sequence[Trial]) -> None:
        """Remember trials; the controller learns from each round of them."""
        self._memory.add(trials)
        if len(self._memory) - self._learned >= self._round:
            rows = np.arange(self._learned, len(self._memory))
            self._learned = len(self._memory)
            advantage = self._advantage(rows)
            if np.ptp(advantage) > 0:
                self._learn(self._memory.codes[rows], torch.from_numpy(advantage.astype(np.float32)))

    def _advantage(self, rows: np.ndarray) -> np.ndarray:
        """(k,) how much better than the average so far, in standard deviations; failed trials count as the worst."""
        values = fitness(self._memory)
        known = values[np.isfinite(values)]
        if len(known) < 2 or known.std() == 0:
            return np.zeros(len(rows))
        reward = -(np.where(np.isfinite(values), values, known.max()) - known.mean()) / known.std()
        return np.clip(reward[rows], -3.0, 3.0)

    def _learn(self, codes: np.ndarray, advantage: torch.Tensor) -> None:
        raise NotImplementedError

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

    def _learn(self, codes: np.ndarray, advantage: torch.Tensor) -> None:
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

    def _learn(self, codes: np.ndarray, advantage: torch.Tensor) -> None:
        with torch.no_grad():
            before = self.controller.score(codes)[0]
        for _ in range(EPOCHS):
            log_p, entropy, recall = self.controller.score(codes)
            ratio = (log_p - before).clamp(-5.0, 5.0).exp()
            clipped = ratio.clamp(1.0 - CLIP, 1.0 + CLIP)
            self._step(-torch.minimum(ratio * advantage, clipped * advantage).mean(), entropy, recall)
