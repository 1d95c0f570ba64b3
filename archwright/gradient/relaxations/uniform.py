"""Uniformly drawn paths: nothing is learned but the shared weights (SPOS, random search with weight sharing)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from archwright.gradient.relaxations.base import Draw, Relaxation, blocked_of, draw_option
from archwright.nets.flow import Weights
from archwright.registry import register


@register("relaxations", "uniform", labels={"runs": "one option"})
@dataclass(frozen=True)
class Uniform(Relaxation):
    """Every option with the same chance (Guo et al., 2020, section 3.2; Li and Talwalkar, 2019)."""

    one_path: ClassVar[bool] = True
    learned: ClassVar[bool] = False

    def weights(self, parameters: Mapping[str, Tensor], draw: Draw) -> Weights:
        """One option of every decision."""
        values, active = {}, {}
        for path, parameter in parameters.items():
            blocked = blocked_of(draw, path)
            chances = torch.ones_like(parameter) if blocked is None else (~blocked).to(parameter)
            (k,) = draw_option(chances, draw.generator)
            values[path] = torch.zeros_like(parameter.detach())
            values[path][k] = 1.0
            active[path] = (k,)
        return Weights(values, active)

    def probabilities(self, parameter: Tensor, blocked: Tensor | None = None) -> Tensor:
        """Equal chances."""
        kept = torch.ones_like(parameter) if blocked is None else (~blocked).to(parameter)
        return kept / kept.sum()
