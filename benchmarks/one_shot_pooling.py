"""Where the down-samplings of a ResNet-20 stand: ranking by one supernet and by a balanced mixture of four.

    python benchmarks/one_shot_pooling.py

The 36 networks of `resnet_pooling` (a third of the published widths) are each trained alone on real digits with
several seeds; the truth is the mean of their test accuracies. Supernets are trained on the same images: one set of
weights (`train_supernet`, single paths), and four with learned, balanced assignment (`train_mixture`), at equal epochs
and with four times as many, which gives every set as many steps as the single one had. All 36 are measured with their
weights on the validation images after recalibration; Kendall's tau to the truth, by seed.
Writes benchmarks/results/one_shot_pooling.json after every training; a stopped run goes on where settings are equal.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import torch
from common import RESULTS, write
from scipy.stats import kendalltau

from archwright.evaluators.inherited import InheritedEvaluator
from archwright.nets import Supernet, build
from archwright.nets.recipe import Recipe
from archwright.nets.supernet_mixture import SupernetMixture, train_mixture
from archwright.nets.train import evaluate, train
from archwright.nets.train_supernet import train_supernet
from archwright.space import Space
from archwright.spaces.resnet_pooling import resnet_pooling
from archwright.tasks import load
from archwright.tasks.base import Task

NAME, METRIC = "one_shot_pooling", "accuracy_percent"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="1,4", help="sets of weights")
    parser.add_argument("--epochs", default="40,160", help="of the supernets")
    parser.add_argument("--alone", type=int, default=6, help="epochs of a network alone")
    parser.add_argument("--alone-seeds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3, help="supernets of each kind")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--out", default=NAME, help="name of the result; empty = write nothing")
    return parser.parse_args()


def recipe(options: argparse.Namespace, epochs: int) -> Recipe:
    """The same for networks alone and for supernets, but for the epochs."""
    return Recipe("sgd", options.rate, weight_decay=5e-4, epochs=epochs, batch=options.batch)


def alone(space: Space, task: Task, index: int, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Accuracies of one network that was trained alone."""
    began = time.process_time()
    net = build(space.enumerate()[index], task.input_shape, seed=seed)
    train(net, task, recipe(options, options.alone), seed=seed)
    found = {part: evaluate(net, task, part)[METRIC] for part in ("valid", "test")}
    return {**found, "cpu_seconds": time.process_time() - began}


def shared(space: Space, task: Task, sets: int, epochs: int, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Accuracies of all networks with the weights of a supernet, or of a mixture of some."""
    torch.manual_seed(seed)
    began = time.process_time()
    if sets == 1:
        supernet: Any = Supernet(space, task.input_shape)
        train_supernet(supernet, task, recipe(options, epochs), method="single_path", seed=seed)
    else:
        supernet = SupernetMixture(space, task.input_shape, sets=sets)
        train_mixture(supernet, task, recipe(options, epochs), seed=seed)
    seconds = time.process_time() - began
    found = InheritedEvaluator(supernet, task).evaluate(space.enumerate())[METRIC]
    assigned = [] if sets == 1 else [supernet.assigned(a) for a in space.enumerate()]
    return {"valid": found.tolist(), "assigned": assigned, "cpu_seconds": seconds}


def plan(options: argparse.Namespace, networks: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Kind and arguments of every training."""
    for seed in range(options.alone_seeds):
        yield from (("alone", (i, seed)) for i in range(networks))
    for epochs in options.epochs.split(","):
        for seed in range(options.seeds):
            yield from (("shared", (int(sets), int(epochs), seed)) for sets in options.sets.split(","))


def summary(done: dict[str, Any], networks: int, options: argparse.Namespace) -> dict[str, Any]:
    """Kendall's tau to the truth of every kind of supernet, and of networks alone."""
    grid = [[done.get(f"alone {i} {s}") for i in range(networks)] for s in range(options.alone_seeds)]
    if any(cell is None for row in grid for cell in row):
        return {}
    test, valid = (np.array([[cell[p] for cell in row] for row in grid]) for p in ("test", "valid"))
    truth = test.mean(axis=0)
    seconds = float(sum(cell["cpu_seconds"] for cell in grid[0]))
    out: dict[str, Any] = {"best_true_percent": float(truth.max()), "worst_true_percent": float(truth.min())}
    out["methods"] = {"each alone, one seed": _figures(list(valid), truth, [seconds])}
    for sets in options.sets.split(","):
        for epochs in options.epochs.split(","):
            runs = [done.get(f"shared {sets} {epochs} {s}") for s in range(options.seeds)]
            found = [r for r in runs if r is not None]
            if found:
                said = _figures([np.array(r["valid"]) for r in found], truth, [r["cpu_seconds"] for r in found])
                out["methods"][f"{sets} sets, {epochs} epochs"] = said
    return out


def _figures(found: list[np.ndarray], truth: np.ndarray, seconds: list[float]) -> dict[str, Any]:
    taus = [float(kendalltau(f, truth).statistic) for f in found]
    return {
        "kendall_tau": float(np.mean(taus)),
        "all": taus,
        "between_seeds": [float(kendalltau(a, b).statistic) for a, b in combinations(found, 2)],
        "accuracy_percent": float(np.mean(found)),
        "true_percent_of_its_best": float(np.mean([truth[int(f.argmax())] for f in found])),
        "training_cpu_seconds": float(np.mean(seconds)),
    }


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    task = load("digits", valid_share=0.5, test_share=0.35)
    space = resnet_pooling(task.input_shape, task.outputs, widths=(6, 12, 24))
    settings = {k: v for k, v in vars(options).items() if k not in ("out", "sets", "epochs", "seeds")}
    path = RESULTS / f"{options.out}.json"
    done: dict[str, Any] = {}
    if options.out and path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        done = before["trainings"] if before["settings"] == settings else {}
    networks = space.size()
    for kind, what in plan(options, networks):
        key = " ".join(map(str, (kind, *what)))
        if key in done:
            continue
        done[key] = (alone if kind == "alone" else shared)(space, task, *what, options)  # type: ignore[operator]
        print(key, json.dumps({k: np.mean(v) if v else v for k, v in done[key].items()}), flush=True)
        if options.out:
            write(options.out, {"settings": settings, **summary(done, networks, options), "trainings": done})
    print(json.dumps(summary(done, networks, options), indent=1))


if __name__ == "__main__":
    main()
