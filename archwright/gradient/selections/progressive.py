"""Progressive discretisation: the weakest options go while the search runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archwright.errors import ConfigurationError
from archwright.gradient.relaxations.base import Relaxation
from archwright.gradient.selections.base import Selection, likeliest, log_chances
from archwright.registry import register
from archwright.space import Architecture

if TYPE_CHECKING:
    from archwright.gradient.search import GradientSearch


@register("selections", "progressive", labels={"trains": False})
@dataclass(frozen=True)
class Progressive(Selection):
    """At given shares of the search the weakest options of every decision are removed; the supernet stays.

    DrNAS (Chen et al., 2021, section 3.3) removes some of them once; the default has the 8, 5 and 3 options of P-DARTS
    (Chen et al., 2019), whose growing depth is `depth_growth`. A decision loses no more options than any other, so that
    none is decided before the rest (Chu et al., 2020).

    Attributes:
        keep: shares of the options that are left after each stage.
        at: share of the search at which each stage ends.
    """

    keep: tuple[float, ...] = (0.625, 0.375)
    at: tuple[float, ...] = (0.34, 0.67)

    def __post_init__(self) -> None:
        if len(self.keep) != len(self.at) or not all(0 < k <= 1 for k in self.keep):
            raise ConfigurationError(
                f"progressive selection needs one share in (0, 1] for each stage, got keep={self.keep}, at={self.at}"
            )

    def check(self, relaxation: Relaxation) -> None:
        """Something must be learned, or the weakest would be any."""
        if not relaxation.learned:
            raise ConfigurationError(
                f"the selection 'progressive' cannot be used with {type(relaxation).__name__}, which learns no ranking"
            )

    def after_epoch(self, search: GradientSearch) -> None:
        """Remove what the stages that are over ask for."""
        done = search.epoch / search.method.epochs
        passed = [k for k, at in zip(self.keep, self.at, strict=True) if done >= at]
        if not passed:
            return
        scores = log_chances(search)
        for d in search.space.decisions:
            left = search.core.left(d.index)
            wanted = max(1, round(passed[-1] * d.size))
            weakest = sorted(left, key=lambda k: scores[d.index][k])[: max(0, len(left) - wanted)]
            if weakest:
                search.core.block(d.index, weakest)

    def choose(self, search: GradientSearch) -> Architecture:
        """The likeliest of what is left."""
        return likeliest(search)
