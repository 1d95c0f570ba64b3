"""Proxy model of the memory controller space: error on unseen designs, and speed against the simulator.

    OMP_NUM_THREADS=1 python benchmarks/dram_proxy.py [--designs 30000] [--requests 500] [--trace stream|random|network]

Designs are drawn uniformly from all 442,368; a fifth is held out. Target: RMSE <= 1 %, 2000 times the simulator's
speed, predicting designs in batches.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import finish
from networks import resnet

from archwright.costs.dram_controller import effective
from archwright.costs.kernels import Kernels
from archwright.environments.proxy import Proxy
from archwright.registry import get
from archwright.simulators.dram import controller_space
from archwright.simulators.dram_traces import of_network
from archwright.space import Space

METRICS = ("latency_ns", "power_w", "energy_uj")


def resnet_kernels() -> Kernels:
    """ResNet-50's tensors, for their addresses."""
    f, c, k, o, s = np.array(resnet((3, 4, 6, 3)), dtype=float).T
    one = np.ones_like(f)
    return Kernels(
        0 * one, o, o, k, k, c, f, s, one, one, c * (o * s) ** 2, f * c * k * k, f * o * o, np.zeros(len(f), dtype=int)
    )


def simulated(cost: Any, codes: np.ndarray, keep: Path | None) -> tuple[dict[str, np.ndarray], float]:
    """Metrics of the designs and seconds a design, from `keep` where it holds these designs."""
    if keep is not None and keep.exists():
        stored = dict(np.load(keep))
        if np.array_equal(stored.pop("codes"), codes):
            seconds = float(stored.pop("simulator_s"))
            return stored, seconds
    start = time.perf_counter()
    columns = cost.evaluate(codes)
    seconds = (time.perf_counter() - start) / len(codes)
    if keep is not None:
        np.savez(keep, codes=codes, simulator_s=seconds, **columns)
    return columns, seconds


def per_design(proxy: Proxy, codes: np.ndarray, batch: int) -> float:
    """Seconds a design in batches of this size, the median of seven."""
    times = []
    for k in range(7):
        part = codes[k * batch % len(codes) :][:batch]
        start = time.perf_counter()
        proxy.evaluate(part)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) / batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", type=int, default=30000)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--trace", default="stream", choices=["stream", "random", "network"])
    parser.add_argument("--trees", type=int, default=800)
    parser.add_argument("--keep", type=Path, help="file that keeps the simulated designs for a further run")
    parser.add_argument("--no-write", action="store_true")
    a = parser.parse_args()
    space = Space(controller_space())
    trace = of_network(resnet_kernels(), a.requests) if a.trace == "network" else a.trace
    cost = get("costs", "dram_controller")(space, trace=trace, requests=a.requests)
    codes = space.sample(a.designs, np.random.default_rng(0)).codes
    columns, simulated_s = simulated(cost, codes, a.keep)
    cut = int(0.8 * a.designs)
    known, unseen = ({m: v[s] for m, v in columns.items()} for s in (slice(cut), slice(cut, None)))
    start = time.perf_counter()
    proxy = Proxy(space, METRICS, trees=a.trees, features=partial(effective, space)).fit(codes[:cut], known)
    fit_s = time.perf_counter() - start
    many = space.sample(100_000, np.random.default_rng(1)).codes
    seconds = {n: per_design(proxy, many, n) for n in (1, 100, 1000, 100_000)}
    figures = {
        "trace": a.trace,
        "requests": a.requests,
        "designs": {"known": cut, "unseen": a.designs - cut},
        "error": proxy.error_percent(codes[cut:], unseen),
        "ranges": {m: [float(columns[m].min()), float(columns[m].max())] for m in METRICS},
        "simulator_s_per_design": simulated_s,
        "proxy_s_per_design_in_batches_of": seconds,
        "times_faster_in_batches_of": {n: simulated_s / s for n, s in seconds.items()},
        "fit_s": fit_s,
        "fit_in_simulated_designs": fit_s / simulated_s,
    }
    finish(f"dram_proxy_{a.trace}", figures, write=not a.no_write)


if __name__ == "__main__":
    main()
