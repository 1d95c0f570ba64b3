"""Quality of one-shot methods on NAS-Bench-201: searched on real CIFAR-10 images, looked up in the table.

    python benchmarks/one_shot.py
    python benchmarks/one_shot.py --methods darts,gdas --seeds 1 --epochs 2 --out ""

Every recipe searches the NAS-Bench-201 space, in a smaller stack (--cells, --channels) and on images of --side pixels;
its architecture's published accuracy after 200 epochs is looked up. Beside it: random cells of the table. The recipes
are as published but for what a short search needs: architecture parameters learn at up to ten times the rate, because
the search has about thirty times fewer steps; methods that train one path a step get --path-epochs epochs, which cost
about the same; selections measure on --measured batches. All six edges are kept, as everywhere on this space.

Writes benchmarks/results/one_shot.json after every search; a run that was stopped goes on where the settings are equal.
`bignas` (no order of sizes) and `tanglenas` (nothing to entangle) do not apply to this space.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from common import RESULTS, write
from small_images import cifar10_16px

from archwright.data import data_file
from archwright.gradient import GradientSearch
from archwright.gradient.method import Method
from archwright.gradient.recipes import recipe
from archwright.gradient.selections.argmax import Argmax
from archwright.gradient.selections.darts_edges import DartsEdges
from archwright.gradient.selections.edges import skip_share
from archwright.spaces.nasbench201 import nasbench201, to_string
from archwright.tasks import load
from archwright.tasks.base import Task

METRICS = {"cifar10": "c10_test_e200_mean", "cifar100": "c100_test_e200_mean", "imagenet16": "in16_test_e200_mean"}
METHODS = (
    "darts-pt,spos,pc-darts,drnas,gdas,darts,ab-darts,random-ws,rarts,single-stage,sd-darts,fairnas,fair-darts,"
    "proxylessnas,fbnet,sharpdarts,single-level,multi-arch,p-darts,proxylessnas-r,darts-2nd"
)
TARGET = 93.5  # mean CIFAR-10 accuracy of the best recipe, percent
RANDOM = 1000
FASTER = 10.0  # at most, see above
LARGEST_RATE = 0.01


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--path-epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--cells", type=int, default=1, help="of a stage")
    parser.add_argument("--channels", type=int, default=8, help="of the first stage")
    parser.add_argument("--side", type=int, default=16, choices=(16, 32))
    parser.add_argument("--measured", type=int, default=8)
    parser.add_argument("--images", type=int, default=8000, help="training images of both parts together, 16 pixels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", default="one_shot", help="name of the result; empty = write nothing")
    return parser.parse_args()


def looked_up(code: np.ndarray) -> dict[str, float]:
    """Mean published accuracy after 200 epochs, percent."""
    table = np.load(data_file("nasbench/nb201_accuracy.npz"))
    row = int(np.flatnonzero((table["ops"] == code).all(axis=1))[0])
    return {f"{name}_accuracy_percent": float(table[column][row]) for name, column in METRICS.items()}


def short(name: str, options: argparse.Namespace) -> Method:
    """A recipe for a short search on this space."""
    path = recipe(name).relaxation.one_path
    method = recipe(name, epochs=options.path_epochs if path else options.epochs, batch=options.batch)
    rate = method.architecture.lr
    faster = replace(method.architecture, lr=max(rate, min(FASTER * rate, LARGEST_RATE)))
    selection: Any = Argmax() if isinstance(method.selection, DartsEdges) else method.selection
    if hasattr(selection, "batches"):
        selection = replace(selection, batches=options.measured)
    if hasattr(selection, "tuning"):
        selection = replace(selection, tuning=0.5)
    if getattr(selection, "generations", 1) > 8:
        selection = replace(selection, generations=8)
    return method.with_(architecture=faster, selection=selection)


def one(name: str, options: argparse.Namespace, seed: int, task: Task) -> dict[str, Any]:
    """One search."""
    c = options.channels
    space = nasbench201(task.input_shape, task.outputs, channels=(c, 2 * c, 4 * c), cells=options.cells)
    started, cpu = time.perf_counter(), time.process_time()
    method = short(name, options)
    result = GradientSearch(space, task, method, seed=seed).run()
    code = result.architecture.code
    return {
        "method": name,
        "seed": seed,
        "epochs": method.epochs,
        "architecture": to_string(code),
        **looked_up(code),
        "last_epoch": looked_up(result.last.code),
        "skip_share": skip_share(space, code),
        "last_skip_share": skip_share(space, result.last.code),
        "best_epoch": result.best_epoch,
        "each_epoch": [looked_up(np.array(r["code"]))["cifar10_accuracy_percent"] for r in result.history],
        "discretisation_gap": [r["discretisation_gap"] for r in result.history],
        "entropy": [r["entropy"] for r in result.history],
        "random_with_shared_weights": result.random,
        "wall_seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
    }


def interval(values: np.ndarray) -> list[float]:
    """95 % confidence interval of a mean, by Student's t."""
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return [float(values.mean()) - half, float(values.mean()) + half]


