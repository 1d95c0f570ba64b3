"""NAS-Bench-Graph: 26,206 graph neural networks on five node classification tasks, and 2,021 on proteins.

Qin et al., "NAS-Bench-Graph: Benchmarking Graph Neural Architecture Search" (2022), section 3: a macro structure out of
nine and one operator out of nine for each of four layers, the space `nasbench_graph`. Isomorphic networks are listed
once; the table knows no other code of them. A query returns the validation accuracy, comparisons are scored on test
accuracy.
"""

from __future__ import annotations

import numpy as np

from archwright.benchmarks.columns import open_columns
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.registry import register
from archwright.spaces.nasbench_graph import PUBLISHED, from_keys, of_table

FILE = "nasbench/nbgraph.npz"


def _listed(dataset: str) -> np.ndarray:
    return from_keys(open_columns(FILE)[f"{dataset}_key"], PUBLISHED[dataset].operators)


def _benchmark(dataset: str) -> TableBenchmark:
    return TableBenchmark(
        name=f"nasbench-graph-{dataset}",
        make_space=lambda: of_table(dataset),
        listed=lambda: _listed(dataset),
        observed={
            "accuracy_percent": Measured(FILE, f"{dataset}_valid_perf", 100.0),
            "latency_s": Measured(FILE, f"{dataset}_latency"),
            "params_m": Measured(FILE, f"{dataset}_para"),
        },
        goal="accuracy_percent",
        truth={"accuracy_percent": Measured(FILE, f"{dataset}_perf", 100.0)},
        note=__doc__ or "",
    )


@register("benchmarks", "nasbench-graph-cora", labels={"members": 59049, "listed": 26206, "data": "graphs"})
def nasbench_graph_cora() -> TableBenchmark:
    """Graph networks on Cora."""
    return _benchmark("cora")


@register("benchmarks", "nasbench-graph-pubmed", labels={"members": 59049, "listed": 26206, "data": "graphs"})
def nasbench_graph_pubmed() -> TableBenchmark:
    """Graph networks on PubMed."""
    return _benchmark("pubmed")


@register("benchmarks", "nasbench-graph-cs", labels={"members": 59049, "listed": 26206, "data": "graphs"})
def nasbench_graph_cs() -> TableBenchmark:
    """Graph networks on Coauthor-CS."""
    return _benchmark("cs")


@register("benchmarks", "nasbench-graph-computers", labels={"members": 59049, "listed": 26206, "data": "graphs"})
def nasbench_graph_computers() -> TableBenchmark:
    """Graph networks on Amazon-Computers."""
    return _benchmark("computers")


@register("benchmarks", "nasbench-graph-arxiv", labels={"members": 59049, "listed": 26206, "data": "graphs"})
def nasbench_graph_arxiv() -> TableBenchmark:
    """Graph networks on ogbn-arxiv."""
    return _benchmark("arxiv")


@register("benchmarks", "nasbench-graph-proteins", labels={"members": 5625, "listed": 2021, "data": "graphs"})
def nasbench_graph_proteins() -> TableBenchmark:
    """Graph networks on ogbn-proteins, five operators."""
    return _benchmark("proteins")
