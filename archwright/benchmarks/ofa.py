"""Once-for-All MobileNetV3: measured latency of 5,000 sub-networks on eight device and batch pairs.

Cai et al., "Once-for-All" (2020), section 4.1: five stages of two to four inverted residuals, kernel 3, 5 or 7 and
expansion 3, 4 or 6 of each, input resolution 128 to 224. Latencies: HELP (Lee et al., 2021). The table has no accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from archwright.benchmarks.columns import open_columns
from archwright.benchmarks.decode import cached_codes, codes_of
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.operators.base import Operator
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.mbconv import MBConv
from archwright.operators.sequential import Sequential
from archwright.registry import register
from archwright.space import Space, between, oneof, repeat

FILE = "nasbench/ofa_latency_help.npz"
DEVICES = tuple(f"{d}_{b}" for d in ("2080ti", "titan_xp", "v100") for b in (1, 32, 64))
DEVICES = tuple(d for d in DEVICES if d != "v100_64")
WIDTHS = (24, 40, 80, 112, 160)
STRIDES = (2, 2, 2, 1, 2)
GATES = (0.0, 0.25, 0.0, 0.25, 0.25)
ACTIVATIONS = ("relu", "relu", "hswish", "hswish", "hswish")


@dataclass(frozen=True)
class Resized:
    """A network and the resolution of its images."""

    resolution: int
    network: Operator


def make_space() -> Space:
    """The sub-networks of the MobileNetV3 supernet of width 1.0."""
    parts: list[Any] = [Conv(16, stride=2, activation="hswish"), MBConv(16, expand=1, activation="relu")]
    for s, (width, stride, gate, act) in enumerate(zip(WIDTHS, STRIDES, GATES, ACTIVATIONS, strict=True)):
        kernel, expand = oneof(3, 5, 7, name=f"kernel_{s}_0"), oneof(3, 4, 6, name=f"expand_{s}_0")
        parts.append(MBConv(width, kernel, stride, expand, se=gate, activation=act, gate="hsigmoid"))
        block = MBConv(width, oneof(3, 5, 7), 1, oneof(3, 4, 6), se=gate, activation=act, gate="hsigmoid")
        parts.append(repeat(block, times=oneof(1, 2, 3, name=f"depth_{s}")))
    parts.append(Conv(960, 1, activation="hswish"))
    parts.append(Classifier(1000, hidden=1280, activation="hswish"))
    return Space(Resized(between(128, 224, 4, name="resolution"), Sequential(tuple(parts))))


def _decoded() -> np.ndarray:
    table = open_columns(FILE)
    stage_of = {}
    space = make_space()
    for d in space.decisions:  # paths of a repeat begin with that of its depth
        if d.label.startswith("depth_"):
            stage_of[d.path.removesuffix(".times")] = int(d.label[-1])

    def field(d: Any) -> np.ndarray:
        if d.label == "resolution":
            return np.asarray(table["r"])
        if d.label.startswith("depth_"):
            return np.asarray(table["d"][:, int(d.label[-1])]) - 1
        if d.name is not None:
            stage, layer, what = int(d.name.split("_")[1]), 0, d.name.split("_")[0]
        else:
            repeated, _, rest = d.path.partition("#")
            copy, _, what = rest.partition(".")
            stage, layer = stage_of[repeated], int(copy) + 1
        return np.asarray(table["ks" if what == "kernel" else "e"][:, 4 * stage + layer])

    return codes_of(space, len(table["r"]), field)


@register("benchmarks", "ofa-latency", labels={"listed": 5000, "data": "images"})
def ofa_latency() -> TableBenchmark:
    """Latency of Once-for-All sub-networks."""
    return TableBenchmark(
        name="ofa-latency",
        make_space=make_space,
        listed=lambda: cached_codes(FILE, _decoded),
        observed={f"{d}_latency_ms": Measured(FILE, f"lat_{d}") for d in DEVICES},
        goal="2080ti_1_latency_ms",
        maximize=False,
        note=__doc__ or "",
    )
