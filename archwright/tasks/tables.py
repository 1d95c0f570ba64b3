"""Tables in CSV, TSV or Parquet: text columns become one-hot, gaps are filled and marked, numbers are standardised.

Everything that is learned from data (categories, medians, means) is learned from the training rows only.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archwright.data import data_file
from archwright.errors import ConfigurationError, nearest, require
from archwright.registry import register
from archwright.tasks.base import Task
from archwright.tasks.prepare import Arrays, Kind, hold_out, infer_kind, task_of

Column = np.ndarray  # (n,) float64 with NaN for gaps, or object/str with "" for gaps
GAPS = frozenset({"", "?", "na", "n/a", "nan", "null", "none"})
PART_WORDS = {"train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid",
              "dev": "valid", "test": "test"}  # fmt: skip


@register("tasks", "table", labels={"suffixes": [".csv", ".tsv", ".parquet"]})
def table(
    path: str | Path,
    *,
    target: str | None = None,
    kind: Kind | None = None,
    drop: Sequence[str] = (),
    max_categories: int = 32,
    seed: int = 0,
    valid_share: float = 0.2,
    test_share: float = 0.2,
) -> Task:
    """Rows of a CSV, TSV or Parquet file with a header; a column `split` with train, valid, test is honoured.

    Args:
        path: the file.
        target: the column to predict; `target`, `label` or else the last column when None.
        kind: what the target is; read off its values when None.
        drop: columns to leave out.
        max_categories: text columns with more categories keep the most frequent ones, the rest is one category.
        seed: draws the hold-outs.
        valid_share: share of the training rows held out if no row is marked valid.
        test_share: the same for test.

    Raises:
        ConfigurationError: if the file cannot be read, a column is missing or the target has gaps.
    """
    columns = read_table(path)
    return task_of_columns(
        columns,
        Path(path).stem,
        target=target,
        kind=kind,
        drop=drop,
        max_categories=max_categories,
        seed=seed,
        shares=(valid_share, test_share),
    )


@register("tasks", "adult", labels={"kind": "classification", "input": "14 columns", "external": True})
def adult(*, seed: int = 0, valid_share: float = 0.2) -> Task:
    """UCI Adult (Kohavi, 1996): is the income above 50,000 dollars; 32,561 training and 16,281 test rows.

    Args:
        seed: draws the valid part.
        valid_share: share of the training rows that becomes the valid part.
    """
    return table(data_file("train/adult.parquet"), target="classification", seed=seed, valid_share=valid_share)


@register("tasks", "california_housing", labels={"kind": "regression", "input": "9 columns", "external": True})
def california_housing(*, seed: int = 0, valid_share: float = 0.2, test_share: float = 0.2) -> Task:
    """California housing (Pace and Barry, 1997): median house value in dollars of 20,640 districts.

    Args:
        seed: draws the parts.
        valid_share: share of what is left after the test part.
        test_share: share of all rows.
    """
    path = data_file("train/california_housing.parquet")
    return table(path, target="median_house_value", seed=seed, valid_share=valid_share, test_share=test_share)


def read_table(path: str | Path, *, series: bool = False) -> dict[str, Column]:
    """Name -> column; a column whose entries all read as numbers is float64, all others are text.

    Args:
        path: the file.
        series: whether one column is enough, and dates and times of Parquet files are read, as ISO text; they are
            refused otherwise.

    Raises:
        ConfigurationError: if the file is missing, empty or broken.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigurationError(f"there is no file {path}; give the path of a .csv, .tsv or .parquet file")
    columns = _parquet(path, series) if path.suffix == ".parquet" else _csv(path)
    if len(columns) < 2 and not series:
        raise ConfigurationError(f"{path} needs two columns or more, got {list(columns)}; is the delimiter a comma?")
    if not len(next(iter(columns.values()))):
        raise ConfigurationError(f"{path} has a header but no rows")
    return columns


def _csv(path: Path) -> dict[str, Column]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path} cannot be read as text: {error}; save it as UTF-8 with a header") from error
    if not rows:
        raise ConfigurationError(f"{path} is empty; it needs a header line and rows")
    header, body = [name.strip() for name in rows[0]], [r for r in rows[1:] if r]
    if len(set(header)) < len(header):
        raise ConfigurationError(f"{path} has a column name twice in its header {header}")
    for number, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise ConfigurationError(f"{path}: row {number} has {len(row)} fields, the header has {len(header)}")
    return {name: _column([row[j].strip() for row in body]) for j, name in enumerate(header)}


def _column(texts: Sequence[str]) -> Column:
    clean = ["" if t.lower() in GAPS else t for t in texts]
    try:
        return np.array([float(t) if t else np.nan for t in clean], dtype=np.float64)
    except ValueError:
        return np.array(clean, dtype=object)


def _parquet(path: Path, times: bool) -> dict[str, Column]:
    require("pyarrow", extra="tables", feature="reading Parquet files")
    import pyarrow
    import pyarrow.parquet

    try:
        content = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise ConfigurationError(f"{path} cannot be read as Parquet: {error}") from error
    out: dict[str, Column] = {}
    for name in content.column_names:
        values = content[name]
        kind = values.type
        if pyarrow.types.is_boolean(kind) or pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind):
            out[name] = np.array([np.nan if v is None else float(v) for v in values.to_pylist()], dtype=np.float64)
        elif pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) or pyarrow.types.is_dictionary(kind):
            texts = ["" if v is None else str(v).strip() for v in values.to_pylist()]
            out[name] = np.array(["" if t.lower() in GAPS else t for t in texts], dtype=object)
        elif times and (pyarrow.types.is_timestamp(kind) or pyarrow.types.is_date(kind)):
            out[name] = np.array(["" if v is None else v.isoformat() for v in values.to_pylist()], dtype=object)
        else:
            raise ConfigurationError(
                f"{path}: the column {name!r} has the type {kind}; only numbers and text are read, drop or convert it"
            )
    return out


