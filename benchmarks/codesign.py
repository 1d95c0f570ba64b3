"""Joint search of networks and sub-accelerators against "network first, then accelerator", under hard specs.

    OMP_NUM_THREADS=1 python benchmarks/codesign.py [--seeds 10] [--trials 1000] [--keep FOLDER] [--no-write]

Three tasks with a NAS-Bench-201 cell each (CIFAR-10, CIFAR-100, ImageNet16-120; accuracies are means over 200-epoch
trainings from the table), two sub-accelerators with at most 4096 multipliers and 64 GB/s together. Specs: 1.2 ms,
2.0 mJ, 1.0 mm2.

Both procedures use the same strategy, cost model, accuracies and number of trials. Network first: the most accurate
cell of each task, read off the whole table for free, then a search of the accelerators with half of the trials; it is
then repaired: networks are searched again on the accelerator that misses the specs least, with the other half. Joint:
everything at once with all trials; the first generation holds the same free cells. Hypervolume is over energy and
error of designs that keep every spec. `repaired_covered` is the share of the repaired front that the joint front
dominates or equals. The first half of the trials of "network first" trains no network beyond the free ones, so the
joint search is also compared after as many trials as the repair has (`first_half`).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import finish
from scipy.stats import wilcoxon

from archwright.benchmarks.columns import open_columns
from archwright.codesign import Accelerator, CoDesign, JointAccuracy, JointEvolution, codesign_space
from archwright.search.budget import Budget
from archwright.search.pareto import front_mask
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.space import Space
from archwright.spaces.nasbench201 import nasbench201

SPECS = {"latency_ms": 1.2, "energy_mj": 2.0, "area_mm2": 1.0}
TASKS = {"cifar10": ("c10", 32, 10), "cifar100": ("c100", 32, 100), "imagenet16": ("in16", 16, 120)}
REFERENCE = (2.0, 60.0)  # energy in mJ and error in percent


def accuracies() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Task -> function of NAS-Bench-201 codes to mean test accuracy."""
    table = open_columns("nasbench/nb201_accuracy.npz")
    weights = 5 ** np.arange(6)[::-1]
    order = np.empty(15625, dtype=int)
    order[table["ops"] @ weights] = np.arange(15625)

    def one(key: str) -> Callable[[np.ndarray], np.ndarray]:
        values = table[f"{key}_test_e200_mean"]
        return lambda codes: np.asarray(values[order[codes.astype(int) @ weights]])

    return {task: one(key) for task, (key, _, _) in TASKS.items()}


