"""NAS-Bench-Macro: all 6,561 chains of eight layers on CIFAR-10, three seeds each.

Su et al., "Prioritized Architecture Sampling with Monto-Carlo Tree Search" (2021), section 5.1: three stages of 2, 3
and 3 layers, each layer an identity, an inverted residual 3x3 with expansion 3 or one 5x5 with expansion 6; the first
layer of a stage halves the size and doubles the channels (an identity is then a 1x1 convolution). A query returns the
first seed's accuracy, comparisons are scored on the mean of the three.
"""

from __future__ import annotations

import numpy as np

from archwright.benchmarks.columns import open_columns
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.mbconv import MBConv
from archwright.operators.sequential import Sequential
from archwright.operators.skip import Skip
from archwright.registry import register
from archwright.space import Space, oneof

FILE = "nasbench/nbmacro_cifar10.npz"
STAGES = (2, 3, 3)


def make_space() -> Space:
    """The 3^8 networks; code k of a decision is digit k of the table's name."""
    channels, parts = 32, [Conv(32)]
    for depth in STAGES:
        channels *= 2
        for i in range(depth):
            stride = 2 if i == 0 else 1
            same = Conv(channels, 1, 2, activation="identity") if i == 0 else Skip()
            small = MBConv(channels, 3, stride, 3, activation="relu")
            large = MBConv(channels, 5, stride, 6, activation="relu")
            parts.append(oneof(same, small, large, name=f"layer{len(parts) - 1}"))  # type: ignore[arg-type]
    return Space(Sequential((*parts, Conv(1280, 1), Classifier(10))))


def listed() -> np.ndarray:
    """(6561, 8) codes."""
    return open_columns(FILE)["arch"]


@register("benchmarks", "nasbench-macro", labels={"members": 6561, "listed": "all", "data": "images"})
def nasbench_macro() -> TableBenchmark:
    """NAS-Bench-Macro on CIFAR-10."""
    return TableBenchmark(
        name="nasbench-macro",
        make_space=make_space,
        listed=listed,
        observed={
            "accuracy_percent": Measured(FILE, "test_acc", part=0),
            "params_m": Measured(FILE, "params", 1e-6),
            "macs_m": Measured(FILE, "flops", 1e-6),
        },
        goal="accuracy_percent",
        truth={"accuracy_percent": Measured(FILE, "mean_acc")},
        note=__doc__ or "",
    )
