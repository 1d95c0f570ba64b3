"""Queries that boosted trees need for what random search reaches with many, on tables of graphs and strings.

The goal on each table is the best value that random search has observed after `--queries` queries (median over seeds);
reported is the median number of queries until it is observed, for GBDT-NAS, regularized evolution (population 20,
sample 5) and random search. What was observed counts, not the mean over seeds, because on the noisy tables the latter
hardly depends on the search.

    python benchmarks/gbdt_queries.py

Prints JSON and writes benchmarks/results/gbdt_queries.json.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from common import finish

from archwright.benchmarks.protocol import Setting, maker, play, queries_until
from archwright.benchmarks.statistics import finite, lower_median
from archwright.benchmarks.table import load

TABLES = ("nasbench201-cifar10", "nasbench201-cifar100", "nasbench201-imagenet16", "ec-nas-5", "nasbench-graph-cora")
EVOLUTION = "regularized_evolution(population=20, sample=5)"
METHODS = ("random", EVOLUTION, "gbdt_nas")


def curves_of(setting: Setting, method: str, seeds: int) -> np.ndarray:
    """(seeds, queries) best loss that was observed so far; infinite before the first."""
    make = maker(method, setting.queries)
    found = np.full((seeds, setting.queries), np.inf)
    for seed in range(seeds):
        seen = play(setting, make, seed).observed[:, 0]
        found[seed, : len(seen)] = np.where(np.isnan(seen), np.inf, seen)
    return np.minimum.accumulate(found, axis=1)


def compare(name: str, queries: int, seeds: int) -> dict[str, Any]:
    """The goal of one table, and each method's median number of queries until it."""
    table = load(name)
    curves = {"random": curves_of(Setting(table, queries), "random", seeds)}
    goal = float(np.median(curves["random"][:, -1]))
    for method in METHODS[1:]:
        limit = queries // 2 if method == "gbdt_nas" else queries
        curves[method] = curves_of(Setting(table, limit), method, seeds)
    needed = {}
    for method, runs in curves.items():
        counts = [queries_until(run, goal) for run in runs]
        needed[method] = finite(float(lower_median(np.array([np.inf if c is None else c for c in counts]))))
    own = needed["gbdt_nas"]
    over = {m: None if not own or needed[m] is None else round(needed[m] / own, 2) for m in ("random", EVOLUTION)}
    return {
        "goal_loss": round(goal, 5),
        "median_queries": needed,
        "random_over_gbdt": over["random"],
        "evolution_over_gbdt": over[EVOLUTION],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--tables", nargs="*", default=list(TABLES))
    given = parser.parse_args()
    tables = {}
    for name in given.tables:
        tables[name] = compare(name, given.queries, given.seeds)
        print(name, tables[name], flush=True)
    figures = {
        "settings": vars(given),
        "tables": tables,
        "least_random_over_gbdt": min((t["random_over_gbdt"] or 0.0) for t in tables.values()),
        "least_evolution_over_gbdt": min((t["evolution_over_gbdt"] or 0.0) for t in tables.values()),
        "target": "random at least 3, evolution above 1",
    }
    finish("gbdt_queries", figures)


if __name__ == "__main__":
    main()
