"""FBNetV3: whether pre-training on free statistics saves labels, and pairs of network and recipe found in minutes.

    python benchmarks/joint_search.py                # about six minutes on one core
    python benchmarks/joint_search.py --only labels  # the other part is kept as it was

Labels: Kendall's tau on 1,000 unseen members of NAS-Bench-201 and NAS-Bench-Macro after n labels, without pre-training,
and after n/2 with pre-training on the parameters and MACs of 1,000 unlabelled members. Pairs: networks and recipes
(optimizer, rate, decay, mixup, EMA, epochs) for digits under a limit on parameters, 48 trainings by `fbnetv3` and by
random search, the pick of each trained again with three other seeds and measured on the test part.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from common import finish, in_parts

from archwright import tasks
from archwright.benchmarks.table import load
from archwright.costs.counts import Counts
from archwright.evaluators.train import TrainEvaluator
from archwright.nets.recipe import Recipe
from archwright.operators import Classifier, Conv, MBConv, Sequential
from archwright.predictors.metrics import kendall
from archwright.predictors.mlp import Perceptrons
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.space import Space, oneof, repeat

COUNTS = (16, 32, 64)
LIMIT_M, TRIALS = 0.01, 48


def taus(name: str, seeds: int) -> dict[str, Any]:
    table = load(name)
    truth = table.read("accuracy_percent", np.arange(len(table.codes)), true=True)
    free = np.log(np.stack([table.read(m, np.arange(len(truth))) for m in ("params_m", "macs_m")], axis=1))
    found: dict[str, list[float]] = {}
    for seed in range(seeds):
        rows = np.random.default_rng(seed).permutation(len(truth))
        test, unlabelled, labelled = rows[:1000], rows[1000:2000], rows[2000:]
        for count in (COUNTS[0] // 2, *COUNTS):
            few = labelled[:count]
            for taught in (False, True):
                model = Perceptrons(table.space, seed=seed)
                if taught:
                    model.pretrain(table.space.architectures(table.codes[unlabelled]), free[unlabelled])
                model.fit(table.space.architectures(table.codes[few]), -truth[few])
                predicted = model.predict(table.space.architectures(table.codes[test]))[0]
                key = f"{count} labels, {'pre-trained' if taught else 'plain'}"
                found.setdefault(key, []).append(kendall(predicted, -truth[test]))
    mean = {k: round(float(np.mean(v)), 4) for k, v in found.items()}
    gains = {n: np.subtract(found[f"{n // 2} labels, pre-trained"], found[f"{n} labels, plain"]) for n in COUNTS}
    return {
        "seeds": seeds,
        "kendall_mean": mean,
        "half_the_labels_minus_all": {n: round(float(g.mean()), 4) for n, g in gains.items()},
        "seeds_not_behind": {n: int((g >= 0).sum()) for n, g in gains.items()},
    }


def joint_space() -> Space:
    block = MBConv(oneof(8, 12, 16, name="width"), kernel=oneof(3, 5), expand=oneof(2, 3))
    network = Sequential(
        (Conv(oneof(4, 8), stride=2), repeat(block, times=oneof(1, 2, 3, name="depth")), Classifier(10))
    )
    recipe = {
        "optimizer": oneof("sgd", "adamw", name="optimizer"),
        "lr": oneof(1e-3, 3e-3, 1e-2, 3e-2, name="lr"),
        "weight_decay": oneof(0.0, 0.02, 0.1, name="weight_decay"),
        "mixup": oneof(0.0, 0.2, name="mixup"),
        "ema": oneof(0.0, 0.9, name="ema"),
        "epochs": oneof(2, 4, 6, name="epochs"),
    }
    return Space({"network": network, "recipe": recipe})


def pairs(seeds: int) -> dict[str, Any]:
    task, space = tasks.load("digits"), joint_space()
    final = TrainEvaluator(task, Recipe(batch=32), split="test")
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in range(seeds):
        for name in ("fbnetv3", "random"):
            counts = Counts(space, task.input_shape)
            problem = Problem(
                space,
                (Objective("accuracy_percent", "maximize"), Objective("params_m", "limit", at_most=LIMIT_M)),
                (counts, TrainEvaluator(task, Recipe(batch=32))),
            )
            start = time.process_time()
            best = run(problem, name, f"{TRIALS} trials", seed=seed).best
            minutes = (time.process_time() - start) / 60
            picked = space.architectures(best.candidate.architecture.code[None])
            test = [final.evaluate(picked, seed=100 + s)["accuracy_percent"][0] for s in range(3)]
            found.setdefault(name, []).append({
                "test_accuracy_percent": round(float(np.mean(test)), 2),
                "params_m": round(float(counts.evaluate(picked)["params_m"][0]), 5),
                "recipe": picked[0].tree["recipe"],
                "cpu_minutes": round(minutes, 2),
            })  # fmt: skip
            print(name, seed, found[name][-1], flush=True)
    return {
        "members": space.size(), "limit_params_m": LIMIT_M, "trials": TRIALS, "runs": found,
        "mean_test_accuracy_percent": {
            n: round(float(np.mean([r["test_accuracy_percent"] for r in runs])), 2) for n, runs in found.items()
        },
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8, help="of the labels")
    parser.add_argument("--runs", type=int, default=2, help="of the pairs")
    parts = {
        "labels": lambda: {n: taus(n, given.seeds) for n in ("nasbench201-cifar10", "nasbench-macro")},
        "pairs": lambda: pairs(given.runs),
    }
    parser.add_argument("--only", choices=list(parts))
    given = parser.parse_args()
    torch.set_num_threads(1)
    finish("joint_search", in_parts("joint_search", parts, given.only))


if __name__ == "__main__":
    main()
