"""Softmax, linear and mixed attention over many tokens: what a search by gradients mixes, trained beside both extremes.

    python benchmarks/mixed_attention.py

Real images (MNIST) as 14 x 14 tokens. RARTS searches the space `mixed_attention` under a hard budget of
multiply-accumulates below those of softmax attention everywhere; the found network, the network of the largest sizes
with softmax in every layer, and the one with linear attention in every layer are then trained alike from fresh weights.
Wanted: accuracy within one point of softmax everywhere with fewer multiply-accumulates. Writes
benchmarks/results/mixed_attention.json after every training.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

import numpy as np
import torch
from common import RESULTS, write

from archwright.costs.counts import Counts
from archwright.gradient import GradientSearch
from archwright.gradient.method import Training
from archwright.gradient.penalties.cost import Budget
from archwright.gradient.recipes import recipe
from archwright.gradient.selections.argmax import Argmax
from archwright.nets import build
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.space import Architecture, Space
from archwright.spaces.mixed_attention import mixed_attention
from archwright.tasks import load
from archwright.tasks.base import Task

SIZES: dict[str, Any] = {"layers": 3, "features": 32, "heads": (2, 4), "head_dim": 8, "hidden": (32, 64), "patch": 2}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--search-epochs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--budget", type=float, default=0.7, help="share of the MACs of softmax everywhere")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    return parser.parse_args()


def extreme(space: Space, name: str) -> Architecture:
    """The largest network with one kind of attention in every layer."""
    largest = space.largest()
    code = np.array(largest.code)
    for d in space.decisions:
        if d.name and d.name.startswith("attention"):
            code[d.index] = next(k for k, o in enumerate(d.options) if type(o).__name__ == name)
    return space.architectures(code[None])[0]


def searched(space: Space, task: Task, cost: Counts, at_most: float, epochs: int) -> Architecture:
    """What RARTS finds within the budget."""
    method = recipe("rarts", epochs=epochs, batch=64, selection=Argmax(), penalties=(Budget(cost, "macs_m", at_most),))
    weights = Training("adam", 3e-3, 1e-4, weight_decay=1e-4)
    method = method.with_(weights=weights, architecture=Training("adam", 0.02, None, clip=0.0))
    return GradientSearch(space, task, method, seed=0).run(random=0).architecture


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    task = load("mnist_25k")
    task = dataclasses.replace(task, train=task.train.take(options.images, np.random.default_rng(0)))
    space = mixed_attention(task.input_shape, task.outputs, **SIZES)
    cost = Counts(space, task.input_shape)
    settings = {k: v for k, v in vars(options).items() if k != "dry"} | SIZES
    path = RESULTS / "mixed_attention.json"
    known = json.loads(path.read_text()) if path.exists() and not options.dry else {}
    figures = known if known.get("settings") == json.loads(json.dumps(settings)) else {"settings": settings}
    nets = {"softmax": extreme(space, "Attention"), "linear": extreme(space, "LinearAttention")}
    if "found_code" not in figures:
        macs = float(cost.evaluate(space.codes([nets["softmax"]]))["macs_m"][0])
        found = searched(space, task, cost, options.budget * macs, options.search_epochs)
        figures["found_code"] = np.asarray(found.code).tolist()
        if not options.dry:
            write("mixed_attention", figures)
    nets["found"] = space.architectures(np.array([figures["found_code"]]))[0]
    figures["attentions_found"] = [
        type(space.option_value(d, int(k))).__name__
        for d, k in zip(space.decisions, nets["found"].code, strict=True)
        if d.name and d.name.startswith("attention")
    ]
    figures["macs_m"] = {n: float(cost.evaluate(space.codes([a]))["macs_m"][0]) for n, a in nets.items()}
    accuracy: dict[str, list[float]] = figures.setdefault("accuracy_percent", {n: [] for n in nets})
    for seed in range(options.seeds):
        for name, architecture in nets.items():
            if len(accuracy[name]) > seed:
                continue
            net = build(architecture, task.input_shape, seed=seed)
            train(net, task, Recipe(epochs=options.epochs, lr=3e-3), seed=seed)
            accuracy[name].append(evaluate(net, task, "test")["accuracy_percent"])
            print(seed, name, accuracy[name], flush=True)
            if not options.dry:
                write("mixed_attention", summary(figures))


def summary(figures: dict[str, Any]) -> dict[str, Any]:
    """With the mean gap over the seeds that all have, and the share of the multiply-accumulates."""
    rows = figures["accuracy_percent"]
    common = min(map(len, rows.values()))
    if common:
        gap = np.mean(rows["softmax"][:common]) - np.mean(rows["found"][:common])
        figures["found_behind_softmax_points"] = round(float(gap), 3)
    figures["macs_share"] = round(figures["macs_m"]["found"] / figures["macs_m"]["softmax"], 4)
    return figures


if __name__ == "__main__":
    main()
