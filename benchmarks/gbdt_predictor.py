"""Boosted trees against perceptrons at 200 labels, and what is left of a space once SHAP values have pruned it.

On each table 200 random architectures are labelled with one noisy training. Kendall's tau is that of the predictions
for 1,500 others with what a comparison is scored on; the same labels, encodings and architectures for all. Pruning
removes as many options as a quarter of all and compares the mean accuracy of the members that are left with that of
all (Luo et al., 2020, "Accuracy Prediction with Non-neural Model for Neural Architecture Search", section 3.3).

    python benchmarks/gbdt_predictor.py

Prints JSON and writes benchmarks/results/gbdt_predictor.json.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from common import finish

from archwright.benchmarks.table import load
from archwright.predictors.metrics import kendall
from archwright.registry import get
from archwright.space import Architectures
from archwright.strategies.gbdt import prune_space

TABLES = ("nasbench201-cifar10", "nasbench201-cifar100", "nasbench201-imagenet16", "ec-nas-5", "nasbench-graph-cora")
PREDICTORS = {
    "gbdt": ("gbdt", {}),
    "mlp": ("mlp", {}),
    "one_mlp": ("mlp", {"members": 1}),
}
LABELS, OTHERS = 200, 1500


def compare(name: str, seeds: int) -> dict[str, Any]:
    """Means over seeds, and their least difference."""
    table = load(name)
    every = np.arange(len(table.codes))
    seen, true = table.read(table.goal, every), table.read(table.goal, every, true=True)
    known = np.flatnonzero(np.isfinite(seen) & np.isfinite(true))
    tau: dict[str, list[float]] = {p: [] for p in PREDICTORS}
    gained, left = [], []
    count = int(table.space.sizes.sum()) // 4
    for seed in range(seeds):
        rows = np.random.default_rng(seed).permutation(known)
        own, others = rows[:LABELS], rows[LABELS : LABELS + OTHERS]
        labelled = Architectures(table.space, table.codes[own])
        unseen = Architectures(table.space, table.codes[others])
        for key, (predictor, options) in PREDICTORS.items():
            fitted = get("predictors", predictor)(table.space, seed=seed, **options).fit(labelled, seen[own])
            tau[key].append(kendall(fitted.predict(unseen)[0], true[others]))
        inside = prune_space(table.space, labelled, -seen[own], count, seed=seed).is_member(table.codes[known])
        gained.append(float(true[known][inside].mean() - true[known].mean()))
        left.append(float(inside.mean()))
    mean = {key: round(float(np.mean(values)), 4) for key, values in tau.items()}
    return {
        "kendall_mean": mean,
        "gbdt_minus_mlp": round(mean["gbdt"] - max(mean["mlp"], mean["one_mlp"]), 4),
        "seeds_with_gbdt_ahead": int(np.sum(np.array(tau["gbdt"]) >= np.array(tau["mlp"]))),
        "removed_options": count,
        "members_left_share": round(float(np.mean(left)), 4),
        "mean_accuracy_gained_by_pruning": round(float(np.mean(gained)), 3),
        "least_gained": round(float(np.min(gained)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tables", nargs="*", default=list(TABLES))
    given = parser.parse_args()
    tables: dict[str, Any] = {}
    for name in given.tables:
        tables[name] = compare(name, given.seeds)
        print(name, tables[name], flush=True)
    figures = {
        "settings": vars(given),
        "tables": tables,
        "least_gbdt_minus_mlp": min(t["gbdt_minus_mlp"] for t in tables.values()),
        "least_mean_gained_by_pruning": min(t["mean_accuracy_gained_by_pruning"] for t in tables.values()),
        "target": "both at least 0",
    }
    finish("gbdt_predictor", figures)


if __name__ == "__main__":
    main()
