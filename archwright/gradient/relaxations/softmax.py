"""Softmax over the options of a decision (DARTS)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from archwright.gradient.relaxations.base import Draw, Relaxation, active_of, blocked_of, masked_softmax
from archwright.nets.flow import Weights
from archwright.registry import register


@register("relaxations", "softmax", labels={"runs": "all options"})
@dataclass(frozen=True)
class Softmax(Relaxation):
    """Softmax (Liu et al., 2019, equation 2)."""

    def weights(self, parameters: Mapping[str, Tensor], draw: Draw) -> Weights:
        """Softmax of each vector."""
        values = {p: masked_softmax(a, blocked_of(draw, p)) for p, a in parameters.items()}
        return Weights(values, active_of(draw, parameters))
