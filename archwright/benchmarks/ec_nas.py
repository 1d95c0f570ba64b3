"""EC-NAS: NAS-Bench-101 cells of up to four vertices with accuracy and energy after 4, 12, 36 and 108 epochs.

Bakhtiarifard et al., "EC-NAS: Energy Consumption Aware Tabular Benchmarks for NAS" (2024), section 3, on the cells of
Ying et al., "NAS-Bench-101" (2019), section 2, which is the space `nasbench101`. The table names graphs up to
isomorphism and without vertices that are on no path (operators 1, 2, 3 are those of the space, 0 is the input and 4 the
output); every code that stands for one of them is listed here. A query returns the first of three repeats, comparisons
are scored on their mean. Energy is what the measured training used, on a Quadro RTX 6000.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from archwright.benchmarks.columns import ColumnFolder, open_columns
from archwright.benchmarks.decode import derived
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.registry import register
from archwright.spaces.nasbench101 import from_graph, nasbench101, normal_codes

FOUR = "nasbench/ecnas101_4v_quadrortx6000_full.npz"
FIVE = "nasbench/ecnas101_5v_quadrortx6000.npz"
EPOCHS = (4, 12, 36, 108)


def _expanded(file: str) -> ColumnFolder:
    return derived(file, "graphs", lambda: _expand(file))


def _expand(file: str) -> Mapping[str, np.ndarray]:
    """Columns per code of the space: `codes`, and per epochs the first and the mean repeat of every number."""
    table = {name: np.asarray(column) for name, column in open_columns(file).items()}
    vertices = table["adj"].shape[1]
    graphs: dict[bytes, list[int]] = {}
    for row, key in enumerate(normal_codes(codes_of_graphs(table), vertices)):
        graphs.setdefault(key.tobytes(), []).append(row)
    codes = nasbench101(vertices=vertices).enumerate().codes
    keys = [key.tobytes() for key in normal_codes(codes, vertices)]
    known = np.array([i for i, key in enumerate(keys) if key in graphs])
    found: dict[str, np.ndarray] = {"codes": codes[known]}
    for epochs in np.unique(table["epochs"]).tolist():
        rows = [[r for r in graphs[keys[i]] if table["epochs"][r] == epochs] for i in known]
        for name in ("test_acc", "val_acc", "train_time_s", "energy_kwh", "params"):
            column = table[name].astype(np.float64)
            found[f"{name}_{epochs}_first"] = np.array([column[r[0]] if r else np.nan for r in rows])
            found[f"{name}_{epochs}_mean"] = np.array([column[r].mean() if r else np.nan for r in rows])
    return found


def codes_of_graphs(table: Mapping[str, np.ndarray]) -> np.ndarray:
    """(rows, D) codes of the graphs in a table's columns `adj`, `ops` and `n_vertices`."""
    vertices = table["adj"].shape[1]
    graphs = zip(table["adj"], table["ops"], table["n_vertices"], strict=True)
    return np.stack([from_graph(a[:k, :k], (ops[1 : k - 1] - 1).tolist(), vertices) for a, ops, k in graphs])


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
        make_space=lambda: nasbench101(vertices=vertices),
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
