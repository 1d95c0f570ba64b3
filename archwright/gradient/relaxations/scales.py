"""Searchable scales: an option counts by the size of a factor on its output (SuperTickets, network slimming)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from archwright.gradient.relaxations.base import Draw, Relaxation, active_of, blocked_of
from archwright.nets.flow import Weights
from archwright.registry import register


@register("relaxations", "scales", labels={"runs": "all options"})
@dataclass(frozen=True)
class Scales(Relaxation):
    """Every option's output times a free factor, which an l1 penalty drives to zero where the loss does not hold it.

    You et al., "SuperTickets", ECCV 2022, section 3.2: the factors of batch norms say which units of a supernet stay
    (network slimming, Liu et al., 2017). Here one factor belongs to an option. The chances that costs, reports and
    selections see are the sizes scaled to one. An option that is left alone has the weight 1, so that the supernet then
    computes what the found network computes.
    """

    def initial(self, options: int, generator: torch.Generator) -> Tensor:
        """Equal shares, nearly."""
        return (1.0 + 1e-3 * torch.randn(options, generator=generator)) / options

    def weights(self, parameters: Mapping[str, Tensor], draw: Draw) -> Weights:
        """The factors; zero where an option was removed."""
        values = {}
        for path, parameter in parameters.items():
            blocked = blocked_of(draw, path)
            values[path] = parameter if blocked is None else _left(parameter, blocked)
        return Weights(values, active_of(draw, parameters))

    def probabilities(self, parameter: Tensor, blocked: Tensor | None = None) -> Tensor:
        """Sizes scaled to sum to one."""
        size = parameter.abs() + 1e-12  # a decision whose factors are all zero has equal chances
        size = size if blocked is None else size.masked_fill(blocked, 0.0)
        return size / size.sum()


def _left(parameter: Tensor, blocked: Tensor) -> Tensor:
    alone = int((~blocked).sum()) == 1
    return (torch.ones_like(parameter) if alone else parameter).masked_fill(blocked, 0.0)
