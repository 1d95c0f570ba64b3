"""Strategies on six small datasets, every architecture trained by us with one recipe: improvement over random ones.

    python benchmarks/small_datasets.py                 # about two minutes of training on one core, then seconds
    python benchmarks/small_datasets.py --minutes 5     # stops, and goes on at the next call

Relative improvement RI = 100 (m - r) / r of Yang et al., "NAS evaluation is frustratingly hard" (2020): m is the mean
test accuracy (three seeds) of what a method picked by one validation each, r that of random architectures of the same
space - the mean over all members, and beside it over eight random ones as in the paper. Intervals are bootstrapped over
seeds of the method.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import sklearn.datasets
import torch
from common import finish

from archwright.benchmarks.protocol import bench
from archwright.benchmarks.statistics import ranks_over
from archwright.benchmarks.table import TableBenchmark
from archwright.benchmarks.trained import tabulate
from archwright.data import data_file
from archwright.errors import ConfigurationError
from archwright.nets.recipe import Recipe
from archwright.spaces.mlp import mlp
from archwright.tasks import load
from archwright.tasks.base import Task

RECIPE = Recipe(epochs=12, batch=32, augment=False)
STRATEGIES = ("regularized_evolution(population=5, sample=2)", "local_search", "bayesian", "random")
QUERIES, SEEDS, TRAINED = 10, 20, 3


def tasks() -> dict[str, Task]:
    found = {}
    for name in ("iris", "wine", "breast_cancer", "digits"):
        x, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
        found[name] = load((x.astype(np.float32), y))
    with np.load(data_file("train/ucr_italypowerdemand.npz"), allow_pickle=False) as file:
        x = np.concatenate([file["x_train"], file["x_test"]])[:, 0]
        found["italy_power_demand"] = load((x, np.concatenate([file["y_train"], file["y_test"]])))
    frame = pandas.read_parquet(data_file("train/adult.parquet")).iloc[:1000].dropna()
    wide = pandas.get_dummies(frame.drop(columns=frame.columns[-1]))
    target = np.unique(frame[frame.columns[-1]].astype(str), return_inverse=True)[1]
    found["adult_1000"] = load((wide.to_numpy(np.float32), target))
    return {name: dataclasses.replace(task, name=name) for name, task in found.items()}


def tables(folder: Path, minutes: float) -> dict[str, TableBenchmark]:
    end = time.monotonic() + 60 * minutes
    found = {}
    for name, task in tasks().items():
        space = mlp(task.input_shape, task.outputs, widths=(4, 8, 16, 32, 64), hidden=(4, 32), depths=(0, 1))
        found[name] = tabulate(
            space, task, recipe=RECIPE, file=folder / f"{name}.jsonl", seeds=TRAINED,
            stop_after_s=max(0.0, end - time.monotonic()),
        )  # fmt: skip
        print(name, len(found[name].codes), flush=True)
    return found


def figures(name: str, table: TableBenchmark, entry: dict[str, Any]) -> dict[str, Any]:
    truth = table.read(table.goal, np.arange(len(table.codes)), true=True)
    eight = np.random.default_rng(0).choice(len(truth), 8, replace=False)
    return {
        "members": len(truth),
        "accuracy_percent": {
            "best": round(float(truth.max()), 2),
            "random, all members": round(float(truth.mean()), 2),
            "random, eight": [round(float(truth[eight].mean()), 2), round(float(truth[eight].std(ddof=1)), 2)],
        },
        "relative_improvement_percent": {
            method: [round(v, 3) for v in found["summary"]["relative_improvement_percent"]]
            for method, found in entry["strategies"].items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--work", type=Path, default=Path("runs/small_datasets"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    try:
        made = tables(given.work, given.minutes)
    except ConfigurationError as reason:
        raise SystemExit(str(reason)) from None
    results = bench(list(made.values()), STRATEGIES, seeds=SEEDS, queries=QUERIES, progress=print)
    found = {
        name: figures(name, table, entry)
        for (name, table), entry in zip(made.items(), results["benchmarks"], strict=True)
    }
    least = {s: min(f["relative_improvement_percent"][s][1] for f in found.values()) for s in STRATEGIES}
    finish(
        "small_datasets",
        {
            "recipe": RECIPE.to_json(), "queries": QUERIES, "seeds": SEEDS, "trainings_a_member": TRAINED,
            "datasets": found, "least_lower_end": least, "ranks": ranks_over(results["benchmarks"]),
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
