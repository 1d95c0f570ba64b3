"""Request traces: streams, random accesses, and the addresses of a real network's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from archwright.errors import ConfigurationError, nearest
from archwright.simulators.dram import Request
from archwright.simulators.dram_device import LINES

if TYPE_CHECKING:
    from archwright.costs.kernels import Kernels

TRACES = ("stream", "random")


def synthetic(kind: str, n: int = 1000, *, gap: float = 12.0, write_share: float = 0.3, seed: int = 0) -> list[Request]:
    """A stream of consecutive lines per thread, or random lines in one gigabyte; two threads.

    Args:
        kind: "stream" or "random".
        n: requests.
        gap: mean cycles between arrivals, exponentially distributed.
        write_share: of requests.
        seed: of the generator.

    Raises:
        ConfigurationError: if the kind is not known or a number is out of range.
    """
    if kind not in TRACES:
        raise ConfigurationError(f"a trace is one of {', '.join(TRACES)}; got {kind!r}; {nearest(kind, TRACES)}")
    if n < 1 or gap <= 0 or not 0 <= write_share <= 1:
        raise ConfigurationError(f"expected n >= 1, gap > 0, write_share in [0, 1]; got {n}, {gap}, {write_share}")
    rng = np.random.default_rng(seed)
    arrival = np.floor(np.cumsum(rng.exponential(gap, n))).astype(int)
    thread = rng.integers(0, 2, n)
    write = rng.random(n) < write_share
    if kind == "random":
        line = rng.integers(0, 1 << 24, n)
    else:
        steps = np.where(thread == 0, np.cumsum(thread == 0), np.cumsum(thread == 1))
        line = steps + thread * ((1 << 20) + 5 * LINES)  # the second thread starts five banks further
    columns = zip(arrival.tolist(), line.tolist(), write.tolist(), thread.tolist(), strict=True)
    return [Request(*c) for c in columns]


def of_network(k: Kernels, n: int = 1000, *, word_b: int = 1, gap: float = 12.0, seed: int = 0) -> list[Request]:
    """Lines that a network moves, kernel after kernel: weights and inputs read by thread 0 and 1, outputs written.

    Tensors lie one after another; a kernel's three streams advance in proportion to their sizes. The whole trace is cut
    into runs of 32 consecutive lines and thinned evenly to about n requests, so that rows and turnarounds are kept.
    """
    rng = np.random.default_rng(seed)
    lines: list[tuple[int, bool, int]] = []
    start = 0
    for weights, inputs, outputs in zip(k.weights, k.inputs, k.outputs, strict=True):
        parts = []
        for thread, (size, write) in enumerate(((weights, False), (inputs, False), (outputs, True))):
            count = int(np.ceil(size * word_b / 64))
            at = (np.arange(count) + 0.5) / max(count, 1)
            parts += [(float(a), start + i, write, min(thread, 1)) for i, a in enumerate(at)]
            start += count
        parts.sort()
        lines += [(line, write, thread) for _, line, write, thread in parts]
    if not lines:
        raise ConfigurationError("the network moves nothing; give one with at least one operator")
    runs = [lines[i : i + 32] for i in range(0, len(lines), 32)]
    keep = max(1, min(len(runs), n // 32))
    chosen = [runs[i] for i in np.linspace(0, len(runs) - 1, keep).astype(int)]
    flat = [line for run in chosen for line in run][:n]
    arrival = np.floor(np.cumsum(rng.exponential(gap, len(flat)))).astype(int)
    return [Request(int(a), line, write, thread) for a, (line, write, thread) in zip(arrival, flat, strict=True)]
