"""FPTAS against brute force: ratio of W(found) to W(optimum), evaluations against the formula.

    python benchmarks/fptas.py [--seeds 8]

Three kinds of instances: ridge regressions trained by SGD, which are strongly convex, so that the strategy says of each
run whether the conditions of the bound hold; the BERT grid with a made-up error, and tables of trained networks, where
they never do.
"""

import argparse
import time

import numpy as np
from common import finish

from archwright.analysis.bert_sizes import BertCosts, bert_space
from archwright.analysis.convex_family import ConvexFamily
from archwright.analysis.subarchitecture import maximum_point, strided, training_steps, w_coefficient
from archwright.benchmarks.table import load
from archwright.evaluators.table import TableEvaluator
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.strategies.fptas import FPTAS

EPS, INTERVALS = (0.5, 0.2, 0.1), (1, 2, 4, 8)
TABLES = {
    "nasbench-macro": ("params_m", "macs_m"),
    "nasbench201-cifar10": ("params_m", "macs_m"),
    "nasbench201-cifar100": ("params_m", "pi5_litert_latency_ms"),
}
GRID = (1, 4, 16, 64, 256)


def convex(seeds, **options):
    found = []
    for eps in EPS:
        for interval in INTERVALS:
            for refine in (False, True) if interval > 1 else (False,):
                setting = {"eps": eps, "interval": interval, "refine": refine}
                found.append(setting | one(seeds, eps, interval, refine, options))
    return found


def one(seeds, eps, interval, refine, options):
    ratios, places, counts, held = [], [], set(), []
    for seed in range(seeds):
        family = ConvexFamily(seed, **options)
        problem = family.problem()
        strategy = FPTAS(problem, eps=eps, interval=interval, full_steps=family.full_steps, refine=refine)
        run(problem, strategy, "10000 trials")
        report = strategy.report()
        costs = problem.evaluators[0].evaluate(problem.space.enumerate())
        w = w_coefficient(costs["params_m"], costs["macs_m"], family.optimal_losses(), report.maximum)
        ratios.append(float(w[int(report.best.code[0])] / w.max()))
        places.append(int(w.argmax()))
        held.append(report.holds)
        counts.add((report.evaluations, report.formula, family.examples_seen))
    return {
        "steps": training_steps(eps, interval),
        "members": len(w),
        "optimum_at": places,
        "ratio_min": round(min(ratios), 4),
        "ratio_mean": round(float(np.mean(ratios)), 4),
        "bound": 1.0 - eps,
        "seeds": seeds,
        "kept": sum(r >= 1.0 - eps for r in ratios),
        "conditions_hold": sum(held),
        "kept_where_they_hold": sum(h and r >= 1.0 - eps for h, r in zip(held, ratios, strict=True)),
        "evaluations": sorted(c[0] for c in counts),
        "formula": sorted({c[1] for c in counts}),
        "examples_seen": sorted({c[2] for c in counts}),
    }


def bert(noises=(0.0, 0.01, 0.03), intervals=(1, 2, 4, 8, 16, 32), seeds=20):
    members = bert_space().enumerate()
    costs = BertCosts().evaluate(members)
    size, latency = costs["params_m"], costs["macs_m"]
    tops = {"of the grid": maximum_point(size, latency)}
    tops["RoBERTa-large"] = tops["of the grid"]._replace(size=302.3, latency=40_000.0)
    found = []
    for name, top in tops.items():
        for noise in noises:
            for interval in intervals:
                ratios = []
                for seed in range(seeds if noise else 1):
                    error = 0.12 + 0.9 * size**-0.55 + noise * np.random.default_rng(seed).standard_normal(len(size))
                    w = w_coefficient(size, latency, error, top)
                    ratios.append(w[strided(size, latency, interval)].max() / w.max())
                found.append({
                    "maximum": name, "noise": noise, "interval": interval,
                    "ratio_mean": round(float(np.mean(ratios)), 4), "ratio_min": round(float(np.min(ratios)), 4),
                })  # fmt: skip
    return found


def tables():
    found = []
    for name, (size, latency) in TABLES.items():
        benchmark = load(name)
        evaluators = (TableEvaluator(benchmark, (size, latency)), TableEvaluator(benchmark, ("accuracy_percent",)))
        problem = Problem(benchmark.space, (Objective("accuracy_percent", "maximize"),), evaluators)
        rows = np.arange(len(benchmark.codes))
        p, i = benchmark.read(size, rows), benchmark.read(latency, rows)
        error = 100.0 - benchmark.read("accuracy_percent", rows, true=True)
        w = w_coefficient(p, i, error, maximum_point(p, i))
        for short in (False, True) if benchmark.fidelities else (False,):
            for interval in GRID:
                steps = training_steps(0.1, interval)
                full = int(steps / min(benchmark.fidelities)) if short else None
                strategy = FPTAS(problem, eps=0.1, interval=interval, size=size, latency=latency, full_steps=full)
                began = time.perf_counter()
                trials = run(problem, strategy, f"{len(rows) + 1} trials").trials
                report = strategy.report()
                ratio = float(w[benchmark.rows(report.best.code[None])][0] / w.max())
                found.append({
                    "table": name, "costs": [size, latency], "interval": interval,
                    "error": "after 12 epochs" if short else "one full training",
                    "evaluations": len(trials), "formula": report.formula, "ratio_on_mean_accuracy": round(ratio, 4),
                    "conditions_not_met": [name for name, met in report.conditions.items() if not met],
                    "seconds": round(time.perf_counter() - began, 3),
                })  # fmt: skip
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    seeds = parser.parse_args().seeds
    figures = {
        "convex_decay": convex(seeds),
        "convex_kink": convex(seeds, kink=40),
        "bert_grid": bert(),
        "tables": tables(),
    }
    finish("fptas", figures)


if __name__ == "__main__":
    main()
