"""SuperTickets: one run that prunes operators and weights, against search, training, pruning and retraining.

    python benchmarks/supertickets.py

Real CIFAR-10 images at 16 pixels; layers of inverted residuals with kernel 3, 5, 7 or none; 80 % sparsity. The recipe
`supertickets` runs for all epochs and gives a network that is not trained any further; or it runs for two thirds of
them, and the ticket is retrained under its masks for the last one. The pipeline has as many steps on the same rows: a
third for a search with `single-level`, a third for training what it found (afresh, or from the shared weights), then
the smallest weights of each tensor are pruned, and a third for retraining under the masks. The learning rate falls by a
cosine in each part. Beside the ticket stand random node masks at its sparsity. The ticket is then carried to a second
task, the 20 superclasses of CIFAR-100, by a new head, and trained there beside the same masks with fresh weights and
beside random masks. Writes benchmarks/results/supertickets.json after every part; a run that was stopped goes on where
the settings are equal.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from common import RESULTS, write
from torch import Tensor, nn

from archwright.analysis.random_sparse import beside_random, masked, node_mask
from archwright.benchmarks.one_shot import mean_interval
from archwright.gradient import GradientSearch
from archwright.gradient.method import Method, Training
from archwright.gradient.recipes import recipe
from archwright.gradient.selections.argmax import Argmax
from archwright.nets import build
from archwright.nets.masks import magnitude_masks, masks_of, zero_share
from archwright.nets.recalibrate import recalibrate_
from archwright.nets.recipe import Recipe
from archwright.nets.ticket import carry
from archwright.nets.train import evaluate, train
from archwright.space import Architecture, Space
from archwright.spaces.proxylessnas import proxylessnas
from archwright.spaces.transfer import transfer
from archwright.tasks import load
from archwright.tasks.base import Task

NAME = "supertickets"
SPARSITY = 0.8
STAGES = ((16, 2, 2), (24, 2, 2), (40, 2, 1))
REACH = 4.0  # of an architecture parameter in a search
Row = dict[str, Any]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=18, help="of the one run; a multiple of three")
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--second-epochs", type=int, default=6)
    parser.add_argument("--second-images", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no part after so long")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    return parser.parse_args()


def space_of(task: Task) -> Space:
    sizes: dict[str, Any] = {"stages": STAGES, "stem": 16, "stem_stride": 1, "first": 16, "head": 96}
    return proxylessnas(task.input_shape, task.outputs, expansions=(4,), **sizes)


def method(name: str, epochs: int, steps: int, **changes: Any) -> Method:
    """A recipe with the benchmark's rates; the architecture parameters reach equally far."""
    made = recipe(name, epochs=epochs, batch=64, weights=Training(lr=0.05, lr_end=0.0), **changes)
    return made.with_(architecture=replace(made.architecture, lr=REACH / steps))


def training(epochs: int) -> Recipe:
    return Recipe("sgd", 0.05, weight_decay=3e-4, epochs=epochs, batch=64, clip=5.0)


def tested(net: nn.Module, task: Task) -> float:
    """Test accuracy with fresh batch-norm statistics, as shared weights need them."""
    recalibrate_(net, task.train.batches(128))
    return evaluate(net, task, "test")["accuracy_percent"]


def one_run(task: Task, epochs: int, more: int, seed: int) -> tuple[Row, nn.Module, Architecture]:
    """The ticket as the run leaves it, or retrained under its masks for some more epochs."""
    began = time.process_time()
    steps = int(0.9 * len(task.train)) // 64
    search = GradientSearch(space_of(task), task, method("supertickets", epochs, epochs * steps), seed=seed)
    result = search.run(random=0)
    net = result.network()
    if more:
        net = masked(net, masks_of(net))
        train(net, replace(task, train=search.data.parts(0)[0]), training(more), seed=seed)
    row = {
        "test_accuracy_percent": tested(net, task),
        "zero_share": zero_share(net),
        "code": result.last.code.tolist(),
        "steps": epochs * search.data.steps + more * steps,
        "params_m": sum(p.numel() for p in net.parameters()) / 1e6,
        "cpu_seconds": time.process_time() - began,
    }
    return row, net, result.last


