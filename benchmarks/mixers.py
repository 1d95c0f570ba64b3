"""Time of operators without a quadratic or a trained window beside those they replace, forward, one thread.

Max pooling against a depthwise convolution (Han et al., 2022: "faster at little accuracy cost"), and linear against
softmax attention over the number of tokens (Qin et al., 2022). `python benchmarks/mixers.py`
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import torch
from common import finish

from archwright.measure.backends import fixed_threads
from archwright.measure.timing import Protocol, time_functions
from archwright.operators import Attention, Conv, MaxPool
from archwright.operators.base import Leaf, Shape
from archwright.operators.linear_attention import LinearAttention
from archwright.operators.max_pool_mixer import MaxPoolMixer

IMAGES = ((16, 56, 56), (64, 56, 56), (128, 28, 28), (256, 14, 14))
LENGTHS = (64, 256, 1024, 2048)


def times(leaves: dict[str, Leaf], shape: Shape, protocol: Protocol, channels_last: bool) -> dict[str, Any]:
    """Median milliseconds of each leaf on one input of the shape, measured in turns."""
    x = torch.randn(1, *shape)
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    modules = {name: leaf.module(*[shape]).eval() for name, leaf in leaves.items()}
    if channels_last:
        modules = {name: module.to(memory_format=torch.channels_last) for name, module in modules.items()}
    with torch.inference_mode():
        reports = time_functions([partial(module, x) for module in modules.values()], protocol)
    medians = {f"{name}_ms": round(r.median_ms, 4) for name, r in zip(modules, reports, strict=True)}
    return {"shape": list(shape), **medians, "drifted": any(r.drifted for r in reports)}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each operator and shape")
    parser.add_argument("--no-write", action="store_true")
    options = parser.parse_args()
    protocol = Protocol(seconds=options.seconds)
    figures: dict[str, Any] = {"depthwise": [], "attention": []}
    with fixed_threads(1):
        for last in (False, True):
            for shape in IMAGES:
                plain = Conv(shape[0], groups=shape[0], norm="none", activation="identity", bias=False)
                leaves: dict[str, Leaf] = {"depthwise": plain, "max_pool_mixer": MaxPoolMixer(), "max_pool": MaxPool()}
                row = times(leaves, shape, protocol, last)
                row["ratio"] = round(row["max_pool_mixer_ms"] / row["depthwise_ms"], 3)
                figures["depthwise"].append({"channels_last": last, **row})
        for length in LENGTHS:
            leaves = {"softmax": Attention(4, head_dim=32), "linear": LinearAttention(4, 32)}
            row = times(leaves, (length, 128), protocol, False)
            row["macs_ratio"] = round(
                leaves["linear"].counts((length, 128)).macs / leaves["softmax"].counts((length, 128)).macs, 3
            )
            row["ratio"] = round(row["linear_ms"] / row["softmax_ms"], 3)
            figures["attention"].append(row)
    finish("mixers", figures, write=not options.no_write)


if __name__ == "__main__":
    main()
