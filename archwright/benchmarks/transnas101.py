"""711 of the 4,096 cells of TransNAS-Bench-101 (micro) on five tasks of computer vision, with twelve zero-cost scores.

Duan et al., "TransNAS-Bench-101" (2021), section 3: cells as those of NAS-Bench-201 without pooling. The accuracies and
scores are those of NAS-Bench-Suite-Zero (Krishnakumar et al., 2022), one training a cell. Operators and edges were read
off the table itself: its parameters are an exact sum over edges, and the cells that this reading leaves without a path
are those that answer at chance. The space is that of the cells within the network of NAS-Bench-201; the published
network around them is another one, so numbers of parameters are among the scores and not among the metrics.
"""

from __future__ import annotations

import ast
import json
import lzma
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from archwright.benchmarks.columns import ColumnFolder, open_columns
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.registry import register
from archwright.space import Space
from archwright.spaces.nasbench201 import nasbench201

FILE = "nasbench/tnb101_micro_zcp.json.xz"
SCORES = (
    "epe_nas", "fisher", "flops", "grad_norm", "grasp", "jacov", "l2_norm", "nwot", "params", "plain", "snip",
)  # fmt: skip


def make_space() -> Space:
    """The 4,096 cells; code k of a decision is operator k of the table: none, skip, 1x1, 3x3."""
    whole = nasbench201()
    return whole.restrict({d.label: d.options[:4] for d in whole.decisions})


def read_json(path: Path) -> Mapping[str, np.ndarray]:
    """Codes (711, 6), accuracies and scores (711,) of every task."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        tasks = json.load(file)
    columns: dict[str, np.ndarray] = {}
    for task, table in tasks.items():
        columns[f"{task}_codes"] = np.array([ast.literal_eval(text) for text in table["arch"]], np.int16)
        for name in ("val_accuracy", *SCORES):
            columns[f"{task}_{name}"] = np.array(table[name], np.float64)
    return columns


def _open(file: str) -> ColumnFolder:
    return open_columns(file, read_json)


def _benchmark(task: str, metric: str) -> TableBenchmark:
    def column(name: str) -> Measured:
        return Measured(FILE, f"{task}_{name}", opened=_open)

    return TableBenchmark(
        name=f"transnas101-{task}".replace("_", "-"),
        make_space=make_space,
        listed=lambda: _open(FILE)[f"{task}_codes"],
        observed={metric: column("val_accuracy")},
        goal=metric,
        features={f"{name}_score": column(name) for name in SCORES},
        note=__doc__ or "",
    )


@register("benchmarks", "transnas101-class-scene", labels={"members": 4096, "listed": 711, "data": "images"})
def class_scene() -> TableBenchmark:
    """TransNAS-Bench-101 cells on scene classification."""
    return _benchmark("class_scene", "accuracy_percent")


@register("benchmarks", "transnas101-class-object", labels={"members": 4096, "listed": 711, "data": "images"})
def class_object() -> TableBenchmark:
    """TransNAS-Bench-101 cells on object classification."""
    return _benchmark("class_object", "accuracy_percent")


@register("benchmarks", "transnas101-room-layout", labels={"members": 4096, "listed": 711, "data": "images"})
def room_layout() -> TableBenchmark:
    """TransNAS-Bench-101 cells on room layouts; the score is minus the loss."""
    return _benchmark("room_layout", "layout_score")


@register("benchmarks", "transnas101-autoencoder", labels={"members": 4096, "listed": 711, "data": "images"})
def autoencoder() -> TableBenchmark:
    """TransNAS-Bench-101 cells as autoencoders, by structural similarity."""
    return _benchmark("autoencoder", "ssim_score")


@register("benchmarks", "transnas101-normal", labels={"members": 4096, "listed": 711, "data": "images"})
def normal() -> TableBenchmark:
    """TransNAS-Bench-101 cells on surface normals, by structural similarity."""
    return _benchmark("normal", "ssim_score")
