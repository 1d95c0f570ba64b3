"""Superposed weights: one call for all ordered choices (TangleNAS)."""

from __future__ import annotations

from dataclasses import dataclass

from archwright.gradient.mixings.base import MixingMethod
from archwright.nets.mixing import Mixing
from archwright.registry import register


@register("mixings", "entangled", labels={"calls": "one an operator"})
@dataclass(frozen=True)
class EntangledWeights(MixingMethod):
    """Elastic choices share one call with a superposed weight (Sukthankar et al., 2024, section 3).

    Choices between operators are summed as in `outputs`.
    """

    def engine(self) -> Mixing:
        """Superposed weights."""
        return Mixing(entangled=True)
