"""Embeddings: norms and similarities of symbolic vectors, layout of edit distances, ONNX text, transfer of predictors.

    python benchmarks/embeddings.py                    # about 15 minutes on one core: exports dominate
    python benchmarks/embeddings.py --only transfer    # the other parts are kept as they were

ONNX texts are checked on 1,000 architectures (one-cell networks of NAS-Bench-201) against graph isomorphism as networkx
decides it. Transfer: NAS-Bench-201, NAS-Bench-Macro and EC-NAS (the 90 NAS-Bench-101 cells of four vertices whose
accuracies differ), all on CIFAR-10, each as source of each other, whole networks.
"""

from __future__ import annotations

import argparse
import itertools
import time
from typing import Any

import networkx
import numpy as np
import torch
from common import finish, in_parts
from scipy.stats import spearmanr

from archwright.analysis.cell_forms import canonical_form
from archwright.benchmarks.table import load
from archwright.predictors.embeddings.graph_edit import GraphEdit, distance_of
from archwright.predictors.embeddings.onnx_graph import OnnxGraph, onnx_graph
from archwright.predictors.embeddings.onnx_text import OnnxText
from archwright.predictors.embeddings.op_graph import graphs_of
from archwright.predictors.embeddings.transfer import Transfer
from archwright.predictors.embeddings.vsa import VSA, GaussianRoles, OrthogonalRoles
from archwright.spaces.nasbench201 import nasbench201


def symbolic(dimension: int = 2048) -> dict[str, Any]:
    start = np.random.default_rng(0).standard_normal(dimension)
    start /= np.linalg.norm(start)
    drift = {}
    for roles in (OrthogonalRoles(dimension), GaussianRoles(dimension)):
        bound = start
        for depth in range(20):
            bound = roles.bind(f"role {depth}", bound)
        drift[type(roles).__name__] = float(abs(np.linalg.norm(bound) - 1.0))
    space, rng = nasbench201(), np.random.default_rng(0)
    a, b = space.sample(500, rng), space.sample(500, rng)
    vsa, begin = VSA(dimension), time.perf_counter()
    cosine = (vsa.embed(a) * vsa.embed(b)).sum(axis=1)
    seconds = (time.perf_counter() - begin) / 1000
    return {
        "dimension": dimension,
        "norm_error_after_20": drift,
        "spearman_with_edit_distance_500_pairs": round(float(spearmanr(cosine, -(a.codes != b.codes).sum(1))[0]), 4),
        "seconds_an_architecture": round(seconds, 5),
    }


def edited() -> dict[str, Any]:
    space, rng = nasbench201(), np.random.default_rng(0)
    a, b = space.sample(150, rng), space.sample(150, rng)
    embedding = GraphEdit(space)
    near = np.linalg.norm(embedding.embed(a) - embedding.embed(b), axis=1)
    true = [distance_of(graphs_of(x), graphs_of(y)) for x, y in zip(a, b, strict=True)]
    return {"spearman_with_graph_edit_distance": round(float(spearmanr(near, true)[0]), 4), "landmarks": 48}


def as_networkx(graph: OnnxGraph) -> networkx.MultiDiGraph:
    out = networkx.MultiDiGraph()
    for i, node in enumerate(graph.nodes):
        out.add_node(i, label=node.text + (" out" if i in graph.outputs else ""))
    for i, node in enumerate(graph.nodes):
        for j in node.inputs:
            if j < 0:
                out.add_node(j, label=f"input {j}")
            out.add_edge(j, i)
    return out


def isomorphic(a: networkx.MultiDiGraph, b: networkx.MultiDiGraph) -> bool:
    match = networkx.algorithms.isomorphism
    return networkx.is_isomorphic(a, b, node_match=match.categorical_node_match("label", ""))


def texts(count: int) -> dict[str, Any]:
    """Equal texts must be isomorphic graphs, isomorphic graphs must have equal texts."""
    space = nasbench201((3, 8, 8), 10, channels=(4,), cells=1)
    some = space.sample(2 * count, np.random.default_rng(0)).unique()[:count]
    begin = time.perf_counter()
    graphs = [onnx_graph(a, (3, 8, 8)) for a in some]
    seconds = (time.perf_counter() - begin) / len(graphs)
    groups: dict[str, list[int]] = {}
    for i, graph in enumerate(graphs):
        groups.setdefault(graph.text, []).append(i)
    nets = [as_networkx(g) for g in graphs]
    wrong = sum(not isomorphic(nets[rows[0]], nets[i]) for rows in groups.values() for i in rows[1:])
    alike: dict[tuple[Any, ...], list[int]] = {}
    for rows in groups.values():  # only graphs with the same nodes can be isomorphic
        graph = graphs[rows[0]]
        key = (tuple(sorted(n.text for n in graph.nodes)), sum(len(n.inputs) for n in graph.nodes))
        alike.setdefault(key, []).append(rows[0])
    pairs = [p for rows in alike.values() for p in itertools.combinations(rows, 2)]
    missed = sum(isomorphic(nets[i], nets[j]) for i, j in pairs)
    forms = len({canonical_form(c) for c in some.codes.tolist()})
    return {
        "architectures": len(some),
        "texts": len(groups),
        "equal_texts_of_different_graphs": wrong,
        "different_texts_of_equal_graphs": missed,
        "pairs_compared": len(pairs),
        "functions": forms,
        "seconds_an_export": round(seconds, 4),
    }


def transfer(count: int, seeds: int = 10) -> dict[str, Any]:
    shape, rng = (3, 32, 32), np.random.default_rng(0)
    embedding, parts = OnnxText(shape), {}
    for name in ("nasbench-macro", "nasbench201-cifar10", "ec-nas-4"):
        table = load(name)
        values = table.read("accuracy_percent", np.arange(len(table.codes)), true=True)
        known = np.unique(values, return_index=True)[1]  # isomorphic cells share a row of their table
        known = known[np.isfinite(values[known])]
        rows = rng.choice(known, min(count, len(known)), replace=False)
        parts[name] = table.space.architectures(table.codes[rows]), values[rows]
    out: dict[str, Any] = {}
    for source, target in itertools.permutations(parts, 2):
        (a, y), (b, w) = parts[source], parts[target]
        found: dict[str, list[float]] = {"after_50_labels": [], "50_labels_alone": []}
        model = Transfer(embedding, b)
        model.learn_source(a, y)
        zero = float(spearmanr(model.predict(b), w)[0])
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(b))
            few, rest = order[:50], order[50:]
            model = Transfer(embedding, b)
            alone = Transfer(embedding, b).fit(b[few], w[few])
            model.learn_source(a, y)
            model.fit(b[few], w[few])
            found["after_50_labels"].append(float(spearmanr(model.predict(b[rest]), w[rest])[0]))
            found["50_labels_alone"].append(float(spearmanr(alone.predict(b[rest]), w[rest])[0]))
        out[f"{source} to {target}"] = {
            "networks": [len(a), len(b)],
            "zero_shot": round(zero, 4),
            **{k: {"mean": round(float(np.mean(v)), 4), "least": round(min(v), 4)} for k, v in found.items()},
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transfer", type=int, default=120, help="networks of each space")
    parser.add_argument("--texts", type=int, default=1000)
    parts = {
        "vsa": symbolic,
        "graph_edit": edited,
        "onnx_text": lambda: texts(options.texts),
        "transfer": lambda: transfer(options.transfer),
    }
    parser.add_argument("--only", choices=list(parts))
    options = parser.parse_args()
    torch.set_num_threads(1)
    finish("embeddings", in_parts("embeddings", parts, options.only))


if __name__ == "__main__":
    main()