def search(
    space: Space, cost: CoDesign, accuracy: JointAccuracy, trials: int, seed: int, known: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Codes and metrics of a search for accuracy and energy under the specs; NaN where a limit ended a trial."""
    objectives = (
        Objective("accuracy_percent", "maximize"),
        Objective("energy_mj", "minimize", at_most=SPECS["energy_mj"]),
        Objective("latency_ms", "limit", at_most=SPECS["latency_ms"]),
        Objective("area_mm2", "limit", at_most=SPECS["area_mm2"]),
    )
    problem = Problem(space, objectives, (cost, accuracy))
    strategy = JointEvolution(problem, seed=seed, known=known)
    result = run(problem, strategy, Budget(trials=trials))
    metrics = (*cost.metrics, "accuracy_percent")
    columns = {m: np.array([t.metrics.get(m, np.nan) for t in result.trials]) for m in metrics}
    return {"codes": np.stack([t.candidate.architecture.code for t in result.trials])} | columns


def keeps(found: dict[str, np.ndarray]) -> np.ndarray:
    """Which designs keep every spec."""
    return np.logical_and.reduce([found[m] <= limit for m, limit in SPECS.items()])


def hypervolume(found: dict[str, np.ndarray]) -> float:
    """Area over energy and error of the designs that keep every spec, as a share of the reference's."""
    points = sorted(front(found).tolist())
    area, ceiling = 0.0, REFERENCE[1]
    for energy, error in points:
        if error < ceiling and energy < REFERENCE[0]:
            area += (REFERENCE[0] - energy) * (ceiling - error)
            ceiling = error
    return float(area / (REFERENCE[0] * REFERENCE[1]))


def best_accuracy(found: dict[str, np.ndarray]) -> float | None:
    """Highest mean accuracy within the specs."""
    good = keeps(found)
    return float(found["accuracy_percent"][good].max()) if good.any() else None


def front(found: dict[str, np.ndarray]) -> np.ndarray:
    """(n, 2) energy and error of the designs within the specs that no other dominates."""
    good = keeps(found)
    points = np.stack([found["energy_mj"][good], 100 - found["accuracy_percent"][good]], axis=1)
    return points[front_mask(points)]


def covered(points: np.ndarray, by: np.ndarray) -> float:
    """Share of points that some point of `by` dominates or equals."""
    return float((by[None] <= points[:, None]).all(axis=2).any(axis=1).mean()) if len(points) else 1.0


def one_seed(
    space: Space, cost: CoDesign, accuracy: JointAccuracy, best: dict[str, np.ndarray], trials: int, seed: int
) -> dict[str, Any]:
    """Both procedures with one seed."""
    start, known = time.process_time(), {t: code[None] for t, code in best.items()}
    joint = search(space, cost, accuracy, trials, seed, known)
    heavy = space.fix({f"tasks.{t}.{i}": int(o) for t, code in best.items() for i, o in enumerate(code)})
    second = search(heavy, cost, accuracy, trials // 2, seed, {})
    excess = [np.nan_to_num(second[m] / limit - 1, nan=1e6, posinf=1e6) for m, limit in SPECS.items()]
    misses = np.maximum(excess, 0).sum(axis=0)
    at = int(np.argmin(misses))  # the accelerator that misses the specs least stays
    names = [d.path for d in space.decisions if d.path.startswith("accelerators")]
    options = {p: space.option_value(p, int(second["codes"][at][heavy.decision(p).index])) for p in names}
    repaired = search(space.fix(options), cost, accuracy, trials - trials // 2, seed, known)
    half = {
        m: v[: trials // 2] for m, v in joint.items()
    }  # as many trials as the repair, the first that trains networks
    return {
        "seed": seed, "seconds": time.process_time() - start,
        "joint": {
            "best_accuracy_percent": best_accuracy(joint), "hypervolume": hypervolume(joint),
            "share_within_specs": float(keeps(joint).mean()), "front": len(front(joint)),
        },
        "network_first": {
            "accuracy_percent": float(accuracy.evaluate(second["codes"][at][None])["accuracy_percent"][0]),
            **{m: float(second[m][at]) for m in SPECS},
            "specs_violated": [m for m, limit in SPECS.items() if second[m][at] > limit],
            "any_within_specs": bool(keeps(second).any()),
        },
        "network_first_repaired": {
            "best_accuracy_percent": best_accuracy(repaired), "hypervolume": hypervolume(repaired),
            "front": len(front(repaired)),
        },
        "repaired_covered": covered(front(repaired), front(joint)),
        "repaired_covered_by_first_half": covered(front(repaired), front(half)),
        "hypervolume_of_first_half": hypervolume(half),
        "joint_covered": covered(front(joint), front(repaired)),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--keep", type=Path, help="folder that keeps finished seeds for a further run")
    parser.add_argument("--no-write", action="store_true")
    a = parser.parse_args()
    tasks = {t: nasbench201((3, size, size), outputs=classes) for t, (_, size, classes) in TASKS.items()}
    shapes = {t: (3, size, size) for t, (_, size, _) in TASKS.items()}
    functions = accuracies()
    space = codesign_space(tasks, (Accelerator(), Accelerator()), total_pes=4096, total_noc_gb_per_s=64)
    cost = CoDesign(space, tasks, shapes, latency_limit_ms=SPECS["latency_ms"], area_limit_mm2=SPECS["area_mm2"])
    accuracy = JointAccuracy(space, tasks, functions)
    cells = np.stack(np.meshgrid(*[range(5)] * 6, indexing="ij"), -1).reshape(-1, 6).astype(np.int16)
    best = {t: cells[int(np.argmax(f(cells)))] for t, f in functions.items()}
    runs = []
    for seed in range(a.seeds):
        kept = a.keep / f"seed{seed}_{a.trials}.json" if a.keep else None
        if kept and kept.exists():
            runs.append(json.loads(kept.read_text()))
            continue
        runs.append(one_seed(space, cost, accuracy, best, a.trials, seed))
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(runs[-1]))
    joint = [r["joint"]["best_accuracy_percent"] for r in runs]
    fixed = [r["network_first_repaired"]["best_accuracy_percent"] for r in runs]
    volumes = [(r["joint"]["hypervolume"], r["network_first_repaired"]["hypervolume"]) for r in runs]
    figures = {
        "specs": SPECS,
        "trials": {"joint": a.trials, "network_first": a.trials // 2, "repair": a.trials // 2},
        "most_accurate_cells": {t: c.tolist() for t, c in best.items()},
        "joint_meets_every_spec_in": sum(x is not None for x in joint),
        "network_first_violates_in": sum(bool(r["network_first"]["specs_violated"]) for r in runs),
        "joint_more_accurate_than_repaired_in": int(
            sum(x is not None and (y is None or x > y) for x, y in zip(joint, fixed, strict=True))
        ),
        "joint_larger_hypervolume_in": int(sum(x > y for x, y in volumes)),
        "joint_front_dominates_repaired_in": sum(r["repaired_covered"] == 1.0 for r in runs),
        "first_half_dominates_repaired_in": sum(r["repaired_covered_by_first_half"] == 1.0 for r in runs),
        "first_half_larger_hypervolume_in": sum(
            r["hypervolume_of_first_half"] > r["network_first_repaired"]["hypervolume"] for r in runs
        ),
        "median_share_of_repaired_front_covered": float(np.median([r["repaired_covered"] for r in runs])),
        "hypervolume_wilcoxon_p": float(wilcoxon([x - y for x, y in volumes]).pvalue) if len(runs) > 4 else None,
        "seeds": a.seeds,
        "processor_seconds": sum(r["seconds"] for r in runs),
        "runs": runs,
    }
    finish("codesign", figures, write=not a.no_write)


if __name__ == "__main__":
    main()
