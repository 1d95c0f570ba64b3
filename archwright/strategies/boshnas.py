"""BOSHNAS: a teacher with dropout, a student that knows its doubt, and gradient steps on the input.

Tuli et al., "FlexiBERT: Are Current Transformer Architectures too Homogeneous and Rigid?" (2022), section 3.3: a
teacher network predicts the loss and, by Monte-Carlo dropout, how unsure it is; a student regresses that doubt without
sampling; a third network with a normal output models the noise of the labels. The acquisition mean - k * doubt is
minimised by gradient steps on the architecture's vector, and the nearest member is evaluated. With given probabilities
the most doubtful or a random member is taken instead. Differences: members drawn freely are judged beside the ends of
the walks, the vector is the code's one-hot encoding instead of an embedding of graph distances, Adam replaces
AdaHessian, and the noise network is a heteroscedastic head.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from archwright.predictors.encoding import encoder_of
from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architectures
from archwright.strategies.acquisition import log_gap
from archwright.strategies.common import Memory, Proposals, candidates_of, check_option, rng_of
from archwright.strategies.fitness import learnable
from archwright.strategies.predicted import InOrder, best_codes

PASSES = 10  # of Monte-Carlo dropout
STEPS = 60  # on the input
TRAINED = 80  # steps of each network
DRAWN = 256  # members judged beside the ends of the walks


class Networks:
    """Teacher, student and noise of one fit."""

    def __init__(self, inputs: Tensor, targets: Tensor, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            width = inputs.shape[1]
            self.teacher = nn.Sequential(
                nn.Linear(width, 64), nn.Softplus(), nn.Dropout(0.1), nn.Linear(64, 32), nn.Softplus(),
                nn.Dropout(0.1), nn.Linear(32, 1),
            )  # fmt: skip
            self.student = nn.Sequential(
                nn.Linear(width, 64), nn.Softplus(), nn.Linear(64, 32), nn.Softplus(), nn.Linear(32, 1)
            )
            self.noise = nn.Sequential(nn.Linear(width, 32), nn.Softplus(), nn.Linear(32, 2))
            self._fit(self.teacher, lambda out: nn.functional.mse_loss(out[:, 0], targets), inputs)
            around = torch.cat([inputs, torch.rand(2 * len(inputs) + 64, width)])
            doubt = self._doubt(around)
            self._fit(self.student, lambda out: nn.functional.mse_loss(out[:, 0], doubt), around)
            variance = nn.GaussianNLLLoss(eps=1e-3)
            self._fit(self.noise, lambda out: variance(out[:, 0], targets, nn.functional.softplus(out[:, 1])), inputs)
        self.teacher.eval()

    @staticmethod
    def _fit(net: nn.Module, loss: object, inputs: Tensor) -> None:
        optimiser = torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=1e-3)
        for _ in range(TRAINED):
            optimiser.zero_grad()
            loss(net(inputs)).backward()  # type: ignore[operator]
            optimiser.step()

    def _doubt(self, inputs: Tensor) -> Tensor:
        """(n,) standard deviation over passes with dropout."""
        with torch.no_grad():
            return torch.stack([self.teacher(inputs)[:, 0] for _ in range(PASSES)]).std(dim=0)

    def acquisition(self, inputs: Tensor, weight: float) -> Tensor:
        """(n,) predicted loss minus weighted doubt and noise; smaller is better."""
        noise = nn.functional.softplus(self.noise(inputs)[:, 1]).sqrt()
        doubt = self.student(inputs)[:, 0]
        return self.teacher(inputs)[:, 0] - weight * (doubt + 0.1 * noise)


@register(
    "strategies",
    "boshnas",
    labels={"family": "model", "objectives": "many", "constraints": True, "paper": "Tuli et al. 2022, FlexiBERT"},
)
class Boshnas:
    """Gradient steps on the input of a predictor that knows its doubt.

    Args:
        problem: what is searched.
        seed: of all random draws.
        starts: random architectures first.
        weight: k, of the doubt.
        unsure: probability to evaluate the most doubtful member instead.
        chance: probability to evaluate a random member instead.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        starts: int = 10,
        weight: float = 0.5,
        unsure: float = 0.1,
        chance: float = 0.1,
    ) -> None:
        check_option("starts", starts, 2)
        check_option("unsure", unsure, 0.0, 1.0)
        check_option("chance", chance, 0.0, 1.0)
        self._space, self._seed, self._asks, self._asked = problem.space, seed, 0, 0
        self._memory, self._proposals = Memory(problem), Proposals(problem)
        self._encoder = encoder_of(problem.space, structural=False)
        self._nets: Networks | None = None
        self._fitted = 0
        self._starts, self._weight, self._unsure, self._chance = starts, weight, unsure, chance

    @property
    def batch(self) -> int:
        """The random start can be asked for at once."""
        return max(1, self._starts - self._asked)

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: random ones, then members near the end of gradient walks."""
        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        start = self._starts - self._asked
        rows, values = learnable(self._memory)
        dice = rng.random()
        if start > 0 or len(rows) < 2 or dice < self._chance:
            picked = self._proposals.random(min(n, start) if start > 0 else n, rng)
        else:
            if self._nets is None or len(rows) >= 1.25 * self._fitted:
                self._nets, self._fitted = self._networks(rows, values), len(rows)
            nets = self._nets
            weight = 5.0 if dice < self._chance + self._unsure else self._weight
            around = self._walk(nets, weight, max(16, 2 * n), rng)
            with torch.no_grad():
                worth = nets.acquisition(self._vectors(around), weight).numpy()
            picked = self._proposals.pick(n, rng, InOrder(around, worth))
        self._asked += len(picked)
        return candidates_of(picked)

    def _vectors(self, architectures: Architectures) -> Tensor:
        return torch.from_numpy(self._encoder.one_hot(architectures.codes))

    def _networks(self, rows: np.ndarray, values: np.ndarray) -> Networks:
        target = log_gap(values)
        target = (target - target.mean()) / (target.std() or 1.0)
        known = Architectures(self._space, self._memory.codes[rows])
        return Networks(
            self._vectors(known), torch.from_numpy(target.astype(np.float32)), self._seed * 7919 + len(rows)
        )

    def _walk(self, nets: Networks, weight: float, n: int, rng: np.random.Generator) -> Architectures:
        """Ends of gradient walks from the best and from random members, mutants of these, and members drawn freely."""
        best = Architectures(self._space, best_codes(self._memory, n // 2))
        starts = best + self._space.sample(n - len(best), rng)
        x = self._vectors(starts).requires_grad_(True)
        optimiser = torch.optim.Adam([x], lr=0.05)
        for _ in range(STEPS):
            optimiser.zero_grad()
            nets.acquisition(x, weight).sum().backward()
            optimiser.step()
            with torch.no_grad():
                x.clamp_(0.0, 1.0)
        ends = self._space.nearest(self._snapped(x.detach().numpy()))
        return (ends + self._space.mutate(ends, rng) + self._space.sample(DRAWN, rng)).unique()

    def _snapped(self, vectors: np.ndarray) -> np.ndarray:
        """Codes (n, D) from relaxed one-hot vectors: the largest entry, or how many steps of an ordered decision."""
        sizes = self._space.sizes.tolist()
        start, codes = 0, []
        for size, ordered in zip(sizes, self._encoder.ordered, strict=True):
            part = vectors[:, start : start + size]
            codes.append(np.clip((part > 0.5).sum(axis=1) - 1, 0, size - 1) if ordered else part.argmax(axis=1))
            start += size
        return np.stack(codes, axis=1)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Remember trials."""
        self._memory.add(trials)
