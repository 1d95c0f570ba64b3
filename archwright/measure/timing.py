"""The timing protocol of `archwright.measure`, for any functions."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from archwright.errors import ConfigurationError
from archwright.measure.backends import Runner

Clock = Callable[[], int]  # nanoseconds


@dataclass(frozen=True)
class Protocol:
    """How long and how often.

    Attributes:
        repeats: fewest counted runs of each function.
        seconds: counted time of each function, the repeats permitting.
        block_ms: length of one turn.
        warmup_blocks: warm-up ends when the medians of this many last blocks agree ...
        agree: ... within this share, ...
        warmup_seconds: ... or after this time.
        max_drift_percent: of the reference kernel; beyond it all is measured again.
        attempts: measurements at most.
    """

    repeats: int = 50
    seconds: float = 0.2
    block_ms: float = 5.0
    warmup_blocks: int = 3
    agree: float = 0.03
    warmup_seconds: float = 0.3
    max_drift_percent: float = 5.0
    attempts: int = 2

    def __post_init__(self) -> None:
        for name in ("repeats", "seconds", "block_ms", "warmup_blocks", "agree", "warmup_seconds", "attempts"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} of a timing protocol must be positive, got {getattr(self, name)}")


@dataclass(frozen=True)
class LatencyReport:
    """Timing of one function.

    Attributes:
        median_ms: of single runs.
        p95_ms: 95th percentile of single runs.
        iqr_ms: interquartile range of single runs.
        minimum_ms: of single runs.
        repeats: counted runs.
        warmup_runs: runs before them.
        drift_percent: change of the reference kernel from before to after.
        drifted: whether the last attempt still drifted beyond the protocol's limit.
        reference_ms: the reference kernel's median, to compare machines and days.
        backend: what ran it.
        threads: it could use.
        batch: examples a run.
    """

    median_ms: float
    p95_ms: float
    iqr_ms: float
    minimum_ms: float
    repeats: int
    warmup_runs: int
    drift_percent: float
    drifted: bool
    reference_ms: float
    backend: str = "function"
    threads: int = 1
    batch: int = 1

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def time_functions(
    functions: Sequence[Runner],
    protocol: Protocol | None = None,
    *,
    seed: int = 0,
    clock: Clock = time.perf_counter_ns,
    labels: tuple[str, int, int] = ("function", 1, 1),
) -> list[LatencyReport]:
    """Time functions in turns, see `archwright.measure`.

    Args:
        functions: without arguments.
        protocol: the default one when None.
        seed: of the order of turns.
        clock: nanoseconds.
        labels: backend, threads and batch for the reports.
    """
    protocol = protocol or Protocol()
    reference = _reference_kernel()
    drift, before, samples = 0.0, 0.0, list[np.ndarray]()
    collecting = gc.isenabled()
    gc.disable()  # a collection in a timed run would be counted
    try:
        warm = [_warm_up(f, protocol, clock) for f in functions]
        for _ in range(protocol.attempts):
            before = _reference_ms(reference, clock)
            samples = _turns(functions, warm, protocol, np.random.default_rng(seed), clock)
            drift = 100.0 * (_reference_ms(reference, clock) / before - 1.0)
            if abs(drift) <= protocol.max_drift_percent:
                break
    finally:
        if collecting:
            gc.enable()
    drifted = abs(drift) > protocol.max_drift_percent
    backend, threads, batch = labels
    return [
        _report(s, w.runs, drift, drifted, before, backend, threads, batch) for s, w in zip(samples, warm, strict=True)
    ]


def _report(
    ns: np.ndarray, warmup: int, drift: float, drifted: bool, reference: float, backend: str, threads: int, batch: int
) -> LatencyReport:
    ms = ns * 1e-6
    low, middle, high, tail = np.percentile(ms, [25, 50, 75, 95])
    return LatencyReport(
        median_ms=float(middle),
        p95_ms=float(tail),
        iqr_ms=float(high - low),
        minimum_ms=float(ms.min()),
        repeats=len(ms),
        warmup_runs=warmup,
        drift_percent=drift,
        drifted=drifted,
        reference_ms=reference,
        backend=backend,
        threads=threads,
        batch=batch,
    )


@dataclass(frozen=True)
class _Warm:
    """A warmed-up function: its typical time and the runs that took."""

    ns: float
    runs: int


def _runs(function: Runner, count: int, clock: Clock) -> np.ndarray:
    out = np.empty(count)
    for i in range(count):
        start = clock()
        function()
        out[i] = clock() - start
    return out


def _warm_up(function: Runner, protocol: Protocol, clock: Clock) -> _Warm:
    started, medians, runs = clock(), list[float](), 0
    count = 1
    while True:
        medians.append(float(np.median(_runs(function, count, clock))))
        runs += count
        last = medians[-protocol.warmup_blocks :]
        settled = len(last) == protocol.warmup_blocks and max(last) <= (1 + protocol.agree) * min(last)
        if settled or (clock() - started) * 1e-9 > protocol.warmup_seconds:
            return _Warm(max(medians[-1], 1.0), runs)
        count = int(np.clip(protocol.block_ms * 1e6 / max(medians[-1], 1.0), 1, 200))


def _turns(
    functions: Sequence[Runner], warm: Sequence[_Warm], protocol: Protocol, rng: np.random.Generator, clock: Clock
) -> list[np.ndarray]:
    """Nanoseconds of the counted runs of each function."""
    blocks = [int(np.clip(protocol.block_ms * 1e6 / w.ns, 1, 200)) for w in warm]
    found: list[list[np.ndarray]] = [[] for _ in functions]
    spent, counted = np.zeros(len(functions)), np.zeros(len(functions), dtype=int)
    while True:
        todo = np.flatnonzero((counted < protocol.repeats) | (spent < protocol.seconds * 1e9))
        if not len(todo):
            return [np.concatenate(f) for f in found]
        for i in rng.permutation(todo):
            functions[i]()  # caches and clocks belong to the function before
            if blocks[i] > 2:
                functions[i]()
            times = _runs(functions[i], blocks[i], clock)
            found[i].append(times)
            spent[i] += times.sum()
            counted[i] += len(times)


def _reference_kernel() -> Runner:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(160, 160, generator=generator) for _ in range(2))
    return lambda: torch.mm(left, right)


def _reference_ms(kernel: Runner, clock: Clock) -> float:
    for _ in range(20):
        kernel()
    return max(float(np.median(_runs(kernel, 200, clock))), 1.0) * 1e-6  # a clock may be too coarse to see it


__all__ = ["LatencyReport", "Protocol", "time_functions"]
