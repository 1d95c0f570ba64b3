"""DASS at 90 % and 99 % sparsity against DARTS whose found network is pruned, on the DARTS space.

    python benchmarks/dass.py

Cells are searched on real CIFAR-10 images at 16 pixels, with `dass` at each sparsity and with `darts` (equal epochs,
data, batches and reach of the architecture parameters). Every found cell is re-stacked by `transfer` with trained norms
and trained at the same sparsity by the same rule (dense, then scores, then the weights under fixed masks) for equal
epochs. Beside each stand random node masks at that sparsity on the same network, trained alike. Means with 95 %
intervals, differences paired over seeds. Writes benchmarks/results/dass.json after every part; a run that was stopped
goes on where the settings are equal.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from common import RESULTS, write

from archwright.analysis.random_sparse import beside_random
from archwright.benchmarks.one_shot import mean_interval
from archwright.gradient import GradientSearch
from archwright.gradient.recipes import recipe
from archwright.gradient.selections.edges import skip_share
from archwright.nets import build
from archwright.nets.masks import zero_share
from archwright.nets.recipe import Recipe
from archwright.nets.scores import Scores
from archwright.nets.train import evaluate
from archwright.nets.train_sparse import train_sparse
from archwright.space import Architecture, Space
from archwright.spaces.darts import darts
from archwright.spaces.transfer import transfer
from archwright.tasks import load
from archwright.tasks.base import Task

NAME = "dass"
SPARSITIES = (0.9, 0.99)
REACH = 1.0  # of an architecture parameter in a search
Row = dict[str, Any]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2", help="with commas between")
    parser.add_argument("--search-epochs", type=int, default=6)
    parser.add_argument("--search-images", type=int, default=1600)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=3, help="of a cell")
    parser.add_argument("--candidates", type=int, default=20, help="random masks that are drawn")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no part after so long")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    return parser.parse_args()


def space_of(task: Task, options: argparse.Namespace, *, affine: bool = False) -> Space:
    sizes = {"channels": options.channels, "cells": options.cells, "nodes": options.nodes}
    return darts(task.input_shape, task.outputs, affine=affine, **sizes)


def searched(options: argparse.Namespace, sparsity: float | None, seed: int) -> Row:
    """The cell of a search; under masks where a sparsity is given."""
    began = time.process_time()
    task = load("cifar10_20k", pixels=16, images=options.search_images)
    space = space_of(task, options)
    changes: dict[str, Any] = {} if sparsity is None else {"sparsity": sparsity}
    method = recipe("darts" if sparsity is None else "dass", epochs=options.search_epochs, batch=32, **changes)
    steps = (method.epochs - method.warmup) * int(0.5 * len(task.train) / method.batch)
    method = method.with_(architecture=replace(method.architecture, lr=REACH / steps))
    found = GradientSearch(space, task, method, seed=seed).run(random=0).last
    return {
        "code": found.code.tolist(),
        "skip_share": skip_share(space, found.code),
        "operators": [found.space.option_value(d, int(c)) for d, c in zip(space.decisions, found.code, strict=True)],
        "cpu_seconds": time.process_time() - began,
    }


def network(options: argparse.Namespace, task: Task, code: list[int], seed: int) -> torch.nn.Module:
    """A fresh network of re-stacked cells."""
    found = Architecture(space_of(task, options), np.array(code, dtype=np.int16))
    return build(transfer(found, space_of(task, options, affine=True)), task.input_shape, seed=seed)


def trained(options: argparse.Namespace, code: list[int], sparsity: float, seed: int) -> Row:
    """Test accuracy of a found cell that is trained at a sparsity."""
    began = time.process_time()
    task = load("cifar10_20k", pixels=16, images=options.images)
    net = network(options, task, code, seed)
    train_sparse(net, task, training(options), Scores(net, sparsity), seed=seed)
    return {
        "test_accuracy_percent": evaluate(net, task, "test")["accuracy_percent"],
        "zero_share": zero_share(net),
        "params_m": sum(p.numel() for p in net.parameters()) / 1e6,
        "cpu_seconds": time.process_time() - began,
    }


def random_masks(options: argparse.Namespace, method: str, row: Row, code: list[int], seed: int) -> Row:
    """Random node masks on the same network at the sparsity of a trained row."""
    task = load("cifar10_20k", pixels=16, images=options.images)
    made = beside_random(
        method,
        {task.metric: row["test_accuracy_percent"]},
        lambda: network(options, task, code, seed),
        task,
        training(options),
        row["sparsity"],
        candidates=options.candidates,
        seed=seed,
    )
    print(made.line(task.metric), flush=True)
    return {"chosen_percent": made.random.chosen[task.metric], "first_percent": made.random.first[task.metric]}


def training(options: argparse.Namespace) -> Recipe:
    return Recipe("sgd", 0.05, weight_decay=3e-4, epochs=options.epochs, batch=64, clip=5.0)


def summary(rows: dict[str, Row]) -> dict[str, Any]:
    """Means with intervals and paired differences at each sparsity."""
    out: dict[str, Any] = {}
    for sparsity in SPARSITIES:
        of = {m: {k: r for k, r in rows.items() if k.startswith(f"train {m} {sparsity} ")} for m in ("dass", "darts")}
        pairs = [
            (r["test_accuracy_percent"], of["darts"][k.replace("dass", "darts")]["test_accuracy_percent"], k)
            for k, r in of["dass"].items()
            if k.replace("dass", "darts") in of["darts"]
        ]
        if len(pairs) < 2:
            continue
        ours, theirs = (np.array([p[i] for p in pairs]) for i in (0, 1))
        out[str(sparsity)] = {
            "dass": mean_interval(ours),
            "darts_then_pruned": mean_interval(theirs),
            "gain_points": mean_interval(ours - theirs),
            "seeds": len(pairs),
            **{
                f"random_masks_on_{m}": mean_interval(np.array(found))
                for m in of
                if len(
                    found := [r["chosen_percent"] for k, r in rows.items() if k.startswith(f"random {m} {sparsity} ")]
                )
                > 1
            },
        }
    return out


def known(settings: dict[str, Any]) -> dict[str, Row]:
    """The parts that the file holds, if they were made with these settings."""
    path = RESULTS / f"{NAME}.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    found: dict[str, Row] = before["parts"] if before.get("settings") == settings else {}
    return found


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    settings = {k: v for k, v in vars(options).items() if k not in ("dry", "seeds", "seconds")}
    rows, began = {} if options.dry else known(settings), time.monotonic()

    def part(key: str, work: Callable[[], Row], **more: Any) -> Row | None:
        """A part's row, from the file or made now; None where there is no time."""
        if key not in rows:
            if time.monotonic() - began > options.seconds:
                return None
            made = {**more, **work()}
            rows.update({} if options.dry else known(settings))  # other seeds may be run beside this
            rows[key] = made
            print(key, json.dumps(rows[key]), flush=True)
            if not options.dry:
                write(NAME, {"settings": settings, "sparsities": summary(rows), "parts": rows})
        return rows[key]

    seeds = [int(s) for s in options.seeds.split(",")]
    plan = [(m, s, seed) for seed in seeds for s in SPARSITIES for m in ("dass", "darts")]
    for method, sparsity, seed in plan:
        asked = sparsity if method == "dass" else None
        key = f"search {method} {sparsity} {seed}" if method == "dass" else f"search darts {seed}"
        found = part(key, lambda a=asked, s=seed: searched(options, a, s))
        if found is not None:
            part(
                f"train {method} {sparsity} {seed}",
                lambda c=found["code"], sp=sparsity, s=seed: trained(options, c, sp, s),
                sparsity=sparsity,
            )
    for method, sparsity, seed in plan:
        row = rows.get(f"train {method} {sparsity} {seed}")
        found = rows.get(f"search {method} {sparsity} {seed}", rows.get(f"search darts {seed}"))
        if row is not None and found is not None:
            part(
                f"random {method} {sparsity} {seed}",
                lambda m=method, r=row, c=found["code"], s=seed: random_masks(options, m, r, c, s),
            )
    print(json.dumps(summary(rows), indent=1))


if __name__ == "__main__":
    main()
