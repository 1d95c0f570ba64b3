"""Evolution over inherited weights (SPOS)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from archwright.gradient.selections.base import Selection, admitted, likeliest
from archwright.registry import register
from archwright.space import Architecture, Space

if TYPE_CHECKING:
    from archwright.gradient.search import GradientSearch


@register("selections", "evolution", labels={"trains": False})
@dataclass(frozen=True)
class Evolution(Selection):
    """Evolution of architectures that are measured with the shared weights (Guo et al., 2020, algorithm 1).

    Measured with the statistics of each batch instead of recalibrated ones.

    Attributes:
        population: of a generation (50 in the paper).
        generations: number of them (20 in the paper).
        parents: best ones that have children.
        batches: validation batches for each measurement.
    """

    population: int = 20
    generations: int = 5
    parents: int = 5
    batches: int = 4

    def choose(self, search: GradientSearch) -> Architecture:
        """During the search: the likeliest, or a fixed random one where nothing is learned."""
        if search.method.relaxation.learned:
            return likeliest(search)
        return self._sample(search, 1, np.random.default_rng([search.seed, 0xE0]))[0]

    def finish(self, search: GradientSearch) -> Architecture:
        """The best that was measured."""
        rng = np.random.default_rng([search.seed, 0xE1])
        space, sign = search.space, 1.0 if search.task.maximize else -1.0
        known: dict[bytes, tuple[float, Architecture]] = {}
        pool = self.first(search, rng)
        for _ in range(self.generations):
            for a in pool:
                if a.key not in known:
                    known[a.key] = (sign * search.inherited(a, self.batches)[search.task.metric], a)
            best = [a for _, a in sorted(known.values(), key=lambda pair: -pair[0])[: self.parents]]
            children = self.children(space, space.codes(best), rng)
            pool = list(space.architectures(children[admitted(search, children)]))
        return max(known.values(), key=lambda pair: pair[0])[1]

    def first(self, search: GradientSearch, rng: np.random.Generator) -> list[Architecture]:
        """The first generation."""
        return self._sample(search, self.population, rng)

    def children(self, space: Space, parents: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Codes (population, decisions) of the next generation from those of the parents (n, decisions)."""
        first, second = (parents[rng.integers(len(parents), size=self.population // 2)] for _ in range(2))
        crossed = space.crossover(space.architectures(first), space.architectures(second), rng)
        mutants = space.mutate(space.architectures(first), rng)
        return np.concatenate([crossed.codes, mutants.codes])

    def within(self, space: Space, seconds: float, *, epoch_s: float, batch_s: float) -> Evolution:
        """Fewer generations, one at least."""
        fits = int(seconds / (self.population * self.batches * batch_s))
        return replace(self, generations=max(1, min(self.generations, fits)))

    def _sample(self, search: GradientSearch, n: int, rng: np.random.Generator) -> list[Architecture]:
        """Random admitted architectures."""
        codes = search.space.sample(max(n * 20, 200), rng).codes
        kept = codes[admitted(search, codes)][:n]
        return list(search.space.architectures(kept)) if len(kept) else [likeliest(search)]
