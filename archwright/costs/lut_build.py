"""Building a latency table: which operators are measured, in which order, and how the sums are fitted and checked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.optimize import nnls
from scipy.stats import kendalltau, spearmanr

from archwright.costs.expected import compile_sites
from archwright.costs.lut import Entry, Fit, LatencyTable, Progress, TableData, TableReport, row_key
from archwright.costs.lut_rows import FLOOR_MS, Predictor, features_of
from archwright.costs.workload import OperatorRows, Workload, rows_of
from archwright.errors import EvaluationError, SpaceError
from archwright.measure.meter import LatencyMeter
from archwright.measure.operators import OperatorTime, inputs_of, time_operators
from archwright.measure.timing import LatencyReport, Protocol
from archwright.nets.build import build
from archwright.operators.base import Shape
from archwright.operators.walk import annotate
from archwright.space import Architecture, Space

GROUP = 8  # operators timed in turns with each other
FITTED = 14  # networks that scale the sums
CHECKED = 24  # networks that are only predicted
ROW_SHARE = 0.6  # of the time, for operators; the rest is for networks
PASSES = 3
POOR = 25.0  # percent, 90th percentile; more, with all operators measured, mostly comes of a busy machine


@dataclass
class Builder:
    """One build; see `LatencyTable.build` for the fields."""

    space: Space
    input_shapes: Sequence[Shape]
    meter: LatencyMeter
    seconds: float
    seed: int
    predictor: Predictor
    progress: Progress
    drifted: int = 0
    started: float = field(default_factory=time.perf_counter)

    def build(self) -> LatencyTable:
        """Measure, fit, check; where the check is poor, again.

        What disturbs only makes slower, so the lower of two times counts. A space whose sums fit badly on a quiet
        machine too pays for a second pass in vain.
        """
        rng = np.random.default_rng([self.seed, 0x1A7])
        fitted, checked = self._networks(rng)
        rows = self._rows()
        order = self._order(rows, rng)
        found: dict[int, OperatorTime] = {}
        times = {"fit": np.full(len(fitted), np.inf), "check": np.full(len(checked), np.inf)}
        for left in reversed(range(PASSES)):
            self._measure_rows(rows, order, found)
            entries = self._entries(rows, found)
            if not entries:
                raise EvaluationError(
                    f"no operator of the space runs alone in {self.meter.backend}; try backend='torch'"
                )
            for purpose, networks in (("fit", fitted), ("check", checked)):
                times[purpose] = np.minimum(times[purpose], self._measure_networks(networks, purpose))
            data = TableData(entries, self._fit(entries, fitted, times["fit"]), self._settings(), None, self.predictor)
            table = LatencyTable(self.space, *self.input_shapes, data=data)
            report = self._report(table, len(rows), len(fitted), checked, times["check"])
            poor = report.p90_error_percent > POOR and report.measured == report.rows
            if not poor or not left or time.perf_counter() - self.started > self.seconds:
                break
            self.progress(f"errors up to {report.p90_error_percent:.0f} %, perhaps of a busy machine: measured again")
        return LatencyTable(self.space, *self.input_shapes, data=replace(data, report=report))

    def _fit(self, entries: dict[str, Entry], fitted: list[Architecture], measured: np.ndarray) -> Fit:
        raw = LatencyTable(self.space, *self.input_shapes, data=TableData(entries, Fit(), predictor=self.predictor))
        return _fit(raw, fitted, measured) if fitted else Fit()

    def _networks(self, rng: np.random.Generator) -> tuple[list[Architecture], list[Architecture]]:
        """Networks to fit on (the extremes among them) and others to check on."""
        drawn = self.space.sample(8 * (FITTED + CHECKED), rng)
        distinct: dict[str, Architecture] = {a.digest: a for a in (self.space.smallest(), self.space.largest())}
        for i in range(len(drawn)):
            if len(distinct) >= FITTED + CHECKED:
                break
            distinct.setdefault(drawn[i].digest, drawn[i])
        every = list(distinct.values())
        cut = min(FITTED, max(2, len(every) // 3))
        return every[:cut], every[cut:]

    def _rows(self) -> OperatorRows:
        """All operators of the space, or those of a large sample where the sites depend on too many decisions."""
        root = annotate(self.space)
        try:
            return compile_sites(self.space, root, self.input_shapes).rows
        except SpaceError:
            codes = self.space.sample(20_000, np.random.default_rng(self.seed)).codes
            return rows_of(self.space, codes, *self.input_shapes, root=root).rows

    def _order(self, rows: OperatorRows, rng: np.random.Generator) -> list[int]:
        """Rows in the order of their frequency in a sample, ties drawn."""
        work = rows_of(self.space, self.space.sample(4096, rng).codes, *self.input_shapes)
        counts = np.bincount(work.index[work.index >= 0], minlength=len(work.rows))
        used = {row_key(work.rows.leaves[r], work.rows.input_shapes[r]): int(counts[r]) for r in range(len(work.rows))}
        frequency = np.array([used.get(row_key(*key), 0) for key in zip(rows.leaves, rows.input_shapes, strict=True)])
        return np.lexsort((rng.random(len(rows)), -frequency)).tolist()

    def _measure_rows(self, rows: OperatorRows, order: Sequence[int], found: dict[int, OperatorTime]) -> None:
        """Measure rows as far as the time goes; `found` gets them, or their lower times."""
        until = time.perf_counter() + max(ROW_SHARE * self.seconds, 1.0)
        for start in range(0, len(order), GROUP):
            if start and time.perf_counter() > until:
                break
            group = list(order[start : start + GROUP])
            times = time_operators(
                [rows.leaves[r].module(*rows.input_shapes[r]) for r in group],
                [inputs_of(rows.input_shapes[r], self.meter.batch) for r in group],
                backend=self.meter.backend,
                threads=self.meter.threads,
                seed=self.seed + start,
                device=self.meter.device,
            )
            for r, measured in zip(group, times, strict=True):
                if measured is not None:
                    found[r] = measured.least(found.get(r, measured))
            self.progress(f"{min(start + GROUP, len(order))} of {len(order)} operators")

    def _entries(self, rows: OperatorRows, found: dict[int, OperatorTime]) -> dict[str, Entry]:
        features = features_of(rows)
        return {
            row_key(rows.leaves[r], rows.input_shapes[r]): Entry(
                rows.kinds[r], t.median_ms, t.iqr_ms, t.repeats, tuple(features[r].tolist())
            )
            for r, t in found.items()
        }

    def _measure_networks(self, networks: Sequence[Architecture], purpose: str) -> np.ndarray:
        each = float(np.clip(0.2 * self.seconds / (FITTED + CHECKED), 0.02, 0.2))
        meter = LatencyMeter(
            self.meter.backend,
            threads=self.meter.threads,
            batch=self.meter.batch,
            protocol=Protocol(seconds=each, warmup_seconds=2 * each),
            device=self.meter.device,
        )
        reports: list[LatencyReport] = []
        for start in range(0, len(networks), GROUP):
            nets = [build(a, *self.input_shapes) for a in networks[start : start + GROUP]]
            found = meter.measure(nets, *self.input_shapes)
            self.drifted += found[0].drifted
            reports.extend(found)
            self.progress(f"{len(reports)} of {len(networks)} networks to {purpose}")
        return np.array([r.median_ms for r in reports])

    def _settings(self) -> dict[str, Any]:
        return {
            **self.meter.describe(),
            "space": self.space.digest,
            "input_shapes": [list(s) for s in self.input_shapes],
            "seed": self.seed,
        }

    def _report(
        self, table: LatencyTable, rows: int, fitted: int, checked: Sequence[Architecture], measured: np.ndarray
    ) -> TableReport:
        predicted = table.evaluate(_codes(checked))["latency_ms"] if checked else np.zeros(0)
        error = 100.0 * np.abs(predicted / measured - 1.0)
        ranked = len(checked) > 2 and np.ptp(predicted) > 0 and np.ptp(measured) > 0
        kinds, features, ms = table._measured
        return TableReport(
            rows=rows,
            measured=len(table.data.entries),
            row_error_percent=table.regression().error_percent(kinds, features, ms),
            fitted=fitted,
            checked=len(checked),
            median_error_percent=float(np.median(error)) if checked else float("nan"),
            p90_error_percent=float(np.percentile(error, 90)) if checked else float("nan"),
            spearman=float(spearmanr(predicted, measured).statistic) if ranked else float("nan"),
            kendall=float(kendalltau(predicted, measured).statistic) if ranked else float("nan"),
            drifted=self.drifted,
            seconds=time.perf_counter() - self.started,
            predicted_ms=tuple(predicted.tolist()),
            measured_ms=tuple(measured.tolist()),
        )


def _codes(networks: Sequence[Architecture]) -> np.ndarray:
    return np.stack([a.code for a in networks])


def _fit(raw: LatencyTable, networks: Sequence[Architecture], measured: np.ndarray) -> Fit:
    """Non-negative least squares of relative errors."""
    work: Workload = raw.workload(_codes(networks))
    sums = work.sum(raw.row_ms(work.rows))
    operators = (work.index >= 0).sum(axis=1).astype(np.float64)
    columns = np.stack([np.maximum(sums, FLOOR_MS), operators, np.ones(len(sums))], axis=1)
    weights, _ = nnls(columns / measured[:, None], np.ones(len(measured)))
    return Fit(*(float(w) for w in weights))


__all__ = ["Builder"]
