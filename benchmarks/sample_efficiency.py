"""Queries that each strategy and peer needs on NAS-Bench-201, and hypervolumes for accuracy and latency.

    python benchmarks/sample_efficiency.py                 # 50 seeds, everything; writes results/sample_efficiency.json
    python benchmarks/sample_efficiency.py --seeds 10 --only headline

A query returns one noisy training; the incumbent is chosen by what was observed; regret is measured on the mean over
seeds. `headline` plays the default strategy without any proxy and with the stored zero-cost scores, `peers` the base
strategies and Optuna's samplers on the same tables in the same process, `strategies` everything else in the package,
`devices` hypervolumes.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

from archwright.benchmarks.protocol import bench

TABLES = ("nasbench201-cifar10", "nasbench201-cifar100", "nasbench201-imagenet16")
TARGETS = {"without": (18, 36, 68), "with": (15, 20, 30)}
PEERS = (
    "random", "regularized_evolution(population=20, sample=5)", "local_search", "optuna:tpe", "optuna:nsgaii",
)  # fmt: skip
OTHERS = (
    "bananas", "gbdt_nas", "smbo", "linas", "mcts", "genetic", "ant_colony", "q_mutation", "reinforce", "ppo",
    "boshnas", "fbnetv3", "diverse_beam", "nsga2(population=20)",
)  # fmt: skip
DEVICES = ("gold_6240", "pixel3", "2080ti_1", "eyeriss", "pi5_onnx")
SEVERAL = ("auto", "bayesian", "nsga2(population=20)", "random", "optuna:tpe", "optuna:nsgaii")


def slim(entry):
    """Without the curves of simulated time, which are long; regrets stay."""
    for strategy in entry["strategies"].values():
        for run in strategy["runs"]:
            run.pop("simulated_s", None)
            run.pop("regret", None)
    return entry


def queries(results, strategy, threshold="0.3"):
    return [e["strategies"][strategy]["summary"]["queries_until"][threshold] for e in results["benchmarks"]]


def hypervolumes(results, at=(50, 100, 200)):
    from statistics import mean

    found = {}
    for entry in results["benchmarks"]:
        for name, strategy in entry["strategies"].items():
            curves = [run["hypervolume"] for run in strategy["runs"]]
            found[name] = {n: round(mean(c[min(n, len(c)) - 1] for c in curves), 5) for n in at if n <= len(curves[0])}
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--only", default="headline,peers,strategies,devices")
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "sample_efficiency.json"))
    arguments = parser.parse_args()
    parts, out = arguments.only.split(","), Path(arguments.out)
    summary = json.loads(out.read_text()) if out.exists() else {}
    summary |= {"python": platform.python_version(), "machine": platform.machine()}

    def play(key, strategies, limit, **options):
        results = bench(TABLES, strategies, seeds=arguments.seeds, queries=limit, progress=print, **options)
        summary[key] = {
            "seeds": arguments.seeds,
            "queries": limit,
            "benchmarks": [slim(e) for e in results["benchmarks"]],
        }
        return results

    if "headline" in parts:
        for key, scores in (("without", False), ("with", True)):
            results = play(f"headline_{key}_scores", ["auto"], 100, scores=scores)
            medians = [q["median"] for q in queries(results, "auto")]
            summary[f"headline_{key}_scores"]["median_queries_to_0.3"] = medians
            summary[f"headline_{key}_scores"]["target"] = TARGETS[key]
            print(json.dumps({f"{key} scores": medians, "target": TARGETS[key]}))
    if "peers" in parts:
        results = play("peers", PEERS, 600)
        print(json.dumps({name: [q["median"] for q in queries(results, name)] for name in PEERS}))
    if "strategies" in parts:
        results = play("strategies", OTHERS, 150)
        print(json.dumps({name: [q["median"] for q in queries(results, name)] for name in OTHERS}))
    if "devices" in parts:
        summary["hypervolume"] = {}
        for device in DEVICES:
            goals = {"accuracy_percent": True, f"{device}_latency_ms": False}
            results = bench(
                TABLES[0], SEVERAL, seeds=min(arguments.seeds, 20), queries=200, goals=goals, progress=print
            )
            summary["hypervolume"][device] = hypervolumes(results)
            print(json.dumps({device: summary["hypervolume"][device]}))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
