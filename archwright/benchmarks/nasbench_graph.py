"""NAS-Bench-Graph: 26,206 graph neural networks on five node classification tasks, and 2,021 on proteins.

Qin et al., "NAS-Bench-Graph: Benchmarking Graph Neural Architecture Search" (2022), section 3: a macro structure out of
nine and one operator out of nine for each of four layers, the space `nasbench_graph`. Of isomorphic networks one was
trained; every code that stands for one of them is listed here. The released look-up also answers for networks whose
raw input goes to the output beside layers, by the one without; these, a tenth of all, have no row here. A query returns
the validation accuracy, comparisons are scored on test accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from archwright.benchmarks.columns import ColumnFolder, open_columns
from archwright.benchmarks.decode import derived
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.registry import register
from archwright.spaces.nasbench_graph import PUBLISHED, from_keys, network_keys, of_table

FILE = "nasbench/nbgraph.npz"


def _expanded(dataset: str) -> ColumnFolder:
    return derived(FILE, f"networks_{dataset}", lambda: _expand(dataset))


def _expand(dataset: str) -> Mapping[str, np.ndarray]:
    """Columns per code of the space: `codes`, and the published ones of the network that it stands for."""
    published, table = PUBLISHED[dataset].operators, open_columns(FILE)
    skip = published.index("skip")
    trained = network_keys(from_keys(table[f"{dataset}_key"], published), skip)
    order = np.argsort(trained)
    codes = of_table(dataset).enumerate().codes
    keys = network_keys(codes, skip)
    row = order[np.minimum(np.searchsorted(trained[order], keys), len(order) - 1)]
    known = trained[row] == keys
    names = ("key", "valid_perf", "perf", "latency", "para")
    return {"codes": codes[known], **{name: np.asarray(table[f"{dataset}_{name}"])[row[known]] for name in names}}


def _benchmark(dataset: str) -> TableBenchmark:
    def column(name: str, scale: float = 1.0) -> Measured:
        return Measured(dataset, name, scale, opened=_expanded)

    return TableBenchmark(
        name=f"nasbench-graph-{dataset}",
        make_space=lambda: of_table(dataset),
        listed=lambda: _expanded(dataset)["codes"],
        observed={
            "accuracy_percent": column("valid_perf", 100.0),
            "latency_s": column("latency"),
            "params_m": column("para"),
        },
        goal="accuracy_percent",
        truth={"accuracy_percent": column("perf", 100.0)},
        note=__doc__ or "",
    )


@register("benchmarks", "nasbench-graph-cora", labels={"members": 59049, "listed": 53056, "data": "graphs"})
def nasbench_graph_cora() -> TableBenchmark:
    """Graph networks on Cora."""
    return _benchmark("cora")


@register("benchmarks", "nasbench-graph-pubmed", labels={"members": 59049, "listed": 53056, "data": "graphs"})
def nasbench_graph_pubmed() -> TableBenchmark:
    """Graph networks on PubMed."""
    return _benchmark("pubmed")


@register("benchmarks", "nasbench-graph-cs", labels={"members": 59049, "listed": 53056, "data": "graphs"})
def nasbench_graph_cs() -> TableBenchmark:
    """Graph networks on Coauthor-CS."""
    return _benchmark("cs")


@register("benchmarks", "nasbench-graph-computers", labels={"members": 59049, "listed": 53056, "data": "graphs"})
def nasbench_graph_computers() -> TableBenchmark:
    """Graph networks on Amazon-Computers."""
    return _benchmark("computers")


@register("benchmarks", "nasbench-graph-arxiv", labels={"members": 59049, "listed": 53056, "data": "graphs"})
def nasbench_graph_arxiv() -> TableBenchmark:
    """Graph networks on ogbn-arxiv."""
    return _benchmark("arxiv")


@register("benchmarks", "nasbench-graph-proteins", labels={"members": 5625, "listed": 4576, "data": "graphs"})
def nasbench_graph_proteins() -> TableBenchmark:
    """Graph networks on ogbn-proteins, five operators."""
    return _benchmark("proteins")
