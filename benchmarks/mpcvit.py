"""MPCViT on real images: which heads need a normalised attention, and what the others cost in accuracy.

    python benchmarks/mpcvit.py

CIFAR-10 (32 x 32) as 64 tokens for a small vision transformer of 20 heads. The recipe `mpcvit` learns an alpha for
every head under the latency of private inference (cost `mpc`); the fraction mu of the heads with the largest alphas
stays ReLU-softmax heads, the others become scaling heads. The softmax transformer of these sizes, trained three times
as long on the same images, is the teacher of the found networks and of the one with scaling heads alone, which is also
trained without it: all from fresh weights with one recipe. Wanted: mu met exactly, and the found network with its
teacher more than half a point above scaling alone. Writes benchmarks/results/mpcvit.json after every part and goes on
from there; several processes may take a seed each.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import Any

import numpy as np
import torch
from common import RESULTS, ahead, joined, write

from archwright.costs.mpc_cost import Mpc
from archwright.gradient import GradientSearch
from archwright.gradient.method import Training
from archwright.gradient.penalties.cost import ExpectedCost
from archwright.gradient.recipes import recipe
from archwright.gradient.selections.top_share import TopShare
from archwright.nets import build
from archwright.nets.build import Network
from archwright.nets.distill import distill
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.operators.attention import Attention
from archwright.operators.sequential import Sequential
from archwright.space import Architecture, Space
from archwright.spaces.mpcvit import mpcvit
from archwright.tasks import load
from archwright.tasks.base import Task

SIZES = {"layers": 5, "features": 32, "heads": 4, "hidden": 64, "patch": 4}
FRACTIONS = (0.5, 0.3, 0.7)
LINK = (375e6, 0.8e-3)  # bytes a second and round trip of a local network
TOKENS = f"layers.parts_{SIZES['layers'] + 1}"  # the last norm, whose tokens teacher and student compare


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--search-epochs", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--teacher-epochs", type=int, default=48)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after these no new part is begun")
    return parser.parse_args()


def softmax_of(architecture: Architecture) -> Sequential:
    """The transformer of the same sizes with softmax attention everywhere."""
    soft = Attention(heads=SIZES["heads"], head_dim=SIZES["features"] // SIZES["heads"])
    parts = [dataclasses.replace(p, attention=soft) if hasattr(p, "attention") else p for p in architecture.tree.parts]
    return Sequential(tuple(parts))


def search(space: Space, task: Task, cost: Mpc, epochs: int) -> dict[str, Any]:
    """Alphas after a search, codes of every fraction, and what they cost."""
    ends = cost.evaluate(np.stack([space.smallest().code, space.largest().code]))["latency_ms"]
    penalty = ExpectedCost(cost, "latency_ms", strength=0.1, scale=float(ends[1] - ends[0]))
    method = recipe("mpcvit", epochs=epochs, batch=32, penalties=(penalty,))
    method = method.with_(
        weights=Training("adam", 2e-3, 1e-5, weight_decay=0.0, clip=1.0),
        architecture=Training("adam", 1.2e-3, 1e-5, weight_decay=0.0, clip=0.0),
    )
    found = GradientSearch(space, task, method, seed=0)
    result = found.run(random=0)
    alphas = [float(p[1]) for p in found.core.probabilities(detach=True).values()]
    codes = {str(mu): TopShare(mu).choose(found).code.tolist() for mu in FRACTIONS}
    return {
        "search": {"alpha": alphas, "codes": codes, "mixture_accuracy_percent": result.history[-1]["judged_by"]},
        "fraction": {mu: float(np.mean(code)) for mu, code in codes.items()},
        "private_inference": private_inference(codes, space, cost, task),
    }


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    ends = time.perf_counter() + options.seconds
    task = load("cifar10_20k")
    task = dataclasses.replace(task, train=task.train.take(options.images, np.random.default_rng(0)))
    space = mpcvit(task.input_shape, task.outputs, **SIZES)
    cost = Mpc(space, task.input_shape, network=LINK)
    settings = {k: v for k, v in vars(options).items() if k not in ("seeds", "seconds")} | SIZES
    figures = joined("mpcvit", settings)
    if "search" not in figures:
        write("mpcvit", figures | search(space, task, cost, options.search_epochs))
    groups = (("scaling", "mu 0.5, taught"), ("scaling, taught",), ("mu 0.3, taught", "mu 0.7, taught"), ("softmax",))
    for name, seed in [(n, s) for group in groups for s in options.seeds for n in group]:
        figures = joined("mpcvit", settings)
        if str(seed) in figures.get("accuracy_percent", {}).get(name, {}) or time.perf_counter() > ends:
            continue
        accuracy = one(name, seed, figures, space, task, options)
        print(seed, name, accuracy, flush=True)
        figures = joined("mpcvit", settings)
        figures.setdefault("accuracy_percent", {}).setdefault(name, {})[str(seed)] = accuracy
        rows = figures["accuracy_percent"]
        if name.endswith("taught") and "teacher_accuracy_percent" not in figures:
            teacher = teacher_of(space, task, options)
            figures["teacher_accuracy_percent"] = evaluate(teacher, task, "test")["accuracy_percent"]
        figures["ahead_points"] = {
            f"{n} over {o}": ahead(rows[n], rows[o])
            for n in rows for o in ("scaling", "scaling, taught") if n.startswith("mu") and o in rows
        }  # fmt: skip
        write("mpcvit", figures)


def one(name: str, seed: int, figures: dict[str, Any], space: Space, task: Task, options: argparse.Namespace) -> float:
    """Test accuracy of one network after its training."""
    settings = Recipe(epochs=options.epochs, lr=2e-3, batch=32)
    plain = softmax_of(space.smallest()) if name == "softmax" else network_of(name, figures, space)
    net = build(plain, task.input_shape, seed=seed)
    if name.endswith("taught"):
        distill(net, teacher_of(space, task, options), task, settings, features=TOKENS, seed=seed)
    else:
        train(net, task, settings, seed=seed)
    return float(evaluate(net, task, "test")["accuracy_percent"])


def teacher_of(space: Space, task: Task, options: argparse.Namespace) -> Network:
    """The softmax transformer after a longer training on the same images; it is kept in a file."""
    file = RESULTS.parents[1] / "runs" / f"mpcvit_teacher_{options.images}_{options.teacher_epochs}.pt"
    file.parent.mkdir(exist_ok=True)
    net = build(softmax_of(space.smallest()), task.input_shape, seed=0)
    if file.exists():
        net.load_state_dict(torch.load(file, weights_only=True))
    else:
        train(net, task, Recipe(epochs=options.teacher_epochs, lr=2e-3, batch=32), seed=0)
        torch.save(net.state_dict(), file)
    return net


def network_of(name: str, figures: dict[str, Any], space: Space) -> Architecture:
    """The architecture that a line of the figures is about."""
    if name.startswith("scaling"):
        return space.smallest()
    code = figures["search"]["codes"][name.removeprefix("mu ").split(",")[0]]
    return space.architectures(np.array([code]))[0]


def private_inference(codes: dict[str, list[int]], space: Space, cost: Mpc, task: Task) -> dict[str, Any]:
    """Metric of the cost -> network -> value, of softmax, ReLU-softmax and scaling heads alone as well."""
    nets = codes | {"scaling": space.smallest().code, "relu softmax": space.largest().code}
    soft = Mpc(Space(softmax_of(space.smallest())), task.input_shape, network=LINK)
    alone = soft.evaluate(np.zeros((1, 0), int))
    found = cost.evaluate(np.stack([np.asarray(code) for code in nets.values()]))
    return {
        m: dict(zip((*nets, "softmax"), (*map(float, v), float(alone[m][0])), strict=True)) for m, v in found.items()
    }


if __name__ == "__main__":
    main()
