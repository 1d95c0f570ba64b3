"""Tree search and SMBO against random search, on networks that were trained, at equal numbers of evaluations.

1. The space `deep_architect` (concat, or, optional, repeat, residual) on scikit-learn's digits: all 192 networks are
   trained once; the trainings are kept in the work folder, so that the script goes on where it was stopped.
2. The benchmark `digits-conv`, which ships with the package: 490 networks, trained with three seeds.

Reported: accuracy of the best network found, mean over 5 and over 50 seeds, and seeds in which it is not below, and
above, that of random search.

    python benchmarks/deep_architect.py [--minutes M]

Prints JSON and writes benchmarks/results/deep_architect.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import finish
from exhaustive import Trained, trainings

from archwright.benchmarks.digits import SPLIT
from archwright.benchmarks.table import load as load_table
from archwright.evaluators.table import TableEvaluator
from archwright.nets.recipe import Recipe
from archwright.registry import get
from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.tasks import load

RECIPE = Recipe(epochs=4)
METHODS = ("mcts", "smbo")


def best(problem: Problem, method: str, seed: int, queries: int) -> float:
    """Accuracy of the best network that one run found, percent."""
    metric = problem.goals[0].metric
    return max(t.metrics[metric] for t in run(problem, method, Budget(trials=queries), seed=seed).trials)


def compared(make: Callable[[], Problem], queries: int) -> dict[str, Any]:
    """Every method against random search over 5 and 50 seeds."""
    found = {m: np.array([best(make(), m, seed, queries) for seed in range(50)]) for m in ("random", *METHODS)}
    out: dict[str, Any] = {"queries": queries}
    for seeds in (5, 50):
        against = found["random"][:seeds]
        out[f"{seeds}_seeds"] = {"random": {"mean_accuracy_percent": float(against.mean())}}
        for method in METHODS:
            own = found[method][:seeds]
            out[f"{seeds}_seeds"][method] = {
                "mean_accuracy_percent": float(own.mean()),
                "gain_percent": float((own - against).mean()),
                "seeds_not_below": int((own >= against).sum()),
                "seeds_above": int((own > against).sum()),
            }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="stop training after this long")
    parser.add_argument("--work", type=Path, default=Path("runs/deep_architect"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    space = get("spaces", "deep_architect")()
    archs = space.enumerate()
    task = load("digits", **SPLIT)
    table = trainings(archs, task, RECIPE, given.work / "trainings.jsonl", given.minutes)
    goal = (Objective("accuracy_percent", "maximize"),)
    digits = load_table("digits-conv")
    cases = {
        "deep_architect": compared(lambda: Problem(space, goal, (Trained(archs, table[:, 0]),)), 30),
        "digits-conv": compared(
            lambda: Problem(digits.space, (Objective(digits.goal, "maximize"),), (TableEvaluator(digits),)), 50
        ),
    }
    least = min(c["5_seeds"][m]["gain_percent"] for c in cases.values() for m in METHODS)
    finish("deep_architect", {"least_gain_over_5_seeds_percent": least, "cases": cases})


if __name__ == "__main__":
    main()
