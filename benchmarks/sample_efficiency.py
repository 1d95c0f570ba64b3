"""Queries that each strategy and peer needs on NAS-Bench-201, and hypervolumes for accuracy and latency.

    python benchmarks/sample_efficiency.py                 # 50 seeds, everything; writes results/sample_efficiency.json
    python benchmarks/sample_efficiency.py --seeds 10 --only headline

A query returns one noisy training; the incumbent is chosen by what was observed; regret is measured on the mean over
seeds. `headline` plays the default strategy without any proxy and with the stored zero-cost scores, `peers` the base
strategies and Optuna's samplers on the same tables in the same process, `strategies` everything else in the package,
`devices` hypervolumes. Each result is written once it is there; parts that are not asked for are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, machine

from archwright.benchmarks.protocol import bench

TABLES = ("nasbench201-cifar10", "nasbench201-cifar100", "nasbench201-imagenet16")
TARGETS = {"without": (18, 36, 68), "with": (15, 20, 30)}
PEERS = (
    "random", "regularized_evolution(population=20, sample=5)", "local_search", "optuna:tpe", "optuna:nsgaii",
)  # fmt: skip
OTHERS = (
    "bananas", "gbdt_nas", "smbo", "linas", "mcts", "genetic", "ant_colony", "q_mutation", "reinforce", "ppo",
    "boshnas", "fbnetv3", "diverse_beam", "nsga2(population=20)", "multi_agent_ppo",
)  # fmt: skip
SCORED = ("robot",)  # need zero-cost scores
DEVICES = ("gold_6240", "pixel3", "2080ti_1", "eyeriss", "pi5_onnx")
SEVERAL = (
    "auto", "linas", "nsga2", "nsga2(population=20)", "random", "optuna:tpe", "optuna:nsgaii",
    "optuna:nsgaii(population_size=20)",
)  # fmt: skip
PEERS_OF_FRONTS = ("random", "optuna:tpe", "optuna:nsgaii", "optuna:nsgaii(population_size=20)")
AT = (50, 100, 200)
WORKERS = os.cpu_count() or 1


class Results:
    """The file of results, written after every entry."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.all: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def put(self, *keys: str, value: Any) -> None:
        place = self.all
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = value
        head = {
            "command": "python benchmarks/sample_efficiency.py",
            "date": time.strftime("%Y-%m-%d"),
            "machine": machine(),
            "load_average": round(os.getloadavg()[0], 2),
        }
        self.all = head | {k: v for k, v in self.all.items() if k not in head}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.all, indent=1)
        inline = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), text)  # one line a list
        self.path.write_text(inline + "\n")


def queries(results: Results, part: str, tables: tuple[str, ...], strategy: str, seeds: int, limit: int) -> None:
    """Play one strategy on all tables and keep its summary, and each seed's queries until 0.3 points of regret."""
    for table in tables:
        scored = part.endswith("with_scores")
        entry = bench(table, [strategy], seeds=seeds, queries=limit, scores=scored, workers=WORKERS)
        played = entry["benchmarks"][0]["strategies"][strategy]
        figures = {
            "seeds": seeds,
            "queries": limit,
            **played["summary"],
            "queries_until_0.3": [run["queries_until"]["0.3"] for run in played["runs"]],
        }
        results.put("regret", part, strategy, table, value=figures)
        print(part, strategy, table, figures["queries_until"]["0.3"], flush=True)
    medians = [results.all["regret"][part][strategy][t]["queries_until"]["0.3"]["median"] for t in tables]
    results.put("median_queries_until_0.3", part, strategy, value=medians)


def fronts(results: Results, device: str, strategies: tuple[str, ...], seeds: int) -> None:
    """Hypervolumes of accuracy and one device's latency, mean over seeds, as a share of the table's."""
    goals = {"accuracy_percent": True, f"{device}_latency_ms": False}
    for strategy in strategies:
        entry = bench(TABLES[0], [strategy], seeds=seeds, queries=max(AT), goals=goals, workers=WORKERS)
        played = entry["benchmarks"][0]
        curves = np.array([run["hypervolume"] for run in played["strategies"][strategy]["runs"]])
        mean, error = curves.mean(axis=0), curves.std(axis=0) / np.sqrt(seeds)
        figures = {
            "seeds": seeds,
            **{f"after_{n}": round(float(mean[n - 1]), 5) for n in AT},
            **{f"standard_error_{n}": round(float(error[n - 1]), 5) for n in AT},
            "mean_curve": [round(float(v), 5) for v in mean],
        }
        results.put("hypervolume", device, strategy, value=figures)
        print(device, strategy, [figures[f"after_{n}"] for n in AT], flush=True)
    summarize_fronts(results, device)


def summarize_fronts(results: Results, device: str) -> None:
    """Whether the default beats every peer, and how many queries LINAS needs for NSGA-II's final hypervolume."""
    found = results.all["hypervolume"][device]
    if {"auto", *PEERS_OF_FRONTS} <= set(found):
        ahead = {
            f"after_{n}": round(found["auto"][f"after_{n}"] - max(found[p][f"after_{n}"] for p in PEERS_OF_FRONTS), 5)
            for n in AT
        }
        results.put("auto_ahead_of_best_peer", device, value=ahead)
    if "linas" not in found:
        return
    needed = {}
    for name in ("nsga2", "nsga2(population=20)", "optuna:nsgaii", "optuna:nsgaii(population_size=20)"):
        if name not in found:
            continue
        reached = np.flatnonzero(np.array(found["linas"]["mean_curve"]) >= found[name][f"after_{max(AT)}"])
        needed[name] = int(reached[0]) + 1 if len(reached) else None
    results.put("linas_queries_for_final_hypervolume", device, value={"of_queries": max(AT), **needed})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--only", default="headline,peers,strategies,devices")
    parser.add_argument("--strategy", help="only this strategy of the chosen parts")
    parser.add_argument("--devices", nargs="*", default=list(DEVICES))
    parser.add_argument("--out", type=Path, default=RESULTS / "sample_efficiency.json")
    given = parser.parse_args()
    parts, results = given.only.split(","), Results(given.out)

    def chosen(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(n for n in names if given.strategy in (None, n))

    results.put("target_median_queries_until_0.3", value=TARGETS)
    if "headline" in parts:
        for name in chosen(("auto",)):
            for part in ("without_scores", "with_scores"):
                queries(results, part, TABLES, name, given.seeds, 100)
    if "peers" in parts:
        for name in chosen(PEERS):
            queries(results, "without_scores", TABLES, name, given.seeds, 600)
    if "devices" in parts:
        for device in given.devices:
            fronts(results, device, chosen(SEVERAL), min(given.seeds, 20))
    if "strategies" in parts:
        for name in chosen(SCORED):
            queries(results, "with_scores", TABLES, name, given.seeds, 100)
        for name in chosen(OTHERS):
            queries(results, "without_scores", TABLES, name, given.seeds, 150)


if __name__ == "__main__":
    main()
