"""MnasNet's search with latencies of this machine: how near the target is what it finds, when measured again?

A small factorised hierarchical space around MobileNetV2's blocks on scikit-learn's digits. A latency table of this
machine is built, shared weights are trained, and for several targets the PPO controller maximizes the reward with the
soft and the hard exponents. The network with the best reward is measured again, the median of five measurements
that the search has not seen.

    python benchmarks/mnasnet.py

Prints JSON and writes benchmarks/results/mnasnet.json.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from common import finish

from archwright.costs.lut import LatencyTable
from archwright.evaluators.cached import CachedEvaluator
from archwright.evaluators.inherited import InheritedEvaluator
from archwright.evaluators.mnasnet_reward import HARD, REWARD, SOFT, MnasNetReward
from archwright.measure.meter import LatencyMeter
from archwright.measure.timing import Protocol
from archwright.nets import Supernet
from archwright.nets.build import build
from archwright.nets.recipe import Recipe
from archwright.nets.train_supernet import train_supernet
from archwright.registry import get
from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.tasks import load

STAGES = ((8, 1, 1), (16, 2, 2), (24, 2, 2))
QUANTILES = (0.2, 0.35, 0.5)  # of the space's latencies, where the targets are
TOLERANCE = 10.0  # percent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--table-seconds", type=float, default=25)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    task = load("digits", test_share=0.4)
    space = get("spaces", "mnasnet")(task.input_shape, task.outputs, stages=STAGES, stem=8, stem_stride=1, head=32)
    table = LatencyTable.build(space, task.input_shape, seconds=given.table_seconds)
    print(table.report, flush=True)
    supernet = Supernet(space, task.input_shape)
    train_supernet(supernet, task, Recipe(epochs=given.epochs), method="single_path")
    accuracy = CachedEvaluator(InheritedEvaluator(supernet, task, batches=2), lambda a: a.digest)
    latencies = table.evaluate(space.sample(2000, np.random.default_rng(0)))["latency_ms"]
    meter, rows = LatencyMeter(protocol=Protocol(seconds=0.2)), list[dict[str, Any]]()
    for form, exponents in (("soft", SOFT), ("hard", HARD)):
        for quantile in QUANTILES:
            target = float(np.quantile(latencies, quantile))
            reward = MnasNetReward(accuracy, table, target, exponents=exponents)
            problem = Problem(space, (Objective(REWARD, "maximize"),), (reward,))
            trials = run(problem, "ppo", Budget(trials=given.trials)).trials
            best = max(trials, key=lambda t: t.metrics[REWARD])
            net = build(best.candidate.architecture, task.input_shape)
            again = float(np.median([meter.measure([net], task.input_shape)[0].median_ms for _ in range(5)]))
            fifth = len(trials) // 5
            rows.append(
                {
                    "form": form,
                    "target_ms": target,
                    "found_by_table_ms": best.metrics["latency_ms"],
                    "measured_again_ms": again,
                    "error_percent": 100 * (again / target - 1),
                    "error_by_table_percent": 100 * (best.metrics["latency_ms"] / target - 1),
                    "inherited_accuracy_percent": best.metrics["accuracy_percent"],
                    "mean_reward_first_fifth": float(np.mean([t.metrics[REWARD] for t in trials[:fifth]])),
                    "mean_reward_last_fifth": float(np.mean([t.metrics[REWARD] for t in trials[-fifth:]])),
                }
            )
            print(rows[-1], flush=True)
    within = {f: [abs(r["error_percent"]) <= TOLERANCE for r in rows if r["form"] == f] for f in ("soft", "hard")}
    finish(
        "mnasnet",
        {
            "networks": space.size(),
            "table": str(table.report),
            "runs_within": {f: f"{sum(v)} of {len(v)}" for f, v in within.items()},
            "share_within": float(np.mean([w for v in within.values() for w in v])),
            "runs": rows,
        },
    )


if __name__ == "__main__":
    main()
