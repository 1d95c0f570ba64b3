"""The listed members of a table as a space of their own, for tables that list little of their space.

A strategy that proposes freely would hardly ever hit one of 500 rows among ten million members. Here all that it draws,
changes or comes near to are listed members, the nearest ones by the number of decisions that differ, as Tuli et al.,
"FlexiBERT" (2022), section 3.3, snap proposals to the nearest evaluated design.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from archwright.benchmarks.table import TableBenchmark
from archwright.space import Architecture, Architectures, Space

CHUNK = 256
FEW = 0.25  # share of the space below which a table is searched among what it lists


class Listed(Space):
    """The space of a table whose members are its rows.

    Args:
        table: with the codes that it lists.
    """

    def __init__(self, table: TableBenchmark) -> None:
        whole = table.space
        super().__init__(whole.tree, (*whole.tables, *whole.predicates))
        self._whole, self._table = whole, table
        self._codes = np.unique(table.codes, axis=0)

    def size(self) -> int:
        """Different listed members."""
        return len(self._codes)

    def is_member(self, codes: np.ndarray) -> np.ndarray:
        """Which rows of codes (n, D) are listed: bool (n,)."""
        return np.asarray(self._table.rows(np.asarray(codes, np.int16)) >= 0)

    def enumerate(self) -> Architectures:
        """Every listed member once."""
        return Architectures(self, self._codes)

    def batches(self, n: int = 65_536) -> Iterator[Architectures]:
        """Every listed member once, in batches of at most n."""
        for start in range(0, len(self._codes), n):
            yield Architectures(self, self._codes[start : start + n])

    def sample(self, n: int, rng: np.random.Generator, *, uniform: bool = False) -> Architectures:
        """Draw n listed members, all with the same chance."""
        return Architectures(self, self._codes[rng.integers(0, len(self._codes), n)])

    def nearest(self, codes: np.ndarray) -> Architectures:
        """The listed members nearest to the members nearest to any integer codes (n, D)."""
        return self._near(self._whole.nearest(codes).codes)

    def mutate(self, architectures: Architectures, rng: np.random.Generator, changes: int = 1) -> Architectures:
        """The listed member nearest to each mutant, other than its parent."""
        parents = architectures.codes
        made = self._whole.mutate(Architectures(self._whole, parents), rng, changes)
        return self._near(made.codes, rng, parents)

    def crossover(self, a: Architectures, b: Architectures, rng: np.random.Generator) -> Architectures:
        """The listed member nearest to each child."""
        first, second = (Architectures(self._whole, x.codes) for x in (a, b))
        return self._near(self._whole.crossover(first, second, rng).codes, rng)

    def neighbours(self, architecture: Architecture) -> Architectures:
        """The listed members nearest to the neighbours, without the architecture itself, each once."""
        around = self._whole.neighbours(Architecture(self._whole, architecture.code)).codes
        found = self._near(around, None, np.repeat(architecture.code[None], len(around), axis=0))
        return Architectures(self, np.unique(found.codes, axis=0))

    def _near(
        self, codes: np.ndarray, rng: np.random.Generator | None = None, other: np.ndarray | None = None
    ) -> Architectures:
        """Nearest listed members of codes (n, D), ties by chance, none of them the row of `other` (n, D)."""
        rows = np.empty(len(codes), np.int64)
        for start in range(0, len(codes), CHUNK):
            part = slice(start, start + CHUNK)
            apart = (codes[part, None, :] != self._codes[None]).sum(axis=2, dtype=np.float64)
            if rng is not None:
                apart += rng.uniform(0.0, 0.5, apart.shape)
            if other is not None and len(self._codes) > 1:
                apart[(other[part, None, :] == self._codes[None]).all(axis=2)] = np.inf
            rows[part] = apart.argmin(axis=1)
        return Architectures(self, self._codes[rows])


def searched_space(table: TableBenchmark) -> Space:
    """The table's space, or its listed members where these are less than a quarter of it."""
    return Listed(table) if len(table.codes) < FEW * table.space.size() else table.space
