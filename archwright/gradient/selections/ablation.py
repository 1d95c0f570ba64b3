"""Ablation-guided selection: drop the least useful option, train on, repeat (AB-DARTS)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from archwright.gradient.relaxations.base import Relaxation
from archwright.gradient.selections.base import Selection, legal_code, likeliest
from archwright.gradient.selections.perturbation import check_mixture
from archwright.registry import register
from archwright.space import Architecture, Space

if TYPE_CHECKING:
    from archwright.gradient.search import GradientSearch


@register("selections", "ablation", labels={"trains": True})
@dataclass(frozen=True)
class Ablation(Selection):
    """Option o of a decision scores L(without o) - L(with all); the least is removed, step by step (AutoFormer-TS).

    The publication gives the score; that options go in rounds, the lowest share of all decisions at once with tuning in
    between, is our choice.

    Attributes:
        rounds: in which all but one option of every decision go.
        tuning: epochs of tuning between rounds.
        batches: validation batches that measure; 0 = all.
    """

    rounds: int = 4
    tuning: float = 1.0
    batches: int = 8

    def check(self, relaxation: Relaxation) -> None:
        """The relaxation must run all options."""
        check_mixture("ablation", relaxation)

    def choose(self, search: GradientSearch) -> Architecture:
        """During the search: the likeliest."""
        return likeliest(search)

    def finish(self, search: GradientSearch) -> Architecture:
        """Remove options in rounds."""
        decisions = search.space.decisions
        for i in range(self.rounds):
            scores = self.scores(search)
            still = sum(len(search.core.left(d.index)) - 1 for d in decisions)
            remove = still if i == self.rounds - 1 else int(np.ceil(still / (self.rounds - i)))
            for d, k in sorted(scores, key=lambda pair: scores[pair]):
                if remove and len(search.core.left(d)) > 1:
                    search.core.block(d, [k])
                    remove -= 1
            if i < self.rounds - 1:
                search.tune(self.tuning, seed=i)
        code = np.array([search.core.left(d.index)[0] for d in decisions], dtype=np.int64)
        return search.space.architectures(legal_code(search.space, code)[None])[0]

    def within(self, space: Space, seconds: float, *, epoch_s: float, batch_s: float) -> Ablation:
        """Shorter tuning."""
        left = seconds - self.rounds * sum(d.size for d in space.decisions) * max(1, self.batches) * batch_s
        return replace(self, tuning=min(self.tuning, max(0.0, left / (self.rounds * epoch_s))))

    def scores(self, search: GradientSearch) -> dict[tuple[int, int], float]:
        """(decision, option) -> what the validation loss gains when the option is removed."""
        full, out = search.mixture_loss(self.batches), {}
        for d in search.space.decisions:
            left = search.core.left(d.index)
            for k in left if len(left) > 1 else ():
                with search.without(d.index, k):
                    out[d.index, k] = search.mixture_loss(self.batches) - full
        return out
