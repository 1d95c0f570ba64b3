"""Throughput of the hardware models on one core, against the targets.

    OMP_NUM_THREADS=1 python benchmarks/hardware_speed.py [--seconds 2] [--no-write]

Designs are drawn at random; each figure is the median of repeated runs over 2^18 designs in pieces that stay in the
cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import finish

from archwright.costs import dataflow, decoder, fpga, llm, systolic
from archwright.costs.llm_operators import Split, Widths

N = 1 << 18
PIECE = 1 << 13
TARGETS = {
    "systolic.all_outputs": 2e6, "systolic.cycles_only": 10e6, "llm.genz_latency": 0.5e6, "llm.serve": 0.5e6,
    "dataflow.nvdla": 1e6, "dataflow.shidiannao": 1e6, "dataflow.eyeriss": 1e6,
}  # fmt: skip


def draws(rng: np.random.Generator, *highs: int) -> list[np.ndarray]:
    """Random positive integers as float64."""
    return [rng.integers(1, high + 1, N).astype(float) for high in highs]


def pieces(call: Callable[[slice], Any]) -> Callable[[], None]:
    """Run a function over all designs in pieces."""

    def run() -> None:
        for start in range(0, N, PIECE):
            call(slice(start, start + PIECE))

    return run


def rate(call: Callable[[], Any], seconds: float) -> dict[str, float]:
    """Designs per second: median over runs for about `seconds`, and the spread."""
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return {"per_s": N / statistics.median(times), "best_per_s": N / min(times), "runs": len(times)}


def workloads() -> dict[str, Callable[[], Any]]:
    """Every measured function over N random designs."""
    rng = np.random.default_rng(0)
    geometry = systolic.Window(*draws(rng, 64, 64, 7, 7, 512, 2))
    filters, rows, cols, *buffers = draws(rng, 512, 128, 128, 1 << 20, 1 << 20, 1 << 20)
    codes = rng.integers(0, 3, N)
    n_out, window = geometry.height * geometry.width, geometry.kernel_height * geometry.kernel_width * geometry.channels
    layer = dataflow.Conv(*draws(rng, 512, 512, 7, 7, 60, 60, 2))
    pes, noc, memory, buffer = draws(rng, 4096, 512, 64, 1 << 20)
    shape = decoder.Decoder(*draws(rng, 8192, 80, 64, 8, 128, 28672), gates=2.0, vocab=32000.0)
    rates = [a * b for a, b in zip(draws(rng, 1000, 5000), (1e12, 1e9), strict=True)]
    batch, tokens = draws(rng, 64, 4096)
    names = decoder.field_names()

    def cut(values: Any, s: slice) -> Any:
        return values[s] if np.ndim(values) else values

    def model(s: slice) -> decoder.Decoder:
        return decoder.Decoder(**{n: cut(getattr(shape, n), s) for n in names})

    def device(s: slice) -> llm.Device:
        return llm.Device(rates[0][s], rates[1][s], 1e12, 1e11, 1e-6)

    def engine(s: slice) -> dataflow.Engine:
        return dataflow.Engine(pes[s], noc[s], memory[s], buffer[s])

    def conv(s: slice) -> dataflow.Conv:
        return dataflow.Conv(*(cut(v, s) for v in layer))

    def genz(s: slice) -> Any:
        return llm.genz_latency_s(model(s), device(s), batch[s], tokens[s], "bf16", decode=True)

    def serve(s: slice) -> Any:
        return llm.serve(
            model(s), device(s), batch=batch[s], input_tokens=tokens[s], output_tokens=128.0,
            widths=Widths(2.0, 2.0, 2.0), split=Split(),
        )  # fmt: skip

    found: dict[str, Callable[[], Any]] = {
        "systolic.all_outputs": lambda: systolic.run(geometry, filters, rows, cols, codes, tuple(buffers)),
        "systolic.all_outputs_one_dataflow": lambda: systolic.run(geometry, filters, rows, cols, "ws", tuple(buffers)),
        "systolic.cycles_only": pieces(
            lambda s: systolic.cycles_of(n_out[s], window[s], filters[s], rows[s], cols[s], codes[s])
        ),
        "llm.genz_latency": pieces(genz),
        "llm.serve": pieces(serve),
        "fpga.latency": pieces(lambda s: fpga.latency(conv(s), fpga.Build(pes[s], 16.0, 3.0, 2e8, 19.2e9))),
    }
    for template in dataflow.TEMPLATES:
        found[f"dataflow.{template}"] = pieces(lambda s, t=template: dataflow.run(conv(s), t, engine(s)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="per figure")
    parser.add_argument("--no-write", action="store_true", help="print only")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    figures = {name: rate(call, arguments.seconds) for name, call in workloads().items()}
    for name, target in TARGETS.items():
        figures[name] |= {"target_per_s": target, "met": figures[name]["per_s"] >= target}
    finish("hardware_speed", {"designs": N, "throughput": figures}, write=not arguments.no_write)


if __name__ == "__main__":
    main()
