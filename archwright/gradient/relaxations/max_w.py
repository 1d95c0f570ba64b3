"""Max-W weighting (sharpDARTS)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from archwright.gradient.relaxations.base import Draw, Relaxation, active_of, blocked_of, masked_softmax
from archwright.nets.flow import Weights
from archwright.registry import register


@register("relaxations", "max_w", labels={"runs": "all options"})
@dataclass(frozen=True)
class MaxW(Relaxation):
    """Softmax weights raised so that the largest is exactly 1: 1 - max(w) + w_i (Hundt et al., 2019, section 3.3)."""

    def weights(self, parameters: Mapping[str, Tensor], draw: Draw) -> Weights:
        """The raised weights; removed options stay at zero."""
        values = {}
        for path, parameter in parameters.items():
            blocked = blocked_of(draw, path)
            soft = masked_softmax(parameter, blocked)
            raised = 1.0 - soft.max() + soft
            values[path] = raised if blocked is None else raised.masked_fill(blocked, 0.0)
        return Weights(values, active_of(draw, parameters))
