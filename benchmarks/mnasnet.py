"""MnasNet's reward and controller: how near the latency target is what they find, when measured again?

The table `digits-conv` holds accuracies of 490 networks that were trained and their latencies, measured with ONNX
Runtime on one thread. For several targets PPO maximizes the reward with the soft and the hard exponents (accuracy and
latency as the table has them); the network with the best reward is measured again on the machine that runs this, the
median of five, and so is a reference network, by which the two machines or their loads are compared.

    python benchmarks/mnasnet.py

Prints JSON and writes benchmarks/results/mnasnet.json.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from common import finish

from archwright.benchmarks.digits import SHAPE
from archwright.benchmarks.table import load
from archwright.evaluators.mnasnet_reward import HARD, REWARD, SOFT, MnasNetReward
from archwright.evaluators.table import TableEvaluator
from archwright.measure.meter import LatencyMeter
from archwright.measure.timing import Protocol
from archwright.nets.build import build
from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.space import Architecture

QUANTILES = (0.2, 0.3, 0.4, 0.6, 0.8)  # of the table's latencies, where the targets are
TOLERANCE = 10.0  # percent


def measured(architectures: list[Architecture]) -> np.ndarray:
    """(n,) milliseconds, medians of five measurements in turns."""
    meter = LatencyMeter(protocol=Protocol(seconds=0.1))
    nets = [build(a, SHAPE) for a in architectures]
    return np.median([[r.median_ms for r in meter.measure(nets, SHAPE)] for _ in range(5)], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=150)
    given = parser.parse_args()
    torch.set_num_threads(1)
    table = load("digits-conv")
    both = TableEvaluator(table, ("accuracy_percent", "latency_ms"))
    every = table.space.enumerate()
    columns = both.evaluate(every)
    reference = every[int(np.argsort(columns["latency_ms"])[len(every) // 2])]
    rows, found = list[dict[str, Any]](), []
    for form, exponents in (("soft", SOFT), ("hard", HARD)):
        for quantile in QUANTILES:
            target = float(np.quantile(columns["latency_ms"], quantile))
            problem = Problem(
                table.space, (Objective(REWARD, "maximize"),), (MnasNetReward(both, both, target, exponents=exponents),)
            )
            best = max(run(problem, "ppo", Budget(trials=given.trials)).trials, key=lambda t: t.metrics[REWARD])
            found.append(best.candidate.architecture)
            latency = best.metrics["latency_ms"]
            rows.append({"form": form, "target_ms": target, "table_ms": latency, **{
                "error_percent": 100 * (latency / target - 1), "accuracy_percent": best.metrics["accuracy_percent"]
            }})  # fmt: skip
    again = measured([reference, *found])
    drift = again[0] / float(np.median(columns["latency_ms"]))
    for row, latency in zip(rows, again[1:], strict=True):
        row["measured_again_ms"] = float(latency)
        row["error_again_percent"] = 100 * (float(latency) / drift / row["target_ms"] - 1)
    figures: dict[str, Any] = {"networks": len(every), "reference_over_table": float(drift)}
    for name in ("error_percent", "error_again_percent"):
        for form in ("soft", "hard"):
            hits = [abs(r[name]) <= TOLERANCE for r in rows if r["form"] == form]
            figures[f"{form}_within_10_percent, {name}"] = int(np.sum(hits))
    finish("mnasnet", {**figures, "of": len(QUANTILES), "runs": rows})


if __name__ == "__main__":
    main()
