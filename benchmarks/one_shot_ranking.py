"""How well shared weights rank networks: Kendall's tau of inherited against stand-alone accuracy, by supernet training.

    python benchmarks/one_shot_ranking.py

On the packaged table `digits-conv`, whose 490 networks were each trained alone with three seeds. A supernet of the same
space is trained on the same training images by every method of `train_supernet`; 100 networks drawn once are measured
with its weights on the validation images, after recalibration of their batch norms. The truth is the mean test
accuracy of the table; the ceiling is what one training of each network alone, measured on the same validation images,
reaches. Tau is also given for the validation images alone as truth-free comparison of seeds (`between_seeds`).

Methods are compared at equal epochs and, where they cost less, at about equal CPU time (`--long`).
Writes benchmarks/results/one_shot_ranking.json.
"""

from __future__ import annotations

import argparse
import time
from itertools import combinations
from typing import Any

import numpy as np
import torch
from common import finish
from scipy.stats import kendalltau, spearmanr

from archwright.benchmarks import digits
from archwright.evaluators.inherited import InheritedEvaluator
from archwright.nets import Supernet
from archwright.nets.recipe import Recipe
from archwright.nets.train_supernet import METHODS, train_supernet

ALONE = "each alone, one seed"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(METHODS), help="of train_supernet")
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--long", type=int, default=4, help="times as many epochs for single_path, once more")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    return parser.parse_args()


def drawn(count: int) -> np.ndarray:
    """Codes of so many networks of the table, (count, decisions)."""
    codes = digits._columns(digits.FILE)["codes"]
    rows = np.random.default_rng(0).choice(len(codes), min(count, len(codes)), replace=False)
    return np.sort(rows)


def inherited(method: str, rows: np.ndarray, *, epochs: int, seed: int) -> tuple[np.ndarray, float]:
    """Validation accuracies (rows,) in percent, and CPU seconds of the supernet's training."""
    space, task = digits.make_space(), digits.task()
    torch.manual_seed(seed)
    supernet = Supernet(space, digits.SHAPE)
    recipe = Recipe(optimizer="adamw", lr=5e-3, epochs=epochs, batch=96)
    began = time.process_time()
    train_supernet(supernet, task, recipe, method=method, seed=seed)  # type: ignore[arg-type]
    seconds = time.process_time() - began
    nets = space.architectures(digits._columns(digits.FILE)["codes"][rows])
    found = InheritedEvaluator(supernet, task, seed=0).evaluate(nets)
    return found["accuracy_percent"], seconds


def figures(found: list[np.ndarray], truth: np.ndarray) -> dict[str, Any]:
    """Rank correlations of each seed with the truth, and of the seeds with each other."""
    taus = [float(kendalltau(f, truth).statistic) for f in found]
    best = [float(truth[int(np.argmax(f))]) for f in found]
    return {
        "kendall_tau": float(np.mean(taus)),
        "all": taus,
        "spearman": float(np.mean([spearmanr(f, truth).statistic for f in found])),
        "between_seeds": [float(kendalltau(a, b).statistic) for a, b in combinations(found, 2)],
        "inherited_accuracy_percent": float(np.mean(found)),
        "true_accuracy_percent_of_its_best": float(np.mean(best)),
    }


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    rows = drawn(options.networks)
    table = digits._columns(digits.FILE)
    truth = table["test_mean_e12"][rows].astype(np.float64)
    truth *= 100 / digits.TEST
    result: dict[str, Any] = {}
    runs = [(name, options.epochs) for name in options.methods.split(",")]
    if options.long > 1 and "single_path" in options.methods:
        runs.append(("single_path", options.long * options.epochs))
    for name, epochs in runs:
        pairs = [inherited(name, rows, epochs=epochs, seed=s) for s in range(options.seeds)]
        result[f"{name}, {epochs} epochs"] = figures([f for f, _ in pairs], truth) | {
            "training_cpu_seconds": float(np.mean([s for _, s in pairs]))
        }
        print(name, epochs, result[f"{name}, {epochs} epochs"], flush=True)
    alone = table["valid_e12"][rows].astype(np.float64) * 100 / digits.VALID
    result[ALONE] = figures(list(alone.T), truth) | {"training_cpu_seconds": float(table["train_s_e12"][rows, 0].sum())}
    settings = {k: v for k, v in vars(options).items() if k != "dry"}
    best_true = float(truth.max())
    finish(
        "one_shot_ranking",
        {"settings": settings, "best_true_accuracy_percent": best_true, "methods": result},
        write=not options.dry,
    )


if __name__ == "__main__":
    main()
