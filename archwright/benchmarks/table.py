"""A tabular benchmark: listed architectures of a space and memory-mapped columns of what was measured for them.

A table answers queries for codes; it builds no network. `observed` is what one evaluation returns (one noisy
training), `truth` what a comparison is scored on (the mean over seeds), so that no method is rewarded for a lucky seed
(Dong & Yang, 2020, "NAS-Bench-201", section 4; Lindauer & Hutter, 2020, "Best practices for NAS research").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from archwright.benchmarks.columns import HashIndex, MixedRadixIndex, make_index, open_columns
from archwright.errors import ConfigurationError, nearest
from archwright.units import unit_of

if TYPE_CHECKING:
    from archwright.space import Architectures, Space

Values = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Measured:
    """Where a metric's values lie, and how they become the metric's unit.

    Args:
        file: data file below the data folder, or an absolute path to a folder of columns.
        column: its name there.
        scale: factor to the metric's unit.
        part: index into the second axis of a two-dimensional column.
        opened: how to open the file; by default as an `.npz`.
    """

    file: str
    column: str
    scale: float = 1.0
    part: int | None = None
    opened: Callable[[str], Mapping[str, np.ndarray]] = open_columns

    def values(self) -> np.ndarray:
        """(rows,) the column as it is stored, unscaled; memory-mapped."""
        column = self.opened(self.file)[self.column]
        return column if self.part is None else column[:, self.part]


@dataclass(frozen=True)
class TableBenchmark:
    """A problem whose every answer is in a table.

    Args:
        name: registered name.
        make_space: the space whose codes the table lists.
        listed: (rows, D) int codes of the listed architectures.
        observed: metric -> what one query returns at full fidelity.
        truth: metric -> what a comparison is scored on, where that differs from `observed`.
        fidelities: fidelity in (0, 1) -> metrics that are known at this effort.
        seconds: fidelity -> simulated duration of the evaluation.
        features: name -> free numbers of an architecture (zero-cost scores); never given unless asked for.
        goal: the metric that a comparison is about by default.
        note: what to know before the numbers are used.
    """

    name: str
    make_space: Callable[[], Space]
    listed: Values
    observed: Mapping[str, Measured]
    goal: str
    maximize: bool = True
    truth: Mapping[str, Measured] = field(default_factory=dict)
    fidelities: Mapping[float, Mapping[str, Measured]] = field(default_factory=dict)
    seconds: Mapping[float, Measured] = field(default_factory=dict)
    features: Mapping[str, Measured] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        for metric in (*self.observed, *self.truth):
            unit_of(metric)
        if self.goal not in self.observed:
            raise ConfigurationError(
                f"the goal of {self.name!r} must be one of its metrics, got {self.goal!r}; "
                f"{nearest(self.goal, self.observed)}"
            )

    def __reduce__(self) -> tuple[Callable[[str], TableBenchmark], tuple[str]]:
        """Another process loads the table of this name, once."""
        return _loaded, (self.name,)

    @cached_property
    def space(self) -> Space:
        """The space of the table."""
        return self.make_space()

    @cached_property
    def codes(self) -> np.ndarray:
        """(rows, D) int16 the listed codes in the table's order."""
        return np.ascontiguousarray(self.listed(), dtype=np.int16)

    @cached_property
    def index(self) -> MixedRadixIndex | HashIndex:
        """From codes to rows."""
        codes = self.codes
        return make_index(codes, codes.max(axis=0) + 1)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric of a query at full fidelity."""
        return tuple(self.observed)

    @property
    def is_complete(self) -> bool:
        """Whether the table lists every member of its space."""
        return len(np.unique(self.codes, axis=0)) >= self.space.size()

    def rows(self, codes: np.ndarray) -> np.ndarray:
        """(n,) int64 rows of codes (n, D), -1 where the table lists no such architecture."""
        return self.index.rows(np.asarray(codes))

    def rows_of(self, architectures: Architectures) -> np.ndarray:
        """(n,) int64 rows of architectures of the table's space or of an equal one.

        Raises:
            ConfigurationError: if the architectures are of another space.
        """
        other = architectures.space
        if other is not self.space and other.digest != self.space.digest:
            raise ConfigurationError(
                f"the table {self.name!r} lists architectures of its own space ({len(self.space.decisions)} decisions),"
                f" got one with {len(other.decisions)} decisions; search over benchmark.space"
            )
        return self.rows(architectures.codes)

    def read(self, metric: str, rows: np.ndarray, *, fidelity: float = 1.0, true: bool = False) -> np.ndarray:
        """(n,) float64 values of a metric in its unit; NaN for row -1 and where nothing was measured.

        Args:
            metric: name with unit.
            rows: (n,) from `rows`.
            fidelity: effort; the largest one known that does not exceed it is read.
            true: read what a comparison is scored on instead of what a query returns.

        Raises:
            ConfigurationError: if the metric or the fidelity is unknown.
        """
        known = dict(self.observed)
        if true:
            known |= self.truth
        elif fidelity < 1.0:
            known |= self.fidelities.get(self.level(fidelity), {})
        if metric not in known:
            raise ConfigurationError(f"{self.name!r} has no metric {metric!r}; {nearest(metric, known)}")
        return self._gather(known[metric], rows)

    def _gather(self, source: Measured, rows: np.ndarray) -> np.ndarray:
        """As `gather`; a column is opened once for the life of the benchmark."""
        if source not in self._opened:
            self._opened[source] = source.values()
        return scaled_rows(self._opened[source], source.scale, rows)

    @cached_property
    def _opened(self) -> dict[Measured, np.ndarray]:
        return {}

    def level(self, fidelity: float) -> float:
        """The largest effort in the table that does not exceed `fidelity`.

        Raises:
            ConfigurationError: if there is none.
        """
        levels = [f for f in (*self.fidelities, 1.0) if f <= fidelity + 1e-9]
        if not levels:
            raise ConfigurationError(
                f"{self.name!r} knows the fidelities {sorted((*self.fidelities, 1.0))}, got {fidelity}; ask for one"
            )
        return max(levels)

    def duration_s(self, rows: np.ndarray, fidelity: float = 1.0) -> np.ndarray:
        """(n,) simulated seconds of an evaluation; 0 where the table has no times."""
        source = self.seconds.get(self.level(fidelity))
        return np.zeros(len(rows)) if source is None else np.nan_to_num(self._gather(source, rows))

    def best(self, metric: str | None = None) -> float:
        """The optimum over the whole table of what a comparison is scored on."""
        values = self.read(metric or self.goal, np.arange(len(self.codes)), true=True)
        return float(np.nanmax(values) if self.maximize else np.nanmin(values))

    def free_features(self, names: tuple[str, ...] = ()) -> np.ndarray:
        """(rows, features) float64 free numbers of the listed architectures; NaN where none is stored."""
        rows = np.arange(len(self.codes))
        return np.stack([gather(self.features[n], rows) for n in names or tuple(self.features)], axis=1)


def gather(source: Measured, rows: np.ndarray) -> np.ndarray:
    """(n,) float64 values at rows (n,), scaled; NaN for row -1."""
    return scaled_rows(source.values(), source.scale, rows)


def scaled_rows(stored: np.ndarray, scale: float, rows: np.ndarray) -> np.ndarray:
    """(n,) float64 entries of a stored column, scaled; NaN for row -1."""
    values = stored[np.maximum(rows, 0)].astype(np.float64) * scale
    return np.where(rows >= 0, values, np.nan)


@lru_cache(maxsize=4)
def _loaded(name: str) -> TableBenchmark:
    return load(name)


def load(benchmark: str | TableBenchmark) -> TableBenchmark:
    """A benchmark by its registered name.

    Raises:
        ConfigurationError: if the name is unknown.
    """
    from archwright.registry import get

    return get("benchmarks", benchmark)() if isinstance(benchmark, str) else benchmark
