"""Random sparse networks: is the best of twenty random node masks better than one of them, after the same training?

    python benchmarks/random_sparse.py

Digits of scikit-learn, a network of two hidden layers, several sparsities, paired over seeds; the mean difference in
test accuracy with its 95 % interval. Writes benchmarks/results/random_sparse.json.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from common import finish
from scipy import stats

from archwright.analysis.random_sparse import random_sparse
from archwright.nets import build
from archwright.nets.recipe import Recipe
from archwright.operators.flatten import Flatten
from archwright.operators.head import Classifier
from archwright.operators.linear import Linear
from archwright.operators.sequential import Sequential
from archwright.tasks import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    task = load("digits")
    tree = Sequential((Flatten(), Linear(128, "relu"), Linear(128, "relu"), Classifier(task.outputs)))
    figures: dict[str, Any] = {"settings": {k: v for k, v in vars(options).items() if k != "dry"}, "sparsities": {}}
    for sparsity in (0.8, 0.9, 0.95):
        runs = [
            random_sparse(
                lambda seed=seed: build(tree, task.input_shape, seed=seed),
                task,
                Recipe(epochs=options.epochs),
                sparsity,
                candidates=options.candidates,
                seed=seed,
            )
            for seed in range(options.seeds)
        ]
        chosen, first = (np.array([getattr(r, k)["accuracy_percent"] for r in runs]) for k in ("chosen", "first"))
        gain = chosen - first
        half = float(stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain)))
        figures["sparsities"][str(sparsity)] = {
            "chosen_percent": float(chosen.mean()),
            "first_percent": float(first.mean()),
            "gain_points": float(gain.mean()),
            "interval_points": [float(gain.mean()) - half, float(gain.mean()) + half],
        }
        print(sparsity, figures["sparsities"][str(sparsity)], flush=True)
    finish("random_sparse", figures, write=not options.dry)


if __name__ == "__main__":
    main()
