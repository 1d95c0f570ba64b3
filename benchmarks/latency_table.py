"""Quality of latency tables on unseen networks, and repeatability of the timing protocol.

python benchmarks/latency_table.py [--seconds 120]
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import torch
from common import finish

from archwright.costs.lut import LatencyTable
from archwright.measure.meter import LatencyMeter
from archwright.nets import build
from archwright.spaces.convnet import convnet


def repeatability(shape: tuple[int, ...], backend: str) -> dict[str, float]:
    space = convnet(shape, 10)
    drawn = space.sample(8, np.random.default_rng(0))
    nets = [build(drawn[i], shape, seed=0) for i in range(8)]
    meter = LatencyMeter(backend)  # type: ignore[arg-type]
    first, second = (np.array([r.median_ms for r in meter.measure(nets, shape)]) for _ in range(2))
    change = 100 * np.abs(second / first - 1)
    return {"median_change_percent": float(np.median(change)), "largest_change_percent": float(change.max())}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=120)
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    out: dict[str, object] = {}
    for name, shape in (("digits", (1, 8, 8)), ("cifar10", (3, 32, 32))):
        for backend in ("onnxruntime", "torch"):
            table = LatencyTable.build(convnet(shape, 10), shape, backend=backend, seconds=seconds)
            r = table.report
            if r is None:
                raise SystemExit("a built table has a report, this one has none")
            print(name, backend, r, file=sys.stderr)
            out[f"{name} {backend}"] = {
                "operators": r.rows,
                "measured": r.measured,
                "unseen_networks": r.checked,
                "median_error_percent": r.median_error_percent,
                "p90_error_percent": r.p90_error_percent,
                "spearman": r.spearman,
                "kendall": r.kendall,
                "seconds": r.seconds,
                "drifted_groups": r.drifted,
                "repeatability": repeatability(shape, backend),
            }
    finish("latency_table", out)


if __name__ == "__main__":
    main()
