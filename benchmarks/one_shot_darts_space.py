"""A short search on the DARTS space and a short evaluation, against 8 random cells trained with the same recipe.

    python benchmarks/one_shot_darts_space.py

Cells are searched on real CIFAR-10 images at 16 pixels, re-stacked by `transfer` into a deeper network with trained
norms and trained; random cells (two edges a node, no `none`, as the search derives
them) get the same. Relative improvement = 100 (found / random - 1) of the mean test accuracies (Yang et al., 2020,
section 3), with a 95 % bootstrap interval over both groups. Writes benchmarks/results/one_shot_darts_space.json after
every network; a run that was stopped goes on where the settings are equal.
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

from archwright.benchmarks.one_shot import mean_interval
from archwright.gradient import GradientSearch
from archwright.gradient.recipes import recipe
from archwright.gradient.selections.edges import edge_groups, skip_share
from archwright.nets import build
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.space import Architecture, Space
from archwright.spaces.darts import darts
from archwright.spaces.transfer import transfer
from archwright.tasks import load
from archwright.tasks.base import Task

NAME = "one_shot_darts_space"
KEPT = 2  # edges of a node
RANDOM = "random"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="darts,fair-darts")
    parser.add_argument("--seeds", type=int, default=3, help="searches of each method")
    parser.add_argument("--random", type=int, default=8)
    parser.add_argument("--search-epochs", type=int, default=6)
    parser.add_argument("--search-images", type=int, default=3200)
    parser.add_argument("--search-channels", type=int, default=8)
    parser.add_argument("--search-cells", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--images", type=int, default=4800)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--cells", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    return parser.parse_args()


def random_cell(space: Space, rng: np.random.Generator) -> Architecture:
    """Random operators on two random edges of every node."""
    code = np.zeros(len(space.decisions), dtype=np.int64)
    for group in edge_groups(space):
        kept = rng.permutation(len(group.decisions))[:KEPT].tolist()
        for i, (d, none) in enumerate(zip(group.decisions, group.none, strict=True)):
            others = [k for k in range(space.decisions[d].size) if k != none]
            code[d] = rng.choice(others) if i in kept else none
    return space.architectures(code[None])[0]


def found_cell(space: Space, task: Task, options: argparse.Namespace, name: str, seed: int) -> Architecture:
    """The cell of a short search; rates of the architecture parameters are ten times those of the 50-epoch recipe."""
    method = recipe(name, epochs=options.search_epochs, batch=32)
    method = method.with_(architecture=replace(method.architecture, lr=10 * method.architecture.lr))
    return GradientSearch(space, task, method, seed=seed).run(random=0).last


def trained(architecture: Architecture, options: argparse.Namespace, task: Task, seed: int) -> dict[str, Any]:
    """Test accuracy of the re-stacked cell."""
    began = time.process_time()
    target = darts(task.input_shape, task.outputs, channels=options.channels, cells=options.cells, affine=True)
    net = build(transfer(architecture, target), task.input_shape, seed=seed)
    train(net, task, Recipe("sgd", 0.05, weight_decay=3e-4, epochs=options.epochs, batch=64, clip=5.0), seed=seed)
    return {
        "seed": seed,
        "test_accuracy_percent": evaluate(net, task, "test")["accuracy_percent"],
        "params_m": sum(p.numel() for p in net.parameters()) / 1e6,
        "skip_share": skip_share(architecture.space, architecture.code),
        "code": architecture.code.tolist(),
        "cpu_seconds": time.process_time() - began,
    }


def improvement(found: np.ndarray, chance: np.ndarray) -> dict[str, Any]:
    """Relative improvement in percent with a bootstrap interval."""
    rng = np.random.default_rng(0)
    draws = [rng.choice(x, (10_000, len(x))).mean(axis=1) for x in (found, chance)]
    spread = 100 * (draws[0] / draws[1] - 1)
    return {
        "percent": float(100 * (found.mean() / chance.mean() - 1)),
        "interval_95": np.percentile(spread, [2.5, 97.5]).tolist(),
    }


def figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean accuracies with intervals, of the random cells and of every method, and its relative improvement."""
    by = {kind: np.array([r["test_accuracy_percent"] for r in rows if r["kind"] == kind]) for kind in kinds(rows)}
    chance = by.pop(RANDOM)
    said = {
        m: {**mean_interval(x), "relative_improvement": improvement(x, chance)} for m, x in by.items() if len(x) > 1
    }
    return {RANDOM: mean_interval(chance) if len(chance) > 1 else None, "methods": said}


def kinds(rows: list[dict[str, Any]]) -> list[str]:
    """Kinds in the order in which they came."""
    return list(dict.fromkeys(r["kind"] for r in rows))


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    small = load("cifar10_20k", pixels=16, images=options.search_images)
    task = load("cifar10_20k", pixels=16, images=options.images)
    space = darts(small.input_shape, small.outputs, channels=options.search_channels, cells=options.search_cells)
    settings = {k: v for k, v in vars(options).items() if k not in ("dry", "methods", "seeds", "random")}
    rng, path, rows = np.random.default_rng(0), RESULTS / f"{NAME}.json", list[dict[str, Any]]()
    if path.exists() and not options.dry:
        before = json.loads(path.read_text(encoding="utf-8"))
        rows = before["nets"] if before["settings"] == settings else []
    done = {(r["kind"], r["seed"]) for r in rows}
    chance = [random_cell(space, rng) for _ in range(options.random)]
    methods = options.methods.split(",")
    plan = [(RANDOM, s) for s in range(options.random)] + [(m, s) for m in methods for s in range(options.seeds)]
    for kind, seed in plan:
        if (kind, seed) in done:
            continue
        began = time.process_time()
        cell = chance[seed] if kind == RANDOM else found_cell(space, small, options, kind, seed)
        searched = time.process_time() - began
        rows.append({"kind": kind, "search_cpu_seconds": searched, **trained(cell, options, task, seed)})
        print(json.dumps(rows[-1]), flush=True)
        if not options.dry:
            write(NAME, {"settings": settings, **figures(rows), "nets": rows})


if __name__ == "__main__":
    main()
