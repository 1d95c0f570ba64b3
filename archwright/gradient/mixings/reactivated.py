"""Masked weights that are pruned step by step and may grow again while the architecture is searched (SuperTickets)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from archwright.gradient.mixings.masked import MaskedWeights
from archwright.nets.reactivated import Reactivated
from archwright.registry import register


@register("mixings", "reactivated", labels={"calls": "one an option, on masked weights"})
@dataclass(frozen=True)
class ReactivatedWeights(MaskedWeights):
    """The smallest weights go at the end of every interval, and may grow again until the masks are fixed.

    You et al., "SuperTickets", ECCV 2022, section 3.2; the rule is `nets/reactivated.py`. One share for every tensor,
    where the public code has one threshold for all, so that any network that is found has the sparsity.

    Attributes:
        intervals: of the whole search.
        step: share that is pruned more after each interval.
        regrow: share of an interval in which zeros are trained again.
        settled: share of the search after which masks are fixed.
    """

    intervals: int = 14
    step: float = 0.1
    regrow: float = 0.5
    settled: float = 0.75

    def masks(self, net: nn.Module) -> Reactivated:
        """The masks, by magnitude."""
        return Reactivated(
            net,
            self.sparsity,
            intervals=self.intervals,
            step=self.step,
            regrow=self.regrow,
            settled=self.settled,
        )


__all__ = ["ReactivatedWeights"]
