"""Queries that boosted trees need for what random search reaches with many, on tables of graphs and strings.

The goal on each table is the best value that random search has observed after `--queries` queries (median over seeds);
reported is the median number of queries until it is observed, for GBDT-NAS, regularized evolution (population 20,
sample 5) and random search; a run that does not get there counts as `--queries`. What was observed counts, not the mean
over seeds, because on the noisy tables the latter hardly depends on the search.

    python benchmarks/gbdt_queries.py

Prints JSON and writes benchmarks/results/gbdt_queries.json.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from common import finish
from scipy.stats import mannwhitneyu

from archwright.benchmarks.protocol import Setting, maker, play, queries_until
from archwright.benchmarks.statistics import finite, lower_median
from archwright.benchmarks.table import load

TABLES = ("nasbench201-cifar10", "nasbench201-cifar100", "nasbench201-imagenet16", "ec-nas-5", "nasbench-graph-cora")
EVOLUTION = "regularized_evolution(population=20, sample=5)"
METHODS = ("random", EVOLUTION, "gbdt_nas")


def curves_of(setting: Setting, method: str, seeds: int, *, until: float = -np.inf) -> np.ndarray:
    """(seeds, queries) best loss that was observed so far; infinite before the first and after the end at `until`."""
    make = maker(method, setting.queries)
    found = np.full((seeds, setting.queries), np.inf)
    for seed in range(seeds):
        seen = play(setting, make, seed, until=until).observed[:, 0]
        found[seed, : len(seen)] = np.where(np.isnan(seen), np.inf, seen)
    return np.minimum.accumulate(found, axis=1)


def compare(name: str, queries: int, seeds: int) -> dict[str, Any]:
    """The goal of one table, and each method's number of queries until it; those that never reach it count as all."""
    setting = Setting(load(name), queries)
    curves = {"random": curves_of(setting, "random", seeds)}
    goal = float(lower_median(curves["random"][:, -1]))
    curves |= {method: curves_of(setting, method, seeds, until=goal) for method in METHODS[1:]}
    counts = {m: np.array([queries_until(run, goal) or np.inf for run in runs]) for m, runs in curves.items()}
    median = {m: float(lower_median(c)) for m, c in counts.items()}
    own = counts["gbdt_nas"]
    return {
        "goal_loss": round(goal, 5),
        "median_queries": {m: finite(v) for m, v in median.items()},
        "mean_queries": {m: round(float(np.minimum(c, queries).mean()), 1) for m, c in counts.items()},
        "never": {m: int(np.isinf(c).sum()) for m, c in counts.items()},
        "random_over_gbdt": round(min(median["random"], queries) / median["gbdt_nas"], 2),
        "evolution_over_gbdt": round(min(median[EVOLUTION], queries) / median["gbdt_nas"], 2),
        "evolution_slower_p": round(float(mannwhitneyu(counts[EVOLUTION], own, alternative="greater").pvalue), 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--tables", nargs="*", default=list(TABLES))
    given = parser.parse_args()
    tables: dict[str, Any] = {}
    for name in given.tables:
        tables[name] = compare(name, given.queries, given.seeds)
        print(name, tables[name], flush=True)
    figures = {
        "settings": vars(given),
        "tables": tables,
        "least_random_over_gbdt": min(t["random_over_gbdt"] for t in tables.values()),
        "least_evolution_over_gbdt": min(t["evolution_over_gbdt"] for t in tables.values()),
        "target": "random at least 3, evolution above 1",
    }
    finish("gbdt_queries", figures)


if __name__ == "__main__":
    main()
