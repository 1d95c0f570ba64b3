"""Latency tables: the measured time of every operator of a space on this machine, summed along a network.

A table is built by `LatencyTable.build` in about two minutes. Sums ignore what a runtime fuses across operators and
what stays in the cache between them, so a factor, a time per operator and a time per call are fitted on some whole
networks (Cai et al., 2019, ProxylessNAS, section 3.3, use sums alone). The report is made on networks that took no part
in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from archwright.costs.base import AdditiveCost, Columns
from archwright.costs.lut_rows import FLOOR_MS, Predictor, RowRegression, features_of
from archwright.costs.workload import OperatorRows
from archwright.errors import ConfigurationError
from archwright.operators.base import Leaf, Shape
from archwright.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from archwright.measure.backends import Backend
    from archwright.space import Architectures, Space

FORMAT = 1
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Entry:
    """One measured operator.

    Attributes:
        kind: class name of the operator.
        median_ms: of one operator in a session of several.
        iqr_ms: interquartile range of its runs.
        repeats: counted runs.
        features: see `features_of`.
    """

    kind: str
    median_ms: float
    iqr_ms: float
    repeats: int
    features: tuple[float, ...]


@dataclass(frozen=True)
class Fit:
    """From the sum of operators to a network: `scale * sum + per_operator_ms * operators + per_call_ms`."""

    scale: float = 1.0
    per_operator_ms: float = 0.0
    per_call_ms: float = 0.0


@dataclass(frozen=True)
class TableReport:
    """How good a table is, measured on networks that took no part in building it.

    Attributes:
        rows: distinct operators of the space.
        measured: of them.
        row_error_percent: median error of the regression for operators that are not measured, on held-out ones.
        fitted: networks that the fit used.
        checked: networks below.
        median_error_percent: of predicted against measured latency.
        p90_error_percent: 90th percentile of the same.
        spearman: rank correlation of predicted and measured latency.
        kendall: the same, Kendall's tau-b.
        drifted: groups of measurements in which the machine drifted.
        seconds: that building took.
        predicted_ms: of the checked networks.
        measured_ms: of the same.
    """

    rows: int
    measured: int
    row_error_percent: float
    fitted: int
    checked: int
    median_error_percent: float
    p90_error_percent: float
    spearman: float
    kendall: float
    drifted: int
    seconds: float
    predicted_ms: tuple[float, ...] = ()
    measured_ms: tuple[float, ...] = ()

    def __str__(self) -> str:
        guess = ""
        if self.measured < self.rows:
            guess = f" (the others are estimated, median error {self.row_error_percent:.0f} %)"
        drift = f", {self.drifted} groups drifted" if self.drifted else ""
        return (
            f"{self.measured} of {self.rows} operators measured{guess}; on {self.checked} unseen networks: median "
            f"error {self.median_error_percent:.1f} %, 90th percentile {self.p90_error_percent:.1f} %, Spearman "
            f"{self.spearman:.3f}, Kendall {self.kendall:.3f}{drift}; {self.seconds:.0f} s"
        )


@dataclass(frozen=True)
class TableData:
    """What a table file holds."""

    entries: Mapping[str, Entry]
    fit: Fit
    settings: Mapping[str, Any] = field(default_factory=dict)
    report: TableReport | None = None
    predictor: Predictor = "ridge"


@register("costs", "latency_table", labels={"estimation": "measured operators"})
class LatencyTable(AdditiveCost):
    """Latency of a network as a fitted sum of measured operators.

    Args:
        space: whose architectures are costed.
        input_shapes: of each network input, without the batch axis.
        data: measured entries and fit.
    """

    metrics: ClassVar[tuple[str, ...]] = ("latency_ms",)

    def __init__(self, space: Space, *input_shapes: Shape, data: TableData) -> None:
        super().__init__(space, *input_shapes)
        if not data.entries:
            raise ConfigurationError("a latency table needs measured operators, got none; build it again")
        self.data = data
        self._known: dict[tuple[Leaf, tuple[Shape, ...]], float] = {}

    @property
    def report(self) -> TableReport | None:
        """How good the table is; None if that was not measured."""
        return self.data.report

    # ---- making one ----------------------------------------------------------------------------------------------

    @classmethod
    def build(
        cls,
        space: Space,
        *input_shapes: Shape,
        backend: Backend = "onnxruntime",
        threads: int = 1,
        batch: int = 1,
        seconds: float = 120.0,
        seed: int = 0,
        predictor: Predictor = "ridge",
        progress: Progress | None = None,
        device: torch.device | str = "cpu",
    ) -> LatencyTable:
        """Measure the operators of a space on this machine, fit, and check on unseen networks.

        Args:
            space: with a network.
            input_shapes: of each network input, without the batch axis.
            backend: `onnxruntime`, `torch` or `torch-compile`.
            threads: fixed number of threads.
            batch: examples a run.
            seconds: about how long one pass may take; operators that are not reached are estimated from the others.
                A table that predicts the unseen networks badly is measured again while less than that has passed.
            seed: of the networks that are fitted and checked.
            predictor: for operators that are not measured.
            progress: is told in words how far it is.
            device: for the torch backends.

        Raises:
            EvaluationError: if no operator can be measured.
        """
        from archwright.costs.lut_build import Builder
        from archwright.measure.meter import LatencyMeter

        meter = LatencyMeter(backend, threads=threads, batch=batch, device=device)
        return Builder(space, input_shapes, meter, seconds, seed, predictor, progress or (lambda _: None)).build()

    def save(self, path: str | Path) -> None:
        """Write the table as JSON; an existing file is replaced at once."""
        path = Path(path)
        text = json.dumps(
            {
                "format": FORMAT,
                "settings": dict(self.data.settings),
                "predictor": self.data.predictor,
                "fit": asdict(self.data.fit),
                "report": None if self.data.report is None else asdict(self.data.report),
                "entries": {key: asdict(entry) for key, entry in self.data.entries.items()},
            },
            indent=1,
        )
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)

    @classmethod
    def load(cls, path: str | Path, space: Space, *input_shapes: Shape) -> LatencyTable:
        """Read a table; it serves any space, and operators that it does not know are estimated.

        Raises:
            ConfigurationError: if the file is missing, broken or of another format.
        """
        try:
            raw = json.loads(Path(path).read_text(encoding="utf-8"))
            if raw["format"] != FORMAT:
                raise ConfigurationError(
                    f"{path} has format {raw['format']}, this version reads {FORMAT}; build it again"
                )
            entries = {k: Entry(**{**v, "features": tuple(v["features"])}) for k, v in raw["entries"].items()}
            report = raw["report"]
            if report is not None:
                lists = {n: tuple(report[n]) for n in ("predicted_ms", "measured_ms")}
                report = TableReport(**{**report, **lists})
            data = TableData(entries, Fit(**raw["fit"]), raw["settings"], report, raw["predictor"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(
                f"{path} cannot be read as a latency table: {error}; make one with: archwright latency build"
            ) from error
        return cls(space, *input_shapes, data=data)

    # ---- using it ------------------------------------------------------------------------------------------------

    def row_costs(self, rows: OperatorRows) -> Columns:
        """Scaled time of each row with its share of the time per operator; the time per call is not in it."""
        fit = self.data.fit
        return {"latency_ms": fit.scale * self.row_ms(rows) + fit.per_operator_ms}

    def row_ms(self, rows: OperatorRows) -> np.ndarray:
        """Measured or estimated time (rows,) of each operator, before the fit."""
        keys = list(zip(rows.leaves, rows.input_shapes, strict=True))
        missing = [i for i, key in enumerate(keys) if key not in self._known]
        unknown: list[int] = []
        for i in missing:
            entry = self.data.entries.get(row_key(*keys[i]))
            if entry is None:
                unknown.append(i)
            else:
                self._known[keys[i]] = max(entry.median_ms, FLOOR_MS)
        if unknown:
            part = OperatorRows(
                tuple(rows.leaves[i] for i in unknown),
                tuple(rows.input_shapes[i] for i in unknown),
                tuple(rows.output_shapes[i] for i in unknown),
            )
            guess = self._estimate(part)
            self._known.update(zip((keys[i] for i in unknown), guess.tolist(), strict=True))
        return np.array([self._known[key] for key in keys], dtype=np.float64)

    @cached_property
    def _measured(self) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
        entries = list(self.data.entries.values())
        features = np.array([e.features for e in entries], dtype=np.float64)
        return tuple(e.kind for e in entries), features, np.array([e.median_ms for e in entries])

    def regression(self) -> RowRegression:
        """For operators that are not measured."""
        return RowRegression(tuple(sorted(set(self._measured[0]))), self.data.predictor)

    def _estimate(self, rows: OperatorRows) -> np.ndarray:
        kinds, features, ms = self._measured
        return self.regression().fit_predict(kinds, features, ms, rows.kinds, features_of(rows))

    def evaluate(self, architectures: Architectures | np.ndarray, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """`latency_ms` (n,) of a run of the whole batch, the time per call included."""
        sums = super().evaluate(architectures, fidelity=fidelity, seed=seed)
        return {metric: values + self.data.fit.per_call_ms for metric, values in sums.items()}

    def expected(self, probabilities: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As `AdditiveCost.expected`, the time per call included."""
        sums = super().expected(probabilities)
        return {metric: value + self.data.fit.per_call_ms for metric, value in sums.items()}


def row_key(leaf: Leaf, input_shapes: tuple[Shape, ...]) -> str:
    """Text that names an operator on input shapes in a table file."""
    return f"{leaf!r} @ {' '.join('x'.join(map(str, s)) for s in input_shapes)}"


__all__ = ["Entry", "Fit", "LatencyTable", "TableData", "TableReport", "row_key"]
