"""Counts of 10,000 architectures of the demo's space against tracing each on the meta device.

Tracing is timed on a sample of the same architectures. Limit: 100 times faster.
`python benchmarks/counts_speed.py`
"""

from __future__ import annotations

import time

import numpy as np
import torch
from common import finish
from torch.utils.flop_counter import FlopCounterMode

from archwright.costs.counts import Counts
from archwright.nets import build
from archwright.spaces.convnet import convnet

SHAPE = (1, 8, 8)


def traced(architecture) -> tuple[int, int]:
    """Parameters and multiply-accumulates of one network by PyTorch's own counter on the meta device."""
    with torch.device("meta"):
        net = build(architecture, SHAPE).eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            net(torch.empty(1, *SHAPE))
    return sum(p.numel() for p in net.parameters()), counter.get_total_flops() // 2


def main() -> None:
    """Compare values and times."""
    torch.set_num_threads(1)
    space = convnet(SHAPE, 10)
    archs = space.sample(10_000, np.random.default_rng(0))
    cost = Counts(space, SHAPE)
    began = time.process_time()
    columns = cost.evaluate(archs)  # the first call, rows included
    first = time.process_time() - began
    began = time.process_time()
    for _ in range(5):
        cost.evaluate(archs)
    ours = (time.process_time() - began) / 5
    sample = range(0, 10_000, 400)
    traced(archs[0])
    began = time.process_time()
    values = [traced(archs[i]) for i in sample]
    each = (time.process_time() - began) / len(values)
    for i, (params, macs) in zip(sample, values, strict=True):
        if round(columns["params_m"][i] * 1e6) != params or round(columns["macs_m"][i] * 1e6) != macs:
            raise SystemExit(f"architecture {i}: counts and trace differ")
    finish(
        "counts_speed",
        {
            "architectures": len(archs),
            "counts_us_each_first_call": round(first / len(archs) * 1e6, 3),
            "counts_us_each": round(ours / len(archs) * 1e6, 3),
            "trace_us_each": round(each * 1e6, 1),
            "traced": len(values),
            "values_equal": True,
            "ratio": round(each / (ours / len(archs))),
            "ratio_first_call": round(each / (first / len(archs))),
            "limit": 100,
        },
    )


if __name__ == "__main__":
    main()
