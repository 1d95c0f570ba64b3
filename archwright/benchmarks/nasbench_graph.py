"""NAS-Bench-Graph: 26,206 graph neural networks on five node classification tasks, and 2,021 on proteins.

Qin et al., "NAS-Bench-Graph: Benchmarking Graph Neural Architecture Search" (2022), section 3: a macro structure out of
nine and one operator out of nine for each of four layers. Isomorphic networks are listed once; the table knows no other
code of them. A query returns the validation accuracy, comparisons are scored on test accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from archwright.benchmarks.columns import open_columns
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.registry import register
from archwright.space import Space, oneof

FILE = "nasbench/nbgraph.npz"
LINKS = ("0000", "0001", "0011", "0012", "0013", "0111", "0112", "0122", "0123")
OPERATORS = ("gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "fc", "skip")
PROTEINS = ("gcn", "sage", "arma", "fc", "skip")


@dataclass(frozen=True)
class GraphNetwork:
    """Four graph layers; digit i of `links` says which earlier output layer i reads (0 = the input)."""

    links: str
    layer0: str
    layer1: str
    layer2: str
    layer3: str


def make_space(operators: tuple[str, ...] = OPERATORS) -> Space:
    """Macro structure and operators of the four layers."""
    layers = [oneof(*operators, name=f"layer{i}") for i in range(4)]
    return Space(GraphNetwork(oneof(*LINKS, name="links"), *layers))


def _digits(dataset: str, operators: tuple[str, ...]) -> np.ndarray:
    """(rows, 5) codes: the decimal digits of the key are the link and four numbers of `OPERATORS`."""
    key = np.asarray(open_columns(FILE)[f"{dataset}_key"], np.int64)
    digits = np.stack([key // 10**p % 10 for p in (4, 3, 2, 1, 0)], axis=1)
    place = np.array([operators.index(name) if name in operators else -1 for name in OPERATORS])
    return np.concatenate([digits[:, :1], place[digits[:, 1:]]], axis=1)


def _benchmark(dataset: str, operators: tuple[str, ...] = OPERATORS) -> TableBenchmark:
    return TableBenchmark(
        name=f"nasbench-graph-{dataset}",
        make_space=lambda: make_space(operators),
        listed=lambda: _digits(dataset, operators),
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
    return _benchmark("proteins", PROTEINS)
