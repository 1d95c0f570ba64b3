"""Diverse beam search over anything that gives probabilities of the next decision.

Vijayakumar et al., "Diverse Beam Search: Decoding Diverse Solutions from Neural Sequence Models" (2018), equation 2
with the Hamming diversity: the beam is split into groups that are decoded one after another at every step; a group pays
for choosing an option that earlier groups have chosen at the same step. One group, or a penalty of 0, is beam search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from archwright.registry import register
from archwright.search.problem import Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architectures
from archwright.strategies.common import check_option, rng_of
from archwright.strategies.controller import Controller
from archwright.strategies.predicted import InOrder
from archwright.strategies.reinforce import Reinforce

Next = Callable[[np.ndarray], np.ndarray]  # prefixes (n, j) -> log-probabilities (n, options of decision j)


def diverse_beam(
    next_scores: Next, length: int, beams: int, groups: int = 1, penalty: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable sequences, kept apart between groups.

    Args:
        next_scores: log-probabilities of every next token after each prefix.
        length: of a sequence.
        beams: B, sequences in all; a multiple of `groups`.
        groups: G, decoded in order.
        penalty: lambda, for each earlier group's sequence that has the same token at the same place.

    Returns:
        (B, length) int64 tokens, group after group and the most probable of a group first; (B,) their log-probabilities
        without penalty.

    Raises:
        ConfigurationError: if the groups do not divide the beams.
    """
    check_option("groups", groups, 1)
    check_option("beams", beams, groups)
    check_option("beams modulo groups", beams % groups, 0, 0)
    width = beams // groups
    prefixes = [np.zeros((1, 0), np.int64) for _ in range(groups)]
    totals = [np.zeros(1) for _ in range(groups)]
    penalised = [np.zeros(1) for _ in range(groups)]
    for _ in range(length):
        chosen: list[np.ndarray] = []
        for g in range(groups):
            log_p = next_scores(prefixes[g])
            options = log_p.shape[1]
            counts = np.bincount(np.concatenate(chosen), minlength=options) if chosen else np.zeros(options)
            scored = (penalised[g][:, None] + log_p - penalty * counts).ravel()
            best = np.argsort(-scored, kind="stable")[: min(width, len(scored))]
            rows, tokens = best // options, best % options
            totals[g] = totals[g][rows] + log_p[rows, tokens]
            penalised[g] = scored[best]
            prefixes[g] = np.concatenate([prefixes[g][rows], tokens[:, None]], axis=1)
            chosen.append(tokens)
    ordered = [np.argsort(-t, kind="stable") for t in totals]
    sequences = np.concatenate([p[o] for p, o in zip(prefixes, ordered, strict=True)])
    return sequences, np.concatenate([t[o] for t, o in zip(totals, ordered, strict=True)])


def controller_scores(controller: Controller) -> Next:
    """Log-probabilities of a controller's next decision after each prefix."""

    def scores(prefixes: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            x, state = controller.begin(len(prefixes))
            for j in range(prefixes.shape[1] + 1):
                log_p, state = controller.step(j, x, state)
                if j < prefixes.shape[1]:
                    x = controller.read[j](torch.from_numpy(prefixes[:, j]) + 1)
        return log_p.double().numpy()

    return scores


@register(
    "strategies",
    "diverse_beam",
    labels={
        "family": "reinforcement",
        "objectives": "many",
        "constraints": True,
        "paper": "Vijayakumar et al. 2018, Diverse Beam Search",
    },
)
class DiverseBeam(Reinforce):
    """A controller trained by REINFORCE; half of each round is decoded by diverse beam search instead of drawn.

    Args:
        problem: what is searched.
        seed: of all random draws.
        round_size: trials between two updates.
        beams: sequences that are decoded.
        groups: of the beam.
        penalty: lambda.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        round_size: int = 10,
        beams: int = 12,
        groups: int = 3,
        penalty: float = 0.5,
    ) -> None:
        super().__init__(problem, seed=seed, round_size=round_size)
        self._beams, self._groups, self._penalty = beams, groups, penalty

    def ask(self, n: int) -> Sequence[Candidate]:
        """At most n: from the beam at every second ask after the first round, else drawn."""
        if self._asks % 2 == 0 or not self._learned:
            return super().ask(n)
        from archwright.strategies.common import candidates_of

        rng = rng_of(self._seed, self._asks)
        self._asks += 1
        length = len(self._space.decisions)
        codes, totals = diverse_beam(
            controller_scores(self.controller), length, self._beams, self._groups, self._penalty
        )
        around = self._space.nearest(codes)
        half = max(1, n // 2)
        picked = self._proposals.pick(half, rng, InOrder(around, -totals))
        drawn = self._proposals.pick(n - len(picked), rng, self._write) if n > len(picked) else picked[:0]
        return candidates_of(Architectures(self._space, np.concatenate([picked.codes, drawn.codes])))

    def tell(self, trials: Sequence[Trial]) -> None:
        """Remember trials; the controller learns from each round of them."""
        super().tell(trials)
