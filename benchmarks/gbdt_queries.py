"""Queries that boosted trees need for what random search reaches with many, on tables of graphs and strings.

The goal on each table is the median regret of random search after `--queries` queries; reported is the median number of
queries until that regret, for GBDT-NAS, regularized evolution (population 20, sample 5) and random search.

    python benchmarks/gbdt_queries.py

Prints JSON and writes benchmarks/results/gbdt_queries.json.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from common import finish

from archwright.benchmarks.protocol import Setting, maker, play, queries_until, regret_of
from archwright.benchmarks.statistics import finite, lower_median
from archwright.benchmarks.table import load

TABLES = ("nasbench201-cifar10", "nasbench201-cifar100", "nasbench201-imagenet16", "ec-nas-5", "nasbench-graph-cora")
EVOLUTION = "regularized_evolution(population=20, sample=5)"
METHODS = ("random", EVOLUTION, "gbdt_nas")


def curves_of(setting: Setting, method: str, seeds: int, best: float) -> np.ndarray:
    """(seeds, queries) regret; infinite before the first result."""
    make = maker(method, setting.queries)
    found = np.full((seeds, setting.queries), np.inf)
    for seed in range(seeds):
        curve = regret_of(play(setting, make, seed), best)
        found[seed, : len(curve)] = np.where(np.isnan(curve), np.inf, curve)
        found[seed, len(curve) :] = found[seed, len(curve) - 1]
    return found


def compare(name: str, queries: int, seeds: int) -> dict[str, Any]:
    """The goal of one table, and each method's median number of queries until it."""
    table = load(name)
    setting = Setting(table, queries)
    truth = setting.problem().losses_of(
        {table.goal: table.read(table.goal, np.arange(len(table.codes)), true=True)}, len(table.codes)
    )
    best = float(np.nanmin(truth))
    curves = {"random": curves_of(setting, "random", seeds, best)}
    goal = float(np.median(curves["random"][:, -1]))
    for method in METHODS[1:]:
        limit = queries // 2 if method == "gbdt_nas" else queries
        curves[method] = curves_of(Setting(table, limit), method, seeds, best)
    needed = {}
    for method, runs in curves.items():
        counts = [queries_until(run, goal) for run in runs]
        needed[method] = finite(float(lower_median(np.array([np.inf if c is None else c for c in counts]))))
    own = needed["gbdt_nas"]
    over = {m: None if not own or needed[m] is None else round(needed[m] / own, 2) for m in ("random", EVOLUTION)}
    return {
        "goal_regret": round(goal, 5),
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
