"""How well shared weights rank networks: Kendall's tau of inherited against stand-alone accuracy, by supernet training.

    python benchmarks/one_shot_ranking.py

On the packaged table `digits-conv`, whose 490 networks were each trained alone with three seeds. A supernet of the same
space is trained on the same training images by every method of `train_supernet`; 100 networks drawn once are measured
with its weights on the validation images, after recalibration of their batch norms. The truth is the mean test
accuracy of the table; the ceiling is what one training of each network alone, measured on the same validation images,
reaches. `between_seeds` is tau between two trainings of the same kind, without the truth.

`single_path` is also what a mixture with one set of weights is; `k_mixture` has four. Methods are compared at equal
epochs, with what each costs, and those that train one path a step at `--long` times as many, which costs about what a
sandwich does and gives every set of the mixture as many steps as the single one had.
Writes benchmarks/results/one_shot_ranking.json.
"""

from __future__ import annotations

import argparse
import time
from itertools import combinations
from typing import Any

import numpy as np
import torch
from common import write
from scipy.stats import kendalltau, spearmanr

from archwright.benchmarks import digits
from archwright.evaluators.inherited import InheritedEvaluator
from archwright.nets import Supernet
from archwright.nets.recipe import Recipe
from archwright.nets.supernet_mixture import SupernetMixture, train_mixture
from archwright.nets.train_supernet import train_supernet

ALONE = "each alone, one seed"
SETS = 4
ONE_PATH = ("single_path", "k_mixture")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="single_path,sandwich,k_mixture")
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=240)
    parser.add_argument("--long", type=int, default=4, help="times as many epochs, once more")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    return parser.parse_args()


def drawn(count: int) -> np.ndarray:
    """Codes of so many networks of the table, (count, decisions)."""
    codes = digits._columns(digits.FILE)["codes"]
    rows = np.random.default_rng(0).choice(len(codes), min(count, len(codes)), replace=False)
    return np.sort(rows)


def inherited(method: str, rows: np.ndarray, *, epochs: int, seed: int) -> tuple[np.ndarray, float]:
    """Validation accuracies (rows,) in percent, and CPU seconds of the supernet's training."""
    space, task, mixed = digits.make_space(), digits.task(), method == "k_mixture"
    torch.manual_seed(seed)
    supernet: Any = SupernetMixture(space, digits.SHAPE, sets=SETS) if mixed else Supernet(space, digits.SHAPE)
    recipe = Recipe(optimizer="adamw", lr=5e-3, epochs=epochs, batch=96)
    began = time.process_time()
    if mixed:
        train_mixture(supernet, task, recipe, seed=seed)
    else:
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
    settings = {k: v for k, v in vars(options).items() if k != "dry"} | {"sets": SETS}
    alone = table["valid_e12"][rows].astype(np.float64) * 100 / digits.VALID
    seconds = {"training_cpu_seconds": float(table["train_s_e12"][rows, 0].sum())}
    result[ALONE] = figures(list(alone.T), truth) | seconds

    def note() -> None:
        if not options.dry:
            best = float(truth.max())
            write("one_shot_ranking", {"settings": settings, "best_true_accuracy_percent": best, "methods": result})

    runs = [(name, options.epochs) for name in options.methods.split(",")]
    runs += [(name, options.long * epochs) for name, epochs in runs if options.long > 1 and name in ONE_PATH]
    for name, epochs in runs:
        pairs = [inherited(name, rows, epochs=epochs, seed=s) for s in range(options.seeds)]
        result[f"{name}, {epochs} epochs"] = figures([f for f, _ in pairs], truth) | {
            "training_cpu_seconds": float(np.mean([s for _, s in pairs]))
        }
        print(name, epochs, result[f"{name}, {epochs} epochs"], flush=True)
        note()


if __name__ == "__main__":
    main()
