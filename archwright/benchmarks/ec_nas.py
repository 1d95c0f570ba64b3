"""EC-NAS: NAS-Bench-101 cells of up to four vertices with accuracy and energy after 4, 12, 36 and 108 epochs.

Bakhtiarifard et al., "EC-NAS: Energy Consumption Aware Tabular Benchmarks for NAS" (2024), section 3, on the cells of
Ying et al., "NAS-Bench-101" (2019), section 2: a directed acyclic graph from input to output whose inner vertices are
1x1 or 3x3 convolutions or 3x3 max pooling. The table names graphs up to isomorphism and without vertices that are on no
path; every code that stands for one of them is listed here. A query returns the first of three repeats, comparisons are
scored on their mean. Energy is what the measured training used, on a Quadro RTX 6000.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from archwright.benchmarks.columns import ColumnFolder, open_columns
from archwright.benchmarks.decode import derived
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.registry import register
from archwright.space import Space, oneof

FOUR = "nasbench/ecnas101_4v_quadrortx6000_full.npz"
FIVE = "nasbench/ecnas101_5v_quadrortx6000.npz"
OPERATORS = ("conv1x1", "conv3x3", "maxpool3x3")  # 1, 2, 3 in the table; 0 is the input, 4 the output
EPOCHS = (4, 12, 36, 108)

Key = tuple[tuple[int, ...], bytes]


@dataclass(frozen=True)
class GraphCell:
    """Upper triangle of the adjacency matrix row by row, and the operators of the inner vertices."""

    edges: tuple[bool, ...]
    operators: tuple[str, ...]


def make_space(vertices: int) -> Space:
    """Every upper triangular matrix with every labelling; most codes share their graph with others."""
    pairs = itertools.combinations(range(vertices), 2)
    edges = tuple(oneof(False, True, name=f"edge_{i}_{j}") for i, j in pairs)
    inner = tuple(oneof(*OPERATORS, name=f"vertex_{i}") for i in range(1, vertices - 1))
    return Space(GraphCell(edges, inner))


def graph_key(adjacency: np.ndarray, labels: np.ndarray) -> Key | None:
    """What isomorphic graphs share, vertices on no path removed; None if no path joins input and output.

    Args:
        adjacency: (v, v) upper triangular 0/1.
        labels: (v,) operator numbers, 0 first and 4 last.
    """
    v = len(labels)
    reach = np.linalg.matrix_power(adjacency.astype(np.int64) + np.eye(v, dtype=np.int64), v) > 0
    keep = np.flatnonzero(reach[0] & reach[:, v - 1])
    if not reach[0, v - 1]:
        return None
    small, names = adjacency[np.ix_(keep, keep)], labels[keep]
    inner = range(1, len(keep) - 1)
    orders = (np.array([0, *p, len(keep) - 1]) for p in itertools.permutations(inner))
    return min((tuple(names[o].tolist()), small[np.ix_(o, o)].astype(np.uint8).tobytes()) for o in orders)


def matrices_of(codes: np.ndarray, vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """Adjacency (n, v, v) and labels (n, v) of codes."""
    pairs = list(itertools.combinations(range(vertices), 2))
    adjacency = np.zeros((len(codes), vertices, vertices), np.uint8)
    for k, (i, j) in enumerate(pairs):
        adjacency[:, i, j] = codes[:, k]
    labels = np.zeros((len(codes), vertices), np.int64)
    labels[:, 1:-1] = codes[:, len(pairs) :] + 1
    labels[:, -1] = 4
    return adjacency, labels


def _expanded(file: str) -> ColumnFolder:
    return derived(file, "expanded", lambda: _expand(file))


def _expand(file: str) -> Mapping[str, np.ndarray]:
    """Columns per listed code: `codes`, and per epochs the first and the mean repeat of every number."""
    table = {name: np.asarray(column) for name, column in open_columns(file).items()}
    vertices = table["adj"].shape[1]
    graphs: dict[Key, list[int]] = {}
    for row, (adjacency, ops, count) in enumerate(zip(table["adj"], table["ops"], table["n_vertices"], strict=True)):
        key = graph_key(adjacency[:count, :count], ops[:count].astype(np.int64))
        if key is not None:
            graphs.setdefault(key, []).append(row)
    codes = make_space(vertices).enumerate().codes
    adjacency, labels = matrices_of(codes, vertices)
    keys = [graph_key(a, x) for a, x in zip(adjacency, labels, strict=True)]
    known = np.array([i for i, key in enumerate(keys) if key in graphs])
    found: dict[str, np.ndarray] = {"codes": codes[known]}
    for epochs in np.unique(table["epochs"]).tolist():
        rows = [[r for r in graphs[keys[i]] if table["epochs"][r] == epochs] for i in known]  # type: ignore[index]
        for name in ("test_acc", "val_acc", "train_time_s", "energy_kwh", "params"):
            column = table[name].astype(np.float64)
            found[f"{name}_{epochs}_first"] = np.array([column[r[0]] if r else np.nan for r in rows])
            found[f"{name}_{epochs}_mean"] = np.array([column[r].mean() if r else np.nan for r in rows])
    return found


def _measured(file: str, epochs: int, which: str) -> dict[str, Measured]:
    def column(name: str, scale: float = 1.0) -> Measured:
        return Measured(file, f"{name}_{epochs}_{which}", scale, opened=_expanded)

    return {
        "accuracy_percent": column("val_acc", 100.0),
        "test_accuracy_percent": column("test_acc", 100.0),
        "training_energy_kwh": column("energy_kwh"),
        "params_m": column("params", 1e-6),
    }


def _benchmark(name: str, file: str, vertices: int, epochs: tuple[int, ...]) -> TableBenchmark:
    last = epochs[-1]

    def seconds(count: int) -> Measured:
        return Measured(file, f"train_time_s_{count}_first", opened=_expanded)

    return TableBenchmark(
        name=name,
        make_space=lambda: make_space(vertices),
        listed=lambda: _expanded(file)["codes"],
        observed=_measured(file, last, "first"),
        goal="accuracy_percent",
        truth=_measured(file, last, "mean"),
        fidelities={e / last: _measured(file, e, "first") for e in epochs[:-1]},
        seconds={e / last: seconds(e) for e in epochs},
        note=__doc__ or "",
    )


@register("benchmarks", "ec-nas-4", labels={"graphs": 91, "data": "images", "fidelities": 4})
def ec_nas_4() -> TableBenchmark:
    """NAS-Bench-101 cells of up to four vertices, four training lengths, three repeats."""
    return _benchmark("ec-nas-4", FOUR, 4, EPOCHS)


@register("benchmarks", "ec-nas-5", labels={"graphs": 2532, "data": "images"})
def ec_nas_5() -> TableBenchmark:
    """NAS-Bench-101 cells of up to five vertices after 4 epochs."""
    return _benchmark("ec-nas-5", FIVE, 5, (4,))
