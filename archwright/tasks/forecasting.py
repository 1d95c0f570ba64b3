"""Forecasting of time series: the next `horizon` rows of a table from its last `lookback` rows.

The parts follow each other in time: the first rows train, the next ones validate, the last ones test. A target lies in
its part as a whole, the rows before it that are its input may lie in the part before (Zhou et al., 2021, "Informer",
section 4). Columns are standardised by the training rows alone, and errors are those of standardised values, as they
are in the literature. Windows are strided views of one copy of the series, so a lookback of hundreds of rows costs no
memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from archwright.data import data_file
from archwright.errors import ConfigurationError, nearest
from archwright.registry import register
from archwright.tasks.arrays import read_npz
from archwright.tasks.base import SplitName, Task
from archwright.tasks.split import TensorSplit
from archwright.tasks.tables import Column, read_table

HOURLY = (8640, 2880, 2880)  # rows of 12, 4 and 4 months of 30 days in hours, the usual parts of ETTh1 and ETTh2
TIMES = ("date", "datetime", "time", "timestamp", "ds")


@dataclass(frozen=True, eq=False)
class Forecasting(Task):
    """Targets are float32 (n, targets, horizon), outputs (n, targets * horizon), both standardised.

    A forecast in original units is `outputs * std + mean` with the target's entries of `preprocessing`.

    Attributes:
        horizon: rows that are forecast, of the first `outputs // horizon` columns of the input.
        period: rows after which the series nearly repeats, for the seasonal baseline; 0 = not known.
    """

    horizon: int = 1
    period: int = 0

    kind: ClassVar[str] = "forecasting"
    metric: ClassVar[str] = "mse"
    metrics: ClassVar[tuple[str, ...]] = ("mse", "mae")
    maximize: ClassVar[bool] = False

    def loss(self, outputs: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """Mean squared error; smoothing has no meaning here."""
        return F.mse_loss(outputs, targets.flatten(1))

    def distill(self, outputs: Tensor, teacher: Tensor) -> Tensor:
        """Mean squared distance to the teacher's outputs."""
        return F.mse_loss(outputs, teacher.detach())

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Mean squared and mean absolute error over windows, targets and rows of the horizon."""
        return self.measure_batches([(outputs, targets)])

    def measure_batches(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """As `measure`, without keeping all forecasts at once."""
        square = absolute = count = 0.0
        for outputs, targets in pairs:
            error = outputs.double() - targets.flatten(1).double()
            square += float(error.square().sum())
            absolute += float(error.abs().sum())
            count += error.numel()
        return {"mse": square / count, "mae": absolute / count}

    def baselines(self, split: SplitName = "test") -> dict[str, dict[str, float]]:
        """Metrics of forecasts that need no training: the last row repeated and, if known, the last period repeated."""
        shifts = {"last value": 1} | ({f"last {self.period} rows": self.period} if self.period else {})
        return {words: self.measure_batches(self._repeated(split, shift)) for words, shift in shifts.items()}

    def _repeated(self, split: SplitName, shift: int) -> Iterable[tuple[Tensor, Tensor]]:
        rows = torch.arange(self.horizon) % shift - shift
        for x, y in self.split(split).batches(512):
            if isinstance(x, Tensor):  # windows always are
                yield x[:, : y.shape[1], rows].flatten(1), y


@register("tasks", "forecast", labels={"prefix": "forecast"})
def forecast(
    source: str | Path | np.ndarray,
    *,
    lookback: int = 96,
    horizon: int = 24,
    columns: str | Sequence[str] = (),
    target: str | Sequence[str] = (),
    time: str | None = None,
    rows: Sequence[int] = (),
    valid_share: float = 0.1,
    test_share: float = 0.2,
    period: int = 0,
) -> Forecasting:
    """The next rows of a .csv, .tsv, .parquet or .npz file, `forecast:FILE`, or of an array (rows,) or (rows, columns).

    Args:
        source: the file, with rows in the order of time; a .npz file holds one array.
        lookback: rows that a network reads.
        horizon: rows that it forecasts.
        columns: that it reads, one name or several; all but the time when empty. Columns of arrays are named "0", "1"
            and so on.
        target: the columns of these that it forecasts, which it reads first; all when empty.
        time: column that says when, which is checked to rise and then left out; `date`, `datetime`, `time`,
            `timestamp` or `ds` when None and there is one.
        rows: numbers of rows for training, validation and test in place of the shares; rows after them are not used.
        valid_share: share of the rows that validate.
        test_share: share of the rows that test.
        period: rows after which the series nearly repeats, for the seasonal baseline; 0 = not known.

    Raises:
        ConfigurationError: if the source cannot be read, a column is missing, has gaps or holds text, or the series is
            too short.
    """
    name, table = _columns_of(source)
    names, forecasts = _inputs(name, table, _listed(columns), _listed(target), time)
    values = np.stack([_numbers(name, column, table[column]) for column in names])
    sizes = _sizes(name, values.shape[1], rows, (valid_share, test_share), (lookback, horizon))
    if not 0 <= period <= lookback:
        raise ConfigurationError(f"period must be 0 or at most the lookback of {lookback} rows, got {period}")
    mean, std = values[:, : sizes[0]].mean(axis=1), values[:, : sizes[0]].std(axis=1)
    std = np.where(std > 1e-8 * np.maximum(1.0, np.abs(mean)), std, 1.0)  # a constant column is only shifted
    series = torch.from_numpy(((values - mean[:, None]) / std[:, None]).astype(np.float32))
    train, valid, test = _windows(series, forecasts, sizes, lookback, horizon)
    return Forecasting(
        name=name,
        input_shape=(len(names), lookback),
        outputs=forecasts * horizon,
        train=train,
        valid=valid,
        test=test,
        preprocessing={
            "columns": names,
            "targets": names[:forecasts],
            "rows": list(sizes),
            "mean": mean.tolist(),
            "std": std.tolist(),
            "formula": "(x - mean) / std per column; forecasts are outputs * std + mean, targets before rows",
        },
        horizon=horizon,
        period=period,
    )


def _columns_of(source: str | Path | np.ndarray) -> tuple[str, Mapping[str, Column]]:
    """A name and the columns of a file or array."""
    if isinstance(source, np.ndarray):
        name, array = "series", source
    elif Path(source).suffix == ".npz":
        found = read_npz(source)
        if len(found) != 1:
            raise ConfigurationError(f"{source} must hold one array of (rows, columns), it holds {sorted(found)}")
        name, array = Path(source).stem, next(iter(found.values()))
    else:
        return Path(source).stem, read_table(source, series=True)
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiub" or not array.size:
        raise ConfigurationError(
            f"{name} must be numbers of shape (rows,) or (rows, columns), got {array.dtype} of shape {array.shape}"
        )
    wide = array.reshape(len(array), -1).astype(np.float64)
    return name, {str(j): wide[:, j] for j in range(wide.shape[1])}


def _listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _inputs(
    name: str, table: Mapping[str, Column], columns: list[str], targets: list[str], time: str | None
) -> tuple[list[str], int]:
    """Names of the columns that networks read, and how many of them, the first, they forecast; the time is checked."""
    for wanted in (*columns, *([] if time is None else [time])):
        if wanted not in table:
            raise ConfigurationError(f"{name} has no column {wanted!r}; {nearest(wanted, table)}")
    when = time or next((c for c in table if c.lower() in TIMES and c not in columns), None)
    if when is not None:
        _check_rising(name, when, table[when])
    names = columns or [c for c in table if c != when]
    for wanted in targets:
        if wanted not in names:
            raise ConfigurationError(f"the inputs of {name} have no column {wanted!r}; {nearest(wanted, names)}")
    for given in (names, targets or names):
        if not given or len(set(given)) < len(given):
            raise ConfigurationError(f"{name} needs one column or more, each once, beside the time; got {given}")
    return [*targets, *(n for n in names if n not in targets)], len(targets) or len(names)


def _check_rising(name: str, when: str, column: Column) -> None:
    times = column
    if column.dtype == object:
        try:
            times = np.array([str(t).replace("/", "-") for t in column], dtype="datetime64[us]").astype(np.int64)
        except ValueError:  # a way of writing times that is not known here: the rows are taken as they are
            return
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        raise ConfigurationError(
            f"the rows of {name} must be in the order of time, but row {int(back[0]) + 1} has the {when} "
            f"{column[back[0] + 1]} after {column[back[0]]}; sort the file by it"
        )


def _numbers(name: str, column: str, values: Column) -> np.ndarray:
    """A column as float64 (rows,)."""
    if values.dtype == object:
        raise ConfigurationError(
            f"{name}: the column {column!r} holds text such as {str(values[0])!r}; a forecast needs numbers, choose "
            "others with columns=[...], or name it with time=... if it says when"
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ConfigurationError(
            f"{name}: the column {column!r} has {len(bad)} gaps or infinite values, the first in row {int(bad[0])}; "
            "fill them or choose other columns"
        )
    return values.astype(np.float64)


def _sizes(
    name: str, count: int, rows: Sequence[int], shares: tuple[float, float], window: tuple[int, int]
) -> tuple[int, int, int]:
    """Rows of the training, validation and test part."""
    lookback, horizon = window
    if min(window) < 1:
        raise ConfigurationError(f"lookback and horizon are one row or more, got {lookback} and {horizon}")
    if rows and (len(rows) != 3 or min(rows) < 1 or sum(rows) > count):
        raise ConfigurationError(
            f"rows must be three positive numbers (training, validation, test) of together at most the {count} rows of "
            f"{name}, got {list(rows)}"
        )
    if min(shares) <= 0.0 or sum(shares) >= 1.0:
        raise ConfigurationError(f"valid_share and test_share must be positive and together below 1, got {shares}")
    train, test = int((1.0 - sum(shares)) * count + 1e-6), int(shares[1] * count + 1e-6)
    sizes = (rows[0], rows[1], rows[2]) if rows else (train, count - train - test, test)
    for part, size, least in zip(
        ("training", "validation", "test"), sizes, (sum(window), horizon, horizon), strict=True
    ):
        if size < least:
            raise ConfigurationError(
                f"{name} is too short: its {part} part has {size} of {count} rows and needs {least} for a lookback of "
                f"{lookback} and a horizon of {horizon}; use shorter ones, other shares, or more rows"
            )
    return sizes


def _windows(
    series: Tensor, forecasts: int, sizes: tuple[int, int, int], lookback: int, horizon: int
) -> list[TensorSplit]:
    """The three parts of a series (columns, rows) as views of all windows: x (n, columns, lookback), y likewise."""
    x = series.unfold(1, lookback, 1).transpose(0, 1)
    y = series[:forecasts].unfold(1, horizon, 1).transpose(0, 1)
    parts, end = [], 0
    for size in sizes:
        first, end = max(end, lookback), end + size  # the first row that is forecast, and the end of the part
        last = end - horizon + 1
        parts.append(TensorSplit(x[first - lookback : last - lookback], y[first:last]))
    return parts


@register("tasks", "etth1", labels={"kind": "forecasting", "input": "7 hourly series", "external": True})
def etth1(*, lookback: int = 96, horizon: int = 96) -> Forecasting:
    """ETTh1 (Zhou et al., 2021): load and oil temperature of a transformer, 12, 4 and 4 months; rows after are unused.

    Args:
        lookback: hours that are read.
        horizon: hours that are forecast.
    """
    return forecast(data_file("train/ETTh1.parquet"), lookback=lookback, horizon=horizon, rows=HOURLY, period=24)


@register("tasks", "etth2", labels={"kind": "forecasting", "input": "7 hourly series", "external": True})
def etth2(*, lookback: int = 96, horizon: int = 96) -> Forecasting:
    """ETTh2 (Zhou et al., 2021): as ETTh1, of another transformer.

    Args:
        lookback: hours that are read.
        horizon: hours that are forecast.
    """
    return forecast(data_file("train/ETTh2.parquet"), lookback=lookback, horizon=horizon, rows=HOURLY, period=24)


@register("tasks", "exchange_rate", labels={"kind": "forecasting", "input": "8 daily series", "external": True})
def exchange_rate(*, lookback: int = 96, horizon: int = 96) -> Forecasting:
    """Eight exchange rates to the dollar (Lai et al., 2018), 70, 10 and 20 % of 7,588 days.

    The file's dates are made up, and its columns `6` and `OT` are the original's seventh and sixth; all columns are
    read and forecast, so neither matters.

    Args:
        lookback: days that are read.
        horizon: days that are forecast.
    """
    return forecast(data_file("train/exchange_rate.parquet"), lookback=lookback, horizon=horizon)


@register("tasks", "national_illness", labels={"kind": "forecasting", "input": "7 weekly series", "external": True})
def national_illness(*, lookback: int = 36, horizon: int = 24) -> Forecasting:
    """Influenza-like illness in the United States by week (CDC), 70, 10 and 20 % of 966 weeks.

    Args:
        lookback: weeks that are read.
        horizon: weeks that are forecast.
    """
    return forecast(data_file("train/national_illness.parquet"), lookback=lookback, horizon=horizon)


__all__ = ["Forecasting", "forecast"]
