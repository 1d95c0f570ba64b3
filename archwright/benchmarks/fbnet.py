"""FBNet: measured latency of 5,000 members of the 22-layer space on 19 device and batch pairs.

Wu et al., "FBNet" (2019), Table 1 and 2: nine candidates a layer. Latencies: HELP (Lee et al., 2021); training-free
scores: Akhauri & Abdelfattah (NASFLAT, 2024). The table has no accuracy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from archwright.benchmarks.columns import ColumnFolder, open_columns
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.operators.base import Operator
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.mbconv import MBConv
from archwright.operators.residual import Residual
from archwright.operators.sequential import Sequential
from archwright.operators.skip import Skip
from archwright.registry import register
from archwright.space import Space, oneof

FILE = "nasbench/fbnet_latency_help.npz"
SCORES = "nasbench/fbnet_zcp_nasflat.npz"
DEVICES = (
    *(f"{d}_{b}" for d in ("1080ti", "2080ti", "titanx", "titanxp") for b in (1, 32, 64)),
    "essential_ph_1", "eyeriss", "gold_6240", "pixel3", "samsung_s7", "silver_4114", "silver_4210r",
)  # fmt: skip
STAGES = ((16, 1, 1), (24, 4, 2), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))
NAMES = ("epe_nas", "fisher", "grad_norm", "grasp", "jacob_cov", "l2_norm", "nwot", "plain", "snip", "synflow", "zen")
COLUMNS = {"jacob_cov": "jacov", "synflow": "log10_synflow"}


def _grouped(inputs: int, width: int, kernel: int, stride: int) -> Operator:
    """Expansion 1 and two groups in both 1x1 convolutions; the shuffle between them is left out."""
    body = Sequential(
        (
            Conv(inputs, 1, groups=2),
            Conv(inputs, kernel, stride, groups=inputs),
            Conv(width, 1, groups=2, activation="identity"),
        )
    )
    return Residual(body) if stride == 1 and inputs == width else body


def candidates(inputs: int, width: int, stride: int) -> tuple[Operator, ...]:
    """The nine operators of a layer in the order of the table."""
    found: list[Operator] = []
    for kernel in (3, 5):
        plain = [MBConv(width, kernel, stride, e, activation="relu") for e in (1, 3, 6)]
        found += [plain[0], _grouped(inputs, width, kernel, stride), *plain[1:]]
    return (*found, Skip(stride, width))


def make_space() -> Space:
    """The 9^22 networks of FBNet on ImageNet; code k of a layer is candidate k."""
    parts: list[Any] = [Conv(16, stride=2)]
    inputs, layer = 16, 0
    for width, depth, first in STAGES:
        for i in range(depth):
            parts.append(oneof(*candidates(inputs, width, first if i == 0 else 1), name=f"layer{layer}"))
            inputs, layer = width, layer + 1
    return Space(Sequential((*parts, Conv(1984, 1), Classifier(1000))))


def _scores(file: str) -> dict[str, np.ndarray]:
    """The scores in the order of the latency table."""
    stored: ColumnFolder = open_columns(file)
    order = np.argsort(np.asarray(stored["help_index"]), kind="stable")
    return {name: np.asarray(stored[COLUMNS.get(name, name)])[order] for name in NAMES}


@register("benchmarks", "fbnet-latency", labels={"listed": 5000, "data": "images"})
def fbnet_latency() -> TableBenchmark:
    """Latency of FBNet members."""
    return TableBenchmark(
        name="fbnet-latency",
        make_space=make_space,
        listed=lambda: open_columns(FILE)["arch"],
        observed={f"{d}_latency_ms": Measured(FILE, f"lat_{d}") for d in DEVICES},
        goal="1080ti_1_latency_ms",
        maximize=False,
        features={f"{n}_score": Measured(SCORES, n, opened=_scores) for n in NAMES},
        note=__doc__ or "",
    )
