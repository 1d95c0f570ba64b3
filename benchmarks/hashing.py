"""Functional hashing on NAS-Bench-201: keys of the whole table, wrong and missed collisions, evaluations saved.

    python benchmarks/hashing.py            # about five minutes on one core

Keys come from one-cell networks with the same codes. `exact` are the classes of symbolic forms (`cell_forms`), of which
a collision across is false and a split is missed. Evolution (population 20, sample 5, never the same code twice) runs
with and without the cache. The longer it runs, the more it saves: the first trials are random, and of 200 random cells
few are equal. The table trained equal cells apart, so a cached run sees other noise and goes another way; where equal
cells have their mean accuracy both runs must agree in every trial.
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
from archwright.benchmarks.table import TableBenchmark, load
from archwright.data import data_file
from archwright.evaluators.cached import CachedEvaluator
from archwright.evaluators.table import TableEvaluator
from archwright.registry import get
from archwright.search.budget import Budget
from archwright.search.problem import Columns, Evaluator, Objective, Problem
from archwright.search.run import run
from archwright.search.trial import Trial
from archwright.space import Architectures
from archwright.spaces.nasbench201 import nasbench201

TRIALS = (100, 200, 400, 600, 1000)
POPULATION, SAMPLE = 20, 5


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


class ByClass:
    """Accuracies of a table, the same for all cells of one class: what is so if equal functions train equally well."""

    metrics = ("accuracy_percent",)
    deterministic = batched = True

    def __init__(self, table: TableBenchmark, labels: np.ndarray) -> None:
        rows = np.arange(len(labels))
        self._table, self._labels = table, labels
        self._mean = np.bincount(labels, table.read("accuracy_percent", rows, true=True)) / np.bincount(labels)

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Mean of the class."""
        return {"accuracy_percent": self._mean[self._labels[self._table.rows(architectures.codes)]]}


def evolution(keys: np.ndarray, seeds: int) -> dict[str, Any]:
    """What regularized evolution saves in so many trials, and whether what it returns changes."""
    table = load("nasbench201-cifar10")
    noisy, equal = TableEvaluator(table, ["accuracy_percent"]), ByClass(table, keys)
    saved, best, same = [], {f"{k}_{n}": [] for n in TRIALS for k in ("plain", "cached")}, []
    for seed in range(seeds):
        for kind in ("plain", "cached"):
            trials = evolved(table, noisy if kind == "plain" else cached(noisy, table, keys), seed)
            rows = table.rows(np.stack([t.candidate.architecture.code for t in trials]))
            seen = np.array([t.metrics["accuracy_percent"] for t in trials])
            true = table.read("accuracy_percent", rows, true=True)
            for n in TRIALS:
                best[f"{kind}_{n}"].append(float(true[np.argmax(seen[:n])]))
            if kind == "cached":
                saved.append([1.0 - len(np.unique(keys[rows[:n]])) / n for n in TRIALS])
        plain, hit = (evolved(table, e, seed) for e in (equal, cached(equal, table, keys)))
        same.append([t.metrics for t in plain] == [t.metrics for t in hit])
    median, least = np.median(saved, axis=0), np.min(saved, axis=0)
    return {
        "seeds": seeds,
        "same_accuracies_where_equal_functions_are_equally_accurate": f"{sum(same)} of {seeds} seeds",
        "after": {
            str(n): {
                "saved_share_median": round(float(median[i]), 4),
                "saved_share_least": round(float(least[i]), 4),
                "best_accuracy_percent_mean": {
                    kind: round(float(np.mean(best[f"{kind}_{n}"])), 3) for kind in ("plain", "cached")
                },
                "cached_minus_plain_standard_error": round(
                    float(np.std(np.subtract(best[f"cached_{n}"], best[f"plain_{n}"])) / np.sqrt(seeds)), 3
                ),
            }
            for i, n in enumerate(TRIALS)
        },
    }


