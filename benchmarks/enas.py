"""A controller over shared weights against random search over shared weights, and what the controller's states know.

On scikit-learn's digits, for each seed and method: a supernet whose weights learn on what the method asks for
(evaluator `alternating`), the 10 candidates that looked best measured again with the last weights, and the best of
these trained alone (test accuracy). For controllers, before and after: rank correlation of the distances of hidden
states with edit distances of graphs, over 60 architectures; `memory_buffer` is the controller that also learns to
recall its decisions.

    python benchmarks/enas.py [--seeds N] [--minutes M]

Runs that are done are kept in the work folder; prints JSON and writes benchmarks/results/enas.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import finish

from archwright.analysis.controller_states import graph_distances, state_graph_correlation
from archwright.evaluators.alternating import AlternatingEvaluator
from archwright.evaluators.inherited import InheritedEvaluator
from archwright.nets import Supernet
from archwright.nets.build import build
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.registry import get
from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.space import Architectures
from archwright.tasks import load

METHODS: dict[str, tuple[str, dict[str, float]]] = {
    "enas": ("reinforce", {}),
    "enas, memory_buffer": ("reinforce", {"memory_buffer": 5.0}),
    "random": ("random", {}),
}
TURN, TURNS, AGAIN = 10, 10, 10
ALONE = Recipe(epochs=6)


def one(method: str, seed: int) -> dict[str, float]:
    """A whole search."""
    task = load("digits", seed=seed, test_share=0.4)
    sizes = {"stem": (8,), "widths": ((8, 16), (12, 24), (16, 32)), "expansions": (2,), "depths": (0, 1)}
    space = get("spaces", "convnet")(task.input_shape, task.outputs, **sizes)
    torch.manual_seed(seed)
    shared = Recipe(epochs=TURNS + 4)
    inherited = InheritedEvaluator(Supernet(space, task.input_shape), task, batches=2, samples=200, seed=seed)
    evaluator = AlternatingEvaluator(inherited, shared, turn=TURN, warmup=4, seed=seed)
    problem = Problem(space, (Objective("accuracy_percent", "maximize"),), (evaluator,))
    name, options = METHODS[method]
    strategy = get("strategies", name)(problem, seed=seed, **options)
    probes = space.sample(60, np.random.default_rng(0)).unique()
    out: dict[str, float] = {}
    if name != "random":
        distances = graph_distances(probes)
        out["correlation_before"] = state_graph_correlation(strategy.controller, probes, distances)
    found = run(problem, strategy, Budget(trials=TURN * TURNS), batch=TURN, seed=seed)
    if name != "random":
        out["correlation_after"] = state_graph_correlation(strategy.controller, probes, distances)
    # the last third, measured when the weights had learned: earlier values are lower for that reason alone
    late = sorted(found.trials[-len(found.trials) // 3 :], key=lambda t: -t.metrics["accuracy_percent"])[:AGAIN]
    archs = Architectures(space, np.array([t.candidate.architecture.code for t in late]))
    again = inherited.evaluate(archs)["accuracy_percent"]
    best = archs[int(again.argmax())]
    net = build(best, task.input_shape, seed=seed)
    train(net, task, ALONE, seed=seed)
    shared_values = [t.metrics["accuracy_percent"] for t in found.trials[-5 * TURN :]]
    return out | {
        "late_shared_accuracy_percent": float(np.mean(shared_values)),
        "test_accuracy_percent": evaluate(net, task, "test")["accuracy_percent"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after this long")
    parser.add_argument("--work", type=Path, default=Path("runs/enas"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * given.minutes
    runs: dict[str, list[dict[str, Any]]] = {method: [] for method in METHODS}
    for seed in range(given.seeds):
        for method in METHODS:
            file = given.work / f"{method.replace(', ', '-')}-{seed}.json"
            if not file.exists():
                if time.monotonic() > deadline:
                    raise SystemExit(f"seed {seed} of {method} and what follows is left; run the same command again")
                file.write_text(json.dumps(one(method, seed)))
            runs[method].append(json.loads(file.read_text()))
    mean = {m: {k: float(np.mean([r[k] for r in rows])) for k in rows[0]} for m, rows in runs.items()}
    pairs = zip(runs["enas, memory_buffer"], runs["enas"], strict=True)
    raised = sum(a["correlation_after"] > b["correlation_after"] for a, b in pairs)
    finish("enas", {"seeds": given.seeds, "mean": mean, "seeds_with_a_raised_correlation": raised, "runs": runs})


if __name__ == "__main__":
    main()
