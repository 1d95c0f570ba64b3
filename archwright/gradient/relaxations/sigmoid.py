"""Independent gates (FairDARTS)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from archwright.gradient.relaxations.base import Draw, Relaxation, active_of, blocked_of
from archwright.nets.flow import Weights
from archwright.registry import register


@register("relaxations", "sigmoid", labels={"runs": "all options"})
@dataclass(frozen=True)
class Sigmoid(Relaxation):
    """Options do not compete: each has a sigmoid of its own (FairDARTS, Chu et al., 2020, equation 5).

    The chances that costs and reports see are the gates scaled to one.
    """

    def weights(self, parameters: Mapping[str, Tensor], draw: Draw) -> Weights:
        """A gate for each option."""
        values = {p: _gates(a, blocked_of(draw, p)) for p, a in parameters.items()}
        return Weights(values, active_of(draw, parameters))

    def probabilities(self, parameter: Tensor, blocked: Tensor | None = None) -> Tensor:
        """Gates scaled to sum to one."""
        gates = _gates(parameter, blocked)
        return gates / gates.sum().clamp_min(1e-12)


def _gates(parameter: Tensor, blocked: Tensor | None) -> Tensor:
    gates = torch.sigmoid(parameter)
    return gates if blocked is None else gates.masked_fill(blocked, 0.0)