def with_repeats(keys: np.ndarray, seeds: int) -> dict[str, Any]:
    """What a cache saves of Real et al. (2019), Algorithm 1, which may train a code again; of it equal codes."""
    table = load("nasbench201-cifar10")
    value = table.read("accuracy_percent", np.arange(len(table.codes)))
    functions, codes = [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        rows = table.rows(table.space.sample(POPULATION, rng).codes).tolist()
        while len(rows) < max(TRIALS):
            alive = np.array(rows[-POPULATION:])
            entrants = alive[rng.integers(0, POPULATION, SAMPLE)]
            parent = table.space.architectures(table.codes[entrants[np.argmax(value[entrants])]][None])
            rows.append(int(table.rows(table.space.mutate(parent, rng).codes)[0]))
        functions.append([1.0 - len(np.unique(keys[rows[:n]])) / n for n in TRIALS])
        codes.append([1.0 - len(np.unique(rows[:n])) / n for n in TRIALS])
    shares = {"saved_share_median": np.median(functions, axis=0), "same_code_share_median": np.median(codes, axis=0)}
    return {str(n): {k: round(float(v[i]), 4) for k, v in shares.items()} for i, n in enumerate(TRIALS)}


def cached(evaluator: Evaluator, table: TableBenchmark, keys: np.ndarray) -> CachedEvaluator:
    return CachedEvaluator(evaluator, lambda a: str(keys[table.rows(a.code[None])[0]]))


def evolved(table: TableBenchmark, evaluator: Evaluator, seed: int) -> list[Trial]:
    """All trials of one run, which never proposes a code twice."""
    problem = Problem(table.space, [Objective("accuracy_percent", "maximize")], [evaluator])
    strategy = get("strategies", "regularized_evolution")(problem, seed=seed, population=POPULATION, sample=SAMPLE)
    return list(run(problem, strategy, Budget(trials=max(TRIALS))).trials)


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


def keys_of(sensitive: bool) -> tuple[list[str], float]:
    """Keys of one-cell networks of all cells, and processor seconds a key."""
    codes = load("nasbench201-cifar10").codes
    small = nasbench201((3, 8, 8), 10, channels=(4,), cells=1)
    key, start = FunctionalHash((3, 8, 8), sensitive=sensitive), time.process_time()
    found = [key(a) for a in small.architectures(codes)]
    return found, round((time.process_time() - start) / len(codes), 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--dry", action="store_true", help="print only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = load("nasbench201-cifar10")
    found: dict[str, list[str]] = {}
    seconds: dict[str, float] = {}
    for name, sensitive in (("sensitive", True), ("insensitive", False)):
        found[name], seconds[f"one_cell_{name}"] = keys_of(sensitive)
    keys = found["sensitive"]
    exact = classes([canonical_form(code) for code in table.codes.tolist()])
    with np.load(data_file("nasbench/nb201_hw360.npz"), allow_pickle=False) as file:
        published = file["rep_arch_idx"].astype(np.int64) if "rep_arch_idx" in file.files else None
    full = nasbench201()
    some = full.sample(20, np.random.default_rng(0))
    for name, sensitive in (("sensitive", True), ("insensitive", False)):
        key, start = FunctionalHash((3, 32, 32), samples=1, sensitive=sensitive), time.process_time()
        for architecture in some:
            key(architecture)
        seconds[f"whole_network_{name}"] = round((time.process_time() - start) / len(some), 4)
    figures: dict[str, Any] = {
        "cells": len(keys),
        "processor_seconds_a_key": seconds,
        "exact_classes": int(exact.max()) + 1,
        "functional_hash": {name: compare(classes(keys), exact) for name, keys in found.items()},
        "accuracy": spread(exact),
        "evolution": evolution(classes(keys), options.seeds),
        "evolution_that_may_repeat_a_code": with_repeats(classes(keys), options.seeds),
    }
    if published is not None:
        figures["published_isomorphism"] = compare(classes([str(p) for p in published]), exact)
    finish("hashing", figures, write=not options.dry)


if __name__ == "__main__":
    main()