def task_of_columns(
    columns: Mapping[str, Column],
    name: str,
    *,
    target: str | None,
    kind: Kind | None,
    drop: Sequence[str],
    max_categories: int,
    seed: int,
    shares: tuple[float, float],
) -> Task:
    """A task from named columns, see `table`; `shares` are the valid and the test share."""
    target = target or next((c for c in ("target", "label") if c in columns), list(columns)[-1])
    for wanted in (target, *drop):
        if wanted not in columns:
            raise ConfigurationError(f"{name} has no column {wanted!r}; {nearest(wanted, columns)}")
    parts = _parts(columns)
    features = [c for c in columns if c != target and c not in drop and not (parts is not None and c == "split")]
    y = _target(columns[target], name, target, kind)
    kind = kind or infer_kind(y)
    rows = _rows(parts, y, kind, seed, shares, name)
    encoders = [_fit(c, columns[c][rows["train"]], max_categories) for c in features]
    encoded = np.concatenate([e.encode(columns[e.name]) for e in encoders], axis=1)
    arrays = Arrays(
        {part: encoded[index] for part, index in rows.items()},
        {part: y[index] for part, index in rows.items()},
        name,
        extra={"target": target, "columns": [e.describe() for e in encoders]},
    )
    return task_of(arrays, kind=kind, layout="table", seed=seed)


def _parts(columns: Mapping[str, Column]) -> np.ndarray | None:
    if "split" not in columns or columns["split"].dtype != object:
        return None
    words = [str(w).lower() for w in columns["split"]]
    if not set(words) <= set(PART_WORDS):
        return None
    return np.array([PART_WORDS[w] for w in words])


def _target(column: Column, name: str, target: str, kind: Kind | None) -> np.ndarray:
    gap = np.isnan(column) if column.dtype != object else column == ""
    if gap.any():
        raise ConfigurationError(
            f"{name}: the target column {target!r} has {int(gap.sum())} gaps, the first in row "
            f"{int(np.flatnonzero(gap)[0])}; drop those rows"
        )
    if column.dtype == object:
        return column.astype(str)
    return column.astype(np.int64) if kind != "regression" and (column == np.round(column)).all() else column


def _rows(
    parts: np.ndarray | None, y: np.ndarray, kind: Kind, seed: int, shares: tuple[float, float], name: str
) -> dict[str, np.ndarray]:
    every = np.full(len(y), "train") if parts is None else parts.astype("<U5")
    rng = np.random.default_rng([seed, 0x5EED])
    for part, share in (("test", shares[1]), ("valid", shares[0])):
        if (every == part).any():
            continue
        if not 0.0 < share < 1.0:
            raise ConfigurationError(f"{part}_share must lie between 0 and 1, got {share}")
        train = np.flatnonzero(every == "train")
        _, held = hold_out(y[train], share, rng, stratify=kind == "classification")
        every[train[held]] = part
    rows = {part: np.flatnonzero(every == part) for part in ("train", "valid", "test")}
    short = {part: len(index) for part, index in rows.items() if not len(index)}
    if short:
        raise ConfigurationError(f"{name} has too few rows for the parts {sorted(short)}: {len(y)} rows in all")
    return rows


@dataclass(frozen=True)
class _Encoder:
    """How one column becomes features: a number with a gap mark, or one-hot categories."""

    name: str
    median: float = 0.0
    gaps: bool = False
    categories: tuple[str, ...] | None = None

    def encode(self, column: Column) -> np.ndarray:
        """Features (n, k) float32."""
        if self.categories is None:
            numbers = column.astype(np.float64)
            gap = ~np.isfinite(numbers)
            filled = np.where(gap, self.median, numbers)
            return np.stack([filled, gap.astype(np.float64)] if self.gaps else [filled], axis=1).astype(np.float32)
        known = np.array(self.categories, dtype=object)
        hot = column[:, None].astype(object) == known[None, :]
        rest = ~hot.any(axis=1, keepdims=True)  # unseen or rare category
        return np.concatenate([hot, rest], axis=1).astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """Plain values that document the encoding."""
        if self.categories is None:
            return {"name": self.name, "median": self.median, "gap_mark": self.gaps}
        return {"name": self.name, "categories": list(self.categories), "other": True}


def _fit(name: str, column: Column, max_categories: int) -> _Encoder:
    if column.dtype != object:
        gap = ~np.isfinite(column)
        if gap.all():
            return _Encoder(name, median=0.0, gaps=True)
        return _Encoder(name, median=float(np.median(column[~gap])), gaps=bool(gap.any()))
    values, counts = np.unique(column.astype(str), return_counts=True)  # a gap is the category ""
    order = np.argsort(-counts, kind="stable")[:max_categories]
    return _Encoder(name, categories=tuple(sorted(str(v) for v in values[order])))
