"""Sum of the candidates' outputs (DARTS)."""

from __future__ import annotations

from dataclasses import dataclass

from archwright.gradient.mixings.base import MixingMethod
from archwright.nets.mixing import Mixing
from archwright.registry import register


@register("mixings", "outputs", labels={"calls": "one an option"})
@dataclass(frozen=True)
class Outputs(MixingMethod):
    """Every candidate is run, elastic slices too, and the outputs are summed (Liu et al., 2019, equation 2)."""

    def engine(self) -> Mixing:
        """Separate calls."""
        return Mixing(entangled=False)
