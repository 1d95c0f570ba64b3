"""Gumbel softmax: a random, nearly one-hot vector whose chances are the softmax (FBNet, SNAS)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from archwright.gradient.relaxations.base import (
    Draw,
    Relaxation,
    active_of,
    annealed,
    blocked_of,
    gumbel,
    masked_softmax,
)
from archwright.nets.flow import Weights
from archwright.registry import register


@register("relaxations", "gumbel", labels={"runs": "all options"})
@dataclass(frozen=True)
class Gumbel(Relaxation):
    """Soft Gumbel softmax with a falling temperature (FBNet, Wu et al., 2019, equation 5).

    Attributes:
        start: temperature at the beginning.
        end: temperature at the end; FBNet's 5 exp(-0.045 epoch) over 90 epochs ends at 0.087.
        schedule: linear or exponential.
    """

    start: float = 5.0
    end: float = 0.087
    schedule: Literal["linear", "exponential"] = "exponential"

    def weights(self, parameters: Mapping[str, Tensor], draw: Draw) -> Weights:
        """softmax((a + g) / t)."""
        tau = annealed(self.start, self.end, draw.progress, self.schedule)
        values = {
            p: masked_softmax((a.log_softmax(-1) + gumbel(a, draw.generator)) / tau, blocked_of(draw, p))
            for p, a in parameters.items()
        }
        return Weights(values, active_of(draw, parameters))
