"""Coarse-to-fine selection over inherited weights (BigNAS)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.gradient.selections.base import admitted
from archwright.gradient.selections.evolution import Evolution
from archwright.registry import register
from archwright.space import Architecture, Space

if TYPE_CHECKING:
    from archwright.gradient.search import GradientSearch

LARGEST_GRID = 512


@register("selections", "coarse_to_fine", labels={"trains": False})
@dataclass(frozen=True)
class CoarseToFine(Evolution):
    """A coarse grid of skeletons is measured with the shared weights, then the best are varied (Yu et al., 2020, 3.3).

    On the grid all decisions of one kind (widths, depths, kernels, expansions, resolutions) stand at the same level
    between their smallest and largest option. Each later generation changes single decisions of the best so far. The
    paper picks its grid by hand and says neither how many are varied nor how often.

    Attributes:
        population: variations of a generation.
        generations: the grid and what follows it.
        parents: best ones that are varied.
        batches: validation batches for each measurement.
        levels: of each kind on the grid.
    """

    population: int = 50
    generations: int = 5
    parents: int = 5
    batches: int = 4
    levels: int = 3

    def first(self, search: GradientSearch, rng: np.random.Generator) -> list[Architecture]:
        """The grid, without what hard budgets forbid; some of it where it is large."""
        codes = grid(search.space, self.levels, rng)
        kept = codes[admitted(search, codes)]
        return list(search.space.architectures(kept)) if len(kept) else super().first(search, rng)

    def children(self, space: Space, parents: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Parents with one decision changed."""
        drawn = parents[rng.integers(len(parents), size=self.population)]
        return np.asarray(space.mutate(space.architectures(drawn), rng).codes)

    def within(self, space: Space, seconds: float, *, epoch_s: float, batch_s: float) -> CoarseToFine:
        """Fewer generations; the grid alone at least."""
        one = self.batches * batch_s
        fits = int((seconds - len(grid(space, self.levels, np.random.default_rng(0))) * one) / (self.population * one))
        return replace(self, generations=1 + max(0, min(self.generations - 1, fits)))


def grid(space: Space, levels: int, rng: np.random.Generator) -> np.ndarray:
    """Codes (n, decisions) of the members of the grid: every combination of levels of the kinds of decisions."""
    kinds = [d.path.rsplit(".", 1)[-1] for d in space.decisions]
    names = list(dict.fromkeys(kinds))
    places = list(itertools.product(np.linspace(0.0, 1.0, levels), repeat=len(names)))
    if len(places) > LARGEST_GRID:
        places = [places[i] for i in rng.choice(len(places), LARGEST_GRID, replace=False)]
    orders = [_order(d.options) for d in space.decisions]
    codes = np.array(
        [
            [o[round(place[names.index(k)] * (len(o) - 1))] for o, k in zip(orders, kinds, strict=True)]
            for place in places
        ]
    )
    codes = np.unique(space.canonical(codes), axis=0)
    return codes[space.is_member(codes)]


def _order(options: Sequence[Any]) -> list[int]:
    """Options from the smallest to the largest; as they stand where they are no numbers."""
    if all(isinstance(o, int | float) for o in options):
        return [int(i) for i in np.argsort(np.array(options, dtype=np.float64), kind="stable")]
    return list(range(len(options)))
