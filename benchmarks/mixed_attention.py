"""Softmax, linear and mixed attention over many tokens: what a search by gradients mixes, trained beside both extremes.

    python benchmarks/mixed_attention.py

Real images (MNIST) as 14 x 14 tokens. RARTS searches the space `mixed_attention` under a hard budget of
multiply-accumulates below those of softmax attention everywhere, seven tenths of its epochs for the shared weights
alone; the found network, the network of the largest sizes with softmax in every layer, and the one with linear
attention in every layer are then trained alike from fresh weights. Wanted: accuracy within one point of softmax
everywhere with fewer multiply-accumulates, in the mean over the seeds. Writes benchmarks/results/mixed_attention.json
after every part and goes on from there; several processes may take a part each.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any

import numpy as np
import torch
from common import ahead, joined, write

from archwright.costs.counts import Counts
from archwright.gradient import GradientSearch
from archwright.gradient.method import Training
from archwright.gradient.mixings.entangled import EntangledWeights
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

BATCH = 16  # of 64, networks need half as many epochs again for the same loss
NOT_SETTINGS = ("seeds", "searches", "seconds")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--search-epochs", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument(
        "--searches", type=int, default=1, help="with the first seeds; the others take turns; 0 = none now"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the trainings")
    parser.add_argument("--budget", type=float, default=0.85, help="share of the MACs of softmax everywhere")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after these no new part is begun")
    return parser.parse_args()


def extreme(space: Space, name: str) -> Architecture:
    """The largest network with one kind of attention in every layer."""
    largest = space.largest()
    code = np.array(largest.code)
    for d in space.decisions:
        if d.name and d.name.startswith("attention"):
            code[d.index] = next(k for k, o in enumerate(d.options) if type(o).__name__ == name)
    return space.architectures(code[None])[0]


def searched(space: Space, task: Task, cost: Counts, at_most: float, epochs: int, seed: int) -> list[int]:
    """The code of what RARTS finds within the budget."""
    method = recipe(
        "rarts", epochs=epochs, warmup=7 * epochs // 10, batch=BATCH, mixing=EntangledWeights(), selection=Argmax()
    )
    weights = Training("adam", 2e-3, 1e-4, weight_decay=1e-4)
    penalties = (Budget(cost, "macs_m", at_most),)
    method = method.with_(
        weights=weights, architecture=Training("adam", 0.01, None, clip=0.0), penalties=penalties, keep="last"
    )
    return GradientSearch(space, task, method, seed=seed).run(random=0).architecture.code.tolist()


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    ends = time.perf_counter() + options.seconds
    task = load("mnist_25k")
    task = dataclasses.replace(task, train=task.train.take(options.images, np.random.default_rng(0)))
    space = mixed_attention(task.input_shape, task.outputs, **SIZES)
    cost = Counts(space, task.input_shape)
    settings = {k: v for k, v in vars(options).items() if k not in NOT_SETTINGS} | SIZES | {"batch": BATCH}
    extremes = {"softmax": extreme(space, "Attention"), "linear": extreme(space, "LinearAttention")}
    macs = {n: macs_of(cost, a) for n, a in extremes.items()}
    figures = joined("mixed_attention", settings)
    codes: list[list[int]] = figures.setdefault("found_codes", [])
    for seed in range(len(codes), options.searches):
        codes.append(searched(space, task, cost, options.budget * macs["softmax"], options.search_epochs, seed))
        write("mixed_attention", joined("mixed_attention", settings) | {"found_codes": codes})
    for name, seed in [(n, s) for group in (("found", "softmax"), ("linear",)) for s in options.seeds for n in group]:
        figures = joined("mixed_attention", settings)
        if str(seed) in figures.get("accuracy_percent", {}).get(name, {}) or time.perf_counter() > ends:
            continue
        if name == "found" and not codes:
            continue
        code = extremes[name].code if name in extremes else codes[seed % len(codes)]
        net = build(space.architectures(np.array([code]))[0], task.input_shape, seed=seed)
        train(net, task, Recipe(epochs=options.epochs, lr=2e-3, batch=BATCH), seed=seed)
        accuracy = evaluate(net, task, "test")["accuracy_percent"]
        print(seed, name, accuracy, flush=True)
        figures = joined("mixed_attention", settings)
        figures.setdefault("accuracy_percent", {}).setdefault(name, {})[str(seed)] = accuracy
        write("mixed_attention", summary(figures, space, cost, macs))


def macs_of(cost: Counts, architecture: Architecture) -> float:
    """Millions of multiply-accumulates."""
    return float(cost.evaluate(architecture.code[None])["macs_m"][0])


def chosen(space: Space, architecture: Architecture) -> list[Any]:
    """The options of an architecture: numbers as they are, operators by their class."""
    values = [space.option_value(d, int(k)) for d, k in zip(space.decisions, architecture.code, strict=True)]
    return [v if isinstance(v, int) else type(v).__name__ for v in values]


def summary(figures: dict[str, Any], space: Space, cost: Counts, macs: dict[str, float]) -> dict[str, Any]:
    """With what was found, its share of the multiply-accumulates and its gap to softmax.

    The gap is that of equal seeds; its interval is Student's at 95 %.
    """
    nets = [space.architectures(np.array([code]))[0] for code in figures.get("found_codes", [])]
    figures["macs_m"] = macs
    figures["found"] = [dict(zip((d.label for d in space.decisions), chosen(space, a), strict=True)) for a in nets]
    figures["macs_share"] = [round(macs_of(cost, a) / macs["softmax"], 4) for a in nets]
    rows = figures["accuracy_percent"]
    figures["behind_softmax_points"] = {n: ahead(rows.get("softmax", {}), rows[n]) for n in rows if n != "softmax"}
    return figures


if __name__ == "__main__":
    main()
