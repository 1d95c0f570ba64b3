"""Accel-NASBench: 5,138 MnasNet-like networks trained on ImageNet with a cheap recipe, and their speed on accelerators.

Ahmad et al., "Accel-NASBench: Sustainable Benchmarking for Accelerator-Aware NAS" (2024), section 3: seven blocks, each
with expansion, kernel, number of layers and squeeze-and-excitation. Architectures that occur twice count once, with
what was measured first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from archwright.benchmarks.columns import open_columns
from archwright.benchmarks.decode import cached_codes, codes_of
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.mbconv import MBConv
from archwright.operators.sequential import Sequential
from archwright.registry import register
from archwright.space import Space, oneof, repeat

FILE = "nasbench/anb_mnv_imagenet.npz"
WIDTHS = (16, 24, 40, 80, 112, 192, 320)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
MOST_LAYERS = (3, 3, 3, 3, 3, 4, 3)


def make_space() -> Space:
    """Seven blocks; all layers of a block share expansion, kernel and gate."""
    parts: list[Any] = [Conv(32, stride=2, activation="silu")]
    for i, (width, stride, most) in enumerate(zip(WIDTHS, STRIDES, MOST_LAYERS, strict=True)):
        expand, kernel = oneof(1, 4, 6, name=f"block{i}_e"), oneof(3, 5, name=f"block{i}_k")
        gate = oneof(0.0, 0.25, name=f"block{i}_se")
        parts.append(MBConv(width, kernel, stride, expand, se=gate, activation="silu"))
        again = MBConv(width, kernel, 1, expand, se=gate, activation="silu")
        parts.append(repeat(again, times=oneof(*range(most), name=f"block{i}_l")))
    return Space(Sequential((*parts, Conv(1280, 1, activation="silu"), Classifier(1000))))


def _decoded() -> np.ndarray:
    table = open_columns(FILE)
    fields = [str(name) for name in table["arch_fields"]]
    arch = np.asarray(table["arch"])

    def field(decision: Any) -> np.ndarray:
        values = arch[:, fields.index(decision.label)]
        kind = decision.label.split("_")[1]
        return values * 0.25 if kind == "se" else values - 1 if kind == "l" else values

    return codes_of(make_space(), len(arch), field)


@register("benchmarks", "accel-nasbench", labels={"listed": 5125, "data": "images"})
def accel_nasbench() -> TableBenchmark:
    """MnasNet-like networks on ImageNet."""
    throughput = {f"{d}_throughput_per_s": f"throughput_{d}" for d in ("3090", "tpuv2", "tpuv3", "vck190")}
    return TableBenchmark(
        name="accel-nasbench",
        make_space=make_space,
        listed=lambda: cached_codes(FILE, _decoded),
        observed={
            "accuracy_percent": Measured(FILE, "val_top1"),
            "top5_accuracy_percent": Measured(FILE, "val_top5"),
            "vck190_latency_ms": Measured(FILE, "latency_vck190"),
            "params_m": Measured(FILE, "params"),
            "macs_m": Measured(FILE, "macs"),
            **{metric: Measured(FILE, column) for metric, column in throughput.items()},
        },
        goal="accuracy_percent",
        seconds={1.0: Measured(FILE, "train_time")},
        note=__doc__ or "",
    )
