"""Latency measured on this machine as an evaluator, by the protocol of `archwright.measure`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from archwright.measure.backends import Backend
from archwright.measure.meter import LatencyMeter
from archwright.measure.timing import LatencyReport, Protocol
from archwright.nets.build import build
from archwright.operators.base import Shape
from archwright.registry import register
from archwright.space import Architecture, Architectures

Columns = dict[str, np.ndarray]
GROUP = 8  # networks that are measured in turns and held in memory together


@register(
    "evaluators", "measured", labels={"cost": "seconds", "survey": ["cost estimation: measurement and simulation"]}
)
class MeasuredLatency:
    """Build each network with fresh weights and time it.

    Weights do not change the time of dense operators, so nothing is trained. Values differ a little each time;
    `reports` of the last call say how much.

    Args:
        input_shapes: of each network input, without the batch axis.
        backend: `onnxruntime`, `torch` or `torch-compile`.
        threads: fixed number of threads.
        batch: examples a run; the time is that of the whole batch.
        protocol: how long and how often; 0.1 s of counted runs when None.
        device: for the torch backends.
    """

    deterministic = False
    metrics: tuple[str, ...] = ("latency_ms", "latency_p95_ms")

    def __init__(
        self,
        *input_shapes: Shape,
        backend: Backend = "onnxruntime",
        threads: int = 1,
        batch: int = 1,
        protocol: Protocol | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.input_shapes = input_shapes
        self.meter = LatencyMeter(
            backend, threads=threads, batch=batch, protocol=protocol or Protocol(seconds=0.1), device=device
        )
        self.reports: list[LatencyReport] = []

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Time n architectures, see `Evaluator.evaluate`; fidelity and seed have no meaning here."""
        self.reports = self.measure([architectures[i] for i in range(len(architectures))])
        return {
            "latency_ms": np.array([r.median_ms for r in self.reports], dtype=np.float64),
            "latency_p95_ms": np.array([r.p95_ms for r in self.reports], dtype=np.float64),
        }

    def measure(self, architectures: Sequence[Architecture]) -> list[LatencyReport]:
        """Reports of architectures, timed in turns within groups of eight."""
        reports: list[LatencyReport] = []
        for start in range(0, len(architectures), GROUP):
            nets = [build(a, *self.input_shapes) for a in architectures[start : start + GROUP]]
            reports.extend(self.meter.measure(nets, *self.input_shapes))
        return reports