def random_cells() -> dict[str, Any]:
    """Published accuracies of random cells."""
    table = np.load(data_file("nasbench/nb201_accuracy.npz"))
    out: dict[str, Any] = {"cells": RANDOM}
    rows = np.random.default_rng(0).choice(len(table["ops"]), RANDOM, replace=False)
    for name, column in METRICS.items():
        found = table[column][rows].astype(np.float64)
        out[name] = {
            "mean": float(found.mean()),
            "interval_95": interval(found),
            "median": float(np.median(found)),
            "best_in_table": float(table[column].max()),
        }
    return out


def summary(rows: list[dict[str, Any]], wanted: int) -> dict[str, Any]:
    """Means by method; what the targets ask for."""
    methods: dict[str, Any] = {}
    for name in dict.fromkeys(r["method"] for r in rows):
        mine = [r for r in rows if r["method"] == name]
        methods[name] = {"seeds": len(mine)}
        for metric in METRICS:
            found = np.array([r[f"{metric}_accuracy_percent"] for r in mine])
            methods[name][metric] = {"mean": float(found.mean()), "std": float(found.std()), "all": found.tolist()}
        methods[name]["largest_skip_share"] = max(max(r["skip_share"], r["last_skip_share"]) for r in mine)
        methods[name]["cpu_seconds_a_search"] = float(np.mean([r["cpu_seconds"] for r in mine]))
    complete = {n: m["cifar10"]["mean"] for n, m in methods.items() if m["seeds"] >= wanted}
    best = max(complete, key=lambda n: complete[n]) if complete else None
    skips = [m["largest_skip_share"] for n, m in methods.items() if n in ("darts-pt", "pc-darts")]
    return {
        "target": {"best_recipe_cifar10_percent": TARGET, "largest_skip_share_of_darts_pt_and_pc_darts": "below 1"},
        "best_recipe": best,
        "best_recipe_cifar10_percent": None if best is None else complete[best],
        "best_recipe_meets_target": best is not None and complete[best] > TARGET,
        "largest_skip_share_of_darts_pt_and_pc_darts": max(skips) if skips else None,
        "methods": methods,
    }


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    task = cifar10_16px(options.images) if options.side == 16 else load("cifar10_20k")
    settings = {k: v for k, v in vars(options).items() if k not in ("methods", "seeds", "out", "threads")}
    rows: list[dict[str, Any]] = []
    path = RESULTS / f"{options.out}.json"
    if options.out and path.exists():
        known = json.loads(path.read_text())
        rows = known["searches"] if known.get("settings") == settings else []
    done = {(r["method"], r["seed"]) for r in rows}
    for seed in range(options.seeds):
        for name in options.methods.split(","):
            if (name, seed) in done:
                continue
            rows.append(one(name, options, seed, task))
            print(json.dumps({k: v for k, v in rows[-1].items() if not isinstance(v, dict)}), flush=True)
            figures = {"settings": settings, "summary": summary(rows, options.seeds), "random_cells": random_cells()}
            if options.out:
                write(options.out, {**figures, "searches": rows})
    print(json.dumps(summary(rows, options.seeds)))


if __name__ == "__main__":
    main()