def pipeline(options: argparse.Namespace, task: Task, seed: int) -> Row:
    """Search, train, prune, retrain with as many steps in all; the search is shared by both starts of the training."""
    began, third = time.process_time(), options.epochs // 3
    steps = int(0.9 * len(task.train)) // 64
    search = GradientSearch(
        space_of(task), task, method("single-level", third, third * steps, selection=Argmax()), seed=seed
    )
    result = search.run(random=0)
    part = replace(task, train=search.data.parts(0)[0])  # the rows that the one run has
    row: Row = {"code": result.last.code.tolist(), "steps": third * search.data.steps + 2 * third * steps}
    for start in ("afresh", "from_shared_weights"):
        net = build(result.last, task.input_shape, seed=seed) if start == "afresh" else result.network()
        train(net, part, training(third), seed=seed)
        dense = tested(net, part)
        net = masked(net, magnitude_masks(net, SPARSITY))
        train(net, part, training(third), seed=seed + 1000)
        row[start] = {"dense_percent": dense, "test_accuracy_percent": tested(net, task), "zero_share": zero_share(net)}
    return {**row, "cpu_seconds": time.process_time() - began}


def carried(options: argparse.Namespace, ticket: nn.Module, architecture: Architecture, seed: int) -> Row:
    """The ticket on the second task, its connections with fresh weights, and random node masks."""
    second = load("cifar100_12k", coarse=True, pixels=16, images=options.second_images)
    target = transfer(architecture, space_of(second))

    def fresh() -> nn.Module:
        return build(target, second.input_shape, seed=seed)

    def reached(net: nn.Module, masks: dict[str, Tensor]) -> float:
        net = masked(net, masks)
        train(net, second, training(options.second_epochs), seed=seed)
        return evaluate(net, second, "test")["accuracy_percent"]

    net = fresh()
    masks = carry(ticket, net)
    return {
        "ticket_percent": reached(net, masks),
        "connections_percent": reached(fresh(), masks),
        "random_masks_percent": reached(fresh(), node_mask(fresh(), SPARSITY, np.random.default_rng(seed))),
    }


def parts(options: argparse.Namespace, seed: int) -> Iterator[tuple[str, Callable[[], Row]]]:
    """What is measured for one seed: keys of its row, and the work for them."""
    task, third = load("cifar10_20k", pixels=16, images=options.images), options.epochs // 3

    def ticket() -> Row:
        row, net, architecture = one_run(task, options.epochs, 0, seed)
        beside = beside_random(
            "supertickets",
            {task.metric: row["test_accuracy_percent"]},
            lambda: build(architecture, task.input_shape, seed=seed),
            task,
            training(options.epochs),
            SPARSITY,
            seed=seed,
        )
        print(beside.line(task.metric), flush=True)
        random = {k: getattr(beside.random, k)[task.metric] for k in ("chosen", "first")}
        return {**row, "random_masks": random, "second_task": carried(options, net, architecture, seed)}

    yield "one_run", ticket
    yield "pipeline", lambda: pipeline(options, task, seed)
    yield "one_run_retrained", lambda: one_run(task, options.epochs - third, third, seed)[0]


def summary(seeds: dict[str, Row]) -> dict[str, Any]:
    """Means with intervals, and differences paired over seeds."""
    rows = [r for r in seeds.values() if {"one_run", "pipeline"} <= set(r)]
    if len(rows) < 2:
        return {}
    kinds = [k for k in ("one_run", "one_run_retrained") if all(k in r for r in rows)]
    ours = {k: np.array([r[k]["test_accuracy_percent"] for r in rows]) for k in kinds}
    out: dict[str, Any] = {"seeds": len(rows), **{k: mean_interval(v) for k, v in ours.items()}}
    for start in ("afresh", "from_shared_weights"):
        theirs = np.array([r["pipeline"][start]["test_accuracy_percent"] for r in rows])
        out[f"pipeline_{start}"] = mean_interval(theirs)
        out |= {f"gain_of_{k}_over_{start}_points": mean_interval(v - theirs) for k, v in ours.items()}
    out["random_masks"] = mean_interval(np.array([r["one_run"]["random_masks"]["chosen"] for r in rows]))
    second = [r["one_run"]["second_task"] for r in rows]
    out["second_task"] = {k: mean_interval(np.array([r[k] for r in second])) for k in second[0]}
    return out


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    settings = {k: v for k, v in vars(options).items() if k not in ("dry", "seeds", "seconds")}
    path, rows, began = RESULTS / f"{NAME}.json", dict[str, Row](), time.monotonic()
    if path.exists() and not options.dry:
        before = json.loads(path.read_text(encoding="utf-8"))
        rows = before["seeds"] if before["settings"] == settings else {}
    for seed in range(options.seeds):
        row = rows.setdefault(str(seed), {})
        for name, work in parts(options, seed):
            if name in row or time.monotonic() - began > options.seconds:
                continue
            row[name] = work()
            print(seed, name, json.dumps(row[name]), flush=True)
            if not options.dry:
                write(NAME, {"settings": settings, "summary": summary(rows), "seeds": rows})
    print(json.dumps(summary(rows), indent=1))


if __name__ == "__main__":
    main()
