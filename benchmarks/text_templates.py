"""Learned against uniform mutation on text: passages of Python's documentation, classified by networks from templates.

1. Every network of the space `text_templates` is trained once on `python_topics` (Python's own documentation). The
   trainings are kept line by line in the work folder, so that the script goes on where it was stopped.
2. `q_mutation` searches that table by validation accuracy; the same strategy with a learning rate of 0 keeps its policy
   uniform and is the baseline. Reported: accuracy of the best network found (validation, and test of the same network),
   entropy of the policy, for 5 seeds, and for 50.

    python benchmarks/text_templates.py [--minutes M]

Prints JSON and writes benchmarks/results/text_templates.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import finish
from exhaustive import Trained, trainings

from archwright.nets.recipe import Recipe
from archwright.registry import get
from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.space import Architectures, Space
from archwright.tasks import load

RECIPE = Recipe(epochs=4)
METHODS = {"q_mutation": {}, "uniform mutation": {"rate": 0.0}}


def search(space: Space, archs: Architectures, table: np.ndarray, method: str, seed: int, queries: int) -> list[float]:
    """Validation and test accuracy of the best network found, and the policy's entropy before and after."""
    problem = Problem(space, (Objective("accuracy_percent", "maximize"),), (Trained(archs, table[:, 0]),))
    strategy = get("strategies", "q_mutation")(problem, seed=seed, **METHODS[method])
    before = strategy.entropy
    best = max(run(problem, strategy, Budget(trials=queries)).trials, key=lambda t: t.metrics["accuracy_percent"])
    row = int((archs.codes == best.candidate.architecture.code).all(axis=1).argmax())
    return [*table[row].tolist(), before, strategy.entropy]


def compared(space: Space, archs: Architectures, table: np.ndarray, seeds: int, queries: int) -> dict[str, Any]:
    """What both methods find, seed by seed."""
    out: dict[str, Any] = {}
    for method in METHODS:
        found = np.array([search(space, archs, table, method, seed, queries) for seed in range(seeds)])
        names = ("valid_accuracy_percent", "test_accuracy_percent", "entropy_before_nats", "entropy_after_nats")
        out[method] = {
            n: {"mean": float(v.mean()), "seeds": v[:5].round(4).tolist()} for n, v in zip(names, found.T, strict=True)
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="stop training after this long")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--work", type=Path, default=Path("runs/text_templates"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    space = get("spaces", "text_templates")(widths=(16, 32), head_dim=8)
    archs = space.enumerate()
    table = trainings(archs, load("python_topics"), RECIPE, given.work / "trainings.jsonl", given.minutes)
    finish(
        "text_templates",
        {
            "networks": len(archs),
            "valid_accuracy_percent": {"best": table[:, 0].max(), "median": float(np.median(table[:, 0]))},
            "queries": given.queries,
            "five_seeds": compared(space, archs, table, 5, given.queries),
            "fifty_seeds": compared(space, archs, table, 50, given.queries),
        },
    )


if __name__ == "__main__":
    main()
