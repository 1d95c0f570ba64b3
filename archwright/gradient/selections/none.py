"""No decoding: the search ends with one-hot choices (single-stage search)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archwright.errors import ConfigurationError
from archwright.gradient.relaxations.base import Relaxation
from archwright.gradient.relaxations.single_stage import SingleStage
from archwright.gradient.selections.base import Selection, likeliest
from archwright.registry import register
from archwright.space import Architecture

if TYPE_CHECKING:
    from archwright.gradient.search import GradientSearch


@register("selections", "none", labels={"trains": False})
@dataclass(frozen=True)
class NoSelection(Selection):
    """The path that the supernet runs at the end is the network."""

    def check(self, relaxation: Relaxation) -> None:
        """Only a relaxation that settles on one path leaves nothing to select."""
        if not isinstance(relaxation, SingleStage):
            raise ConfigurationError(
                f"the selection 'none' cannot be used with {type(relaxation).__name__}, which leaves several options "
                "at the end; use the relaxation 'single_stage', or the selection 'argmax'"
            )

    def choose(self, search: GradientSearch) -> Architecture:
        """The path itself."""
        return likeliest(search)
