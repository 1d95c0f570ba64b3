"""Evaluation by looking up a benchmark table: no network is built, and time passes on a simulated clock.

The column `simulated_s` is the training time that the table recorded, so that a search of GPU-weeks replays in seconds
with its events in the right order (Salinas et al., 2022, "Syne Tune", section 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from archwright.benchmarks.table import TableBenchmark, gather, load
from archwright.errors import ConfigurationError, EvaluationError, nearest
from archwright.registry import register

if TYPE_CHECKING:
    from archwright.search.problem import Columns
    from archwright.space import Architectures


@register("evaluators", "table", labels={"survey": ["acceleration: stored results", "cost estimation: look-up"]})
class TableEvaluator:
    """Answers from a tabular benchmark.

    Args:
        benchmark: a registered benchmark's name, or the benchmark.
        metrics: which metrics to answer; all by default. `simulated_s` is always answered as well.
        noisy: return what one training gave; otherwise the mean over seeds where the table has it.
        missing: what to do with an architecture that the table does not list: `raise` or `nan`.

    Raises:
        ConfigurationError: if the benchmark or a metric is unknown.
    """

    deterministic = True
    batched = True
    batched = True

    def __init__(
        self,
        benchmark: str | TableBenchmark,
        metrics: Sequence[str] | None = None,
        *,
        noisy: bool = True,
        missing: str = "raise",
    ) -> None:
        self.benchmark = load(benchmark)
        chosen = tuple(metrics) if metrics is not None else self.benchmark.metrics
        for metric in chosen:
            if metric not in self.benchmark.metrics:
                hint = nearest(metric, self.benchmark.metrics)
                raise ConfigurationError(f"{self.benchmark.name!r} has no metric {metric!r}; {hint}")
        if missing not in ("raise", "nan"):
            raise ConfigurationError(f"missing is 'raise' or 'nan', got {missing!r}")
        self._read = chosen
        self.metrics = (*(m for m in chosen if m != "simulated_s"), "simulated_s")
        self._noisy = noisy
        self._missing = missing

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Look up n architectures.

        Args:
            architectures: of the benchmark's space.
            fidelity: effort; the largest one in the table that does not exceed it is read.
            seed: not used: the table holds one answer.

        Returns:
            metric -> float64 (n,), NaN where the table has no value.

        Raises:
            EvaluationError: if an architecture is not listed and `missing` is `raise`.
        """
        rows = self.benchmark.rows_of(architectures)
        if self._missing == "raise" and (rows < 0).any():
            bad = int(np.flatnonzero(rows < 0)[0])
            raise EvaluationError(
                f"{self.benchmark.name!r} does not list the architecture {architectures.codes[bad].tolist()}; "
                f"it lists {len(self.benchmark.codes)} of its space: search benchmark.codes or use missing='nan'"
            )
        read = self.benchmark.read
        columns = {m: read(m, rows, fidelity=fidelity, true=not self._noisy) for m in self._read}
        columns["simulated_s"] = self.benchmark.duration_s(rows, fidelity)
        return columns


@register("evaluators", "table_scores", labels={"survey": ["acceleration: training-free", "cost estimation: look-up"]})
class TableScores:
    """The free numbers of a benchmark (zero-cost scores) as a cheap evaluator: models may ask for any number of them.

    Args:
        benchmark: a registered benchmark's name, or the benchmark.
        names: which of its features; all by default.

    Raises:
        ConfigurationError: if the benchmark has no such feature.
    """

    deterministic = True
    batched = True
    cheap = True

    def __init__(self, benchmark: str | TableBenchmark, names: Sequence[str] | None = None) -> None:
        self.benchmark = load(benchmark)
        known = self.benchmark.features
        self.metrics = tuple(names) if names is not None else tuple(known)
        for name in self.metrics:
            if name not in known:
                raise ConfigurationError(f"{self.benchmark.name!r} has no score {name!r}; {nearest(name, known)}")
        if not self.metrics:
            raise ConfigurationError(f"{self.benchmark.name!r} has no zero-cost scores; take one of nasbench201-*")

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Metric -> (n,) score, NaN where none is stored."""
        rows = self.benchmark.rows_of(architectures)
        return {name: gather(self.benchmark.features[name], rows) for name in self.metrics}
