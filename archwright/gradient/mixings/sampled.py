"""One sampled path (GDAS, ProxylessNAS, SPOS)."""

from __future__ import annotations

from dataclasses import dataclass

from archwright.gradient.mixings.base import MixingMethod, refuse
from archwright.gradient.relaxations.base import Relaxation
from archwright.nets.mixing import Mixing
from archwright.registry import register


@register("mixings", "sampled", labels={"calls": "one a decision"})
@dataclass(frozen=True)
class SampledPath(MixingMethod):
    """Only the drawn options are run, each slice by itself (Guo et al., 2020; Dong and Yang, 2019)."""

    def engine(self) -> Mixing:
        """Separate calls, of which the active ones are made."""
        return Mixing(entangled=False)

    def check(self, relaxation: Relaxation) -> None:
        """A soft relaxation has no path to sample."""
        if not relaxation.one_path:
            refuse("sampled", relaxation, "it weighs all options; take a relaxation that draws one, or mix `outputs`")
