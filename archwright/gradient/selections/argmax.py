"""The likeliest option of every decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archwright.gradient.selections.base import Selection, likeliest
from archwright.registry import register
from archwright.space import Architecture

if TYPE_CHECKING:
    from archwright.gradient.search import GradientSearch


@register("selections", "argmax", labels={"trains": False})
@dataclass(frozen=True)
class Argmax(Selection):
    """Argmax, within the constraints of the space and the hard budgets of the penalties."""

    def choose(self, search: GradientSearch) -> Architecture:
        """The likeliest admitted architecture."""
        return likeliest(search)
