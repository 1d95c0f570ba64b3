"""Functional hashing on NAS-Bench-201: keys of the whole table, wrong and missed collisions, evaluations saved.

    python benchmarks/hashing.py            # about two minutes on one core

Keys come from one-cell networks with the same codes. `exact` are the classes of symbolic forms (`cell_forms`), of which
a collision across is false and a split is missed. Evolution runs with and without the cache on the same proposals.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from common import finish

from archwright.analysis.cell_forms import canonical_form
from archwright.analysis.hashing import FunctionalHash
from archwright.benchmarks.table import load
from archwright.data import data_file
from archwright.evaluators.cached import CachedEvaluator
from archwright.evaluators.table import TableEvaluator
from archwright.registry import get
from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.spaces.nasbench201 import nasbench201


def classes(keys: list[str]) -> np.ndarray:
    return np.unique(np.array(keys), return_inverse=True)[1]


def pairs(*labels: np.ndarray) -> int:
    """Number of pairs that have every label in common."""
    _, counts = np.unique(np.stack(labels, axis=1), axis=0, return_counts=True)
    return int((counts * (counts - 1) // 2).sum())


def compare(found: np.ndarray, exact: np.ndarray) -> dict[str, Any]:
    together, right = pairs(found), pairs(found, exact)
    return {
        "classes": int(found.max()) + 1,
        "pairs_that_collide": together,
        "false_collisions_share": round((together - right) / together, 6),
        "missed_share": round((pairs(exact) - right) / pairs(exact), 6),
        "cells_with_a_false_partner": int(
            sum(len(np.unique(exact[found == c])) > 1 and (found == c).sum() for c in range(found.max() + 1))
        ),
    }


def evolution(keys: np.ndarray, seeds: int, budget: int) -> dict[str, Any]:
    table = load("nasbench201-cifar10")
    evaluator = TableEvaluator(table, ["accuracy_percent"])
    strategy = get("strategies", "regularized_evolution")
    saved, best = [], {"plain": [], "cached": []}
    row_key = [f"{k}" for k in keys]
    for seed in range(seeds):
        for kind in best:
            cached = CachedEvaluator(evaluator, lambda a: row_key[int(table.rows(a.code[None])[0])])
            used = cached if kind == "cached" else evaluator
            problem = Problem(table.space, [Objective("accuracy_percent", "maximize")], [used])
            result = run(problem, strategy(problem, seed=seed, population=20, sample=5), Budget(trials=budget))
            top = max(result.trials, key=lambda t: t.metrics["accuracy_percent"])
            row = table.rows(top.candidate.architecture.code[None])
            best[kind].append(float(table.read("accuracy_percent", row, true=True)[0]))
        saved.append(cached.hits / cached.queries)
    return {
        "budget": budget,
        "seeds": seeds,
        "saved_share_median": round(float(np.median(saved)), 4),
        "saved_share_least": round(min(saved), 4),
        "best_accuracy_percent_median": {k: round(float(np.median(v)), 3) for k, v in best.items()},
        "best_accuracy_percent_mean": {k: round(float(np.mean(v)), 3) for k, v in best.items()},
    }


def spread(labels: np.ndarray) -> dict[str, float]:
    """How far equivalent cells are apart in the table, which trained each of them, beside the noise of one training."""
    table = load("nasbench201-cifar10")
    rows = table.rows(table.codes)
    mean = table.read("accuracy_percent", rows, true=True)
    once = table.read("accuracy_percent", rows)
    of_class = np.bincount(labels, mean) / np.bincount(labels)
    alive = mean > 50.0
    return {
        "cell_from_its_class_mean_absolute": round(float(np.abs(mean - of_class[labels])[alive].mean()), 4),
        "one_training_from_its_cell_mean_absolute": round(float(np.abs(once - mean)[alive].mean()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--dry", action="store_true", help="print only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = load("nasbench201-cifar10")
    small = nasbench201((3, 8, 8), 10, channels=(4,), cells=1)
    found: dict[str, list[str]] = {}
    seconds: dict[str, float] = {}
    for name, sensitive in (("sensitive", True), ("insensitive", False)):
        key, start = FunctionalHash((3, 8, 8), sensitive=sensitive), time.perf_counter()
        found[name] = [key(a) for a in small.architectures(table.codes)]
        seconds[f"one_cell_{name}"] = round((time.perf_counter() - start) / len(table.codes), 5)
    keys = found["sensitive"]
    exact = classes([canonical_form(code) for code in table.codes.tolist()])
    with np.load(data_file("nasbench/nb201_hw360.npz"), allow_pickle=False) as file:
        published = file["rep_arch_idx"].astype(np.int64) if "rep_arch_idx" in file.files else None
    full = nasbench201()
    some = full.sample(20, np.random.default_rng(0))
    for name, sensitive in (("sensitive", True), ("insensitive", False)):
        key, start = FunctionalHash((3, 32, 32), samples=1, sensitive=sensitive), time.perf_counter()
        for architecture in some:
            key(architecture)
        seconds[f"whole_network_{name}"] = round((time.perf_counter() - start) / len(some), 4)
    figures: dict[str, Any] = {
        "cells": len(keys),
        "seconds_a_key": seconds,
        "exact_classes": int(exact.max()) + 1,
        "functional_hash": {name: compare(classes(keys), exact) for name, keys in found.items()},
        "accuracy": spread(exact),
        "evolution": [evolution(classes(keys), options.seeds, n) for n in (200, 600)],
    }
    if published is not None:
        figures["published_isomorphism"] = compare(classes([str(p) for p in published]), exact)
    finish("hashing", figures, write=not options.dry)


if __name__ == "__main__":
    main()
