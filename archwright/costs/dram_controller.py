"""Memory controller designs on a trace, measured by the event-driven simulator of `archwright.simulators.dram`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwright.costs.base import Columns
from archwright.costs.columns import columns_of
from archwright.errors import ConfigurationError
from archwright.registry import register
from archwright.simulators.dram import OPTIONS, Controller, Request, simulate
from archwright.simulators.dram_traces import synthetic
from archwright.space import Architectures, Space


@register("costs", "dram_controller", labels={"estimation": "simulated"})
class DramController:
    """Latency, power, energy and bandwidth of controller designs; equal designs are simulated once.

    Args:
        space: of `Controller` trees.
        trace: requests, or "stream" or "random".
        requests: length of a named trace.
        gap: mean cycles between the arrivals of a named trace.
        seed: of a named trace.
    """

    metrics = ("latency_ns", "latency_p95_ns", "power_w", "energy_uj", "row_hit_share")
    deterministic = True
    cheap = False

    def __init__(
        self,
        space: Space,
        *,
        trace: str | Sequence[Request] = "stream",
        requests: int = 500,
        gap: float = 12.0,
        seed: int = 0,
    ) -> None:
        if not isinstance(space.tree, Controller):
            raise ConfigurationError(f"expected a space of Controller trees, got {type(space.tree).__name__}")
        self.space = space
        self.trace = list(synthetic(trace, requests, gap=gap, seed=seed) if isinstance(trace, str) else trace)
        self._known: dict[tuple[object, ...], tuple[float, ...]] = {}

    def evaluate(self, architectures: Architectures | np.ndarray, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Metric -> float64 (n,); a fidelity below 1 runs that share of the trace."""
        codes = architectures if isinstance(architectures, np.ndarray) else architectures.codes
        columns = columns_of(self.space, codes)
        trace = self.trace[: max(1, round(fidelity * len(self.trace)))]
        table = np.empty((len(codes), len(self.metrics)))
        for i in range(len(codes)):
            values = {k: columns[k][i].item() if np.ndim(columns[k]) else columns[k] for k in OPTIONS}
            table[i] = self._outcome(values, trace)
        return {metric: table[:, j] for j, metric in enumerate(self.metrics)}

    def _outcome(self, values: dict[str, object], trace: list[Request]) -> tuple[float, ...]:
        key = (len(trace), *values.values())
        if key not in self._known:
            found = simulate(trace, Controller(**values))  # type: ignore[arg-type]
            self._known[key] = tuple(float(getattr(found, m)) for m in self.metrics)
        return self._known[key]


def effective(space: Space, codes: np.ndarray) -> np.ndarray:
    """What a design amounts to, (n, 6), for proxy models: how many requests can wait, and refresh where there is any.

    In powers of two: places in all buffers and in one, both as far as transactions may be active; active transactions
    over places; and how many refreshes may be late or early, -1 without refresh.
    """
    found = columns_of(space, codes)
    column = {k: np.broadcast_to(found[k], (len(codes),)) for k in OPTIONS}
    size, active = np.log2(column["request_buffer_size"]), np.log2(column["max_active_transactions"])
    buffers = np.select([column["scheduler_buffer"] == k for k in ("Bankwise", "ReadWrite")], [4.0, 1.0], 0.0)
    none = column["refresh_policy"] == "NoRefresh"
    late, early = (np.where(none, -1.0, np.log2(column[f"refresh_max_{k}"])) for k in ("postponed", "pulledin"))
    return np.stack(
        [
            np.minimum(size + buffers, active),
            np.minimum(size, active),
            active - size,
            active - size - buffers,
            late,
            early,
        ],
        axis=1,
    )
