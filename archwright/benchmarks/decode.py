"""From a table's own columns to codes of a space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from archwright.benchmarks.columns import ColumnFolder, open_columns
from archwright.errors import ConfigurationError
from archwright.space import Space
from archwright.space.compile import Decision

VERSION = 1  # of what is derived from tables in the cache

Field = Callable[[Decision], np.ndarray]  # decision -> (rows,) the value it takes in each row


def codes_of(space: Space, rows: int, field: Field) -> np.ndarray:
    """Codes of a table's architectures.

    Args:
        space: whose options are the table's values.
        rows: of the table.
        field: the values of a decision in every row; those of inactive decisions do not matter.

    Returns:
        (rows, D) int16 with inactive decisions at -1.

    Raises:
        ConfigurationError: if an active decision takes a value that is none of its options.
    """
    columns = np.zeros((len(space.decisions), rows), np.int16)
    unknown = np.zeros((len(space.decisions), rows), bool)
    for d in space.decisions:
        columns[d.index], unknown[d.index] = _positions(field(d), d.options)
    columns[unknown] = 0
    space.activity.mask(columns)
    bad = unknown & (columns >= 0)
    if bad.any():
        j, i = (int(v[0]) for v in np.nonzero(bad))
        raise ConfigurationError(
            f"row {i} of the table has {field(space.decisions[j])[i]!r} for {space.decisions[j].label!r}, "
            f"whose options are {space.decisions[j].options}; use the space that belongs to the table"
        )
    return np.ascontiguousarray(columns.T)


def derived(
    file: str,
    label: str,
    make: Callable[[], Mapping[str, np.ndarray]],
    opened: Callable[[str], ColumnFolder] = open_columns,
) -> ColumnFolder:
    """Columns computed from a data file, kept beside its converted ones: computed the first time only.

    Args:
        file: below the data folder.
        label: of what is computed.
        make: computes it.
        opened: how the file is opened.
    """
    source = opened(file).folder
    folder = source.with_name(f"{source.name}-{label}{VERSION}")
    if not (folder / "index.json").exists():
        return ColumnFolder.write(folder, make(), about=file)
    return ColumnFolder(folder)


def cached_codes(
    file: str, make: Callable[[], np.ndarray], opened: Callable[[str], ColumnFolder] = open_columns
) -> np.ndarray:
    """Decoded codes of a data file; see `derived`."""
    return derived(file, "codes", lambda: {"codes": make()}, opened)["codes"]


def _positions(values: np.ndarray, options: Sequence[object]) -> tuple[np.ndarray, np.ndarray]:
    """Option numbers (rows,) and where a value is no option."""
    found = np.zeros(len(values), np.int16)
    missing = np.ones(len(values), bool)
    for k, option in enumerate(options):
        here = values == option
        found[here], missing[here] = k, False
    return found, missing
