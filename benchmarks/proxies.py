"""Zero-cost proxies against their published scores and the accuracies of NAS-Bench-201, and what they cost.

    python benchmarks/proxies.py                 # 200 networks, about 25 minutes on one core
    python benchmarks/proxies.py --networks 60 --slow 20

Networks are the first N of NASLib's 725 cells, built by our own space, on real CIFAR-10 images. `published` is the
Spearman correlation with the published score; `own_seeds` the one between two of our own runs with other weights and
images: the most that a score of one initialisation can be reproduced to. Published scores stem from other weights and
images than ours.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from common import finish
from scipy.stats import spearmanr

from archwright import tasks
from archwright.benchmarks.table import load
from archwright.evaluators.zero_cost import ProxyEvaluator
from archwright.proxies.published import freerea, naslib
from archwright.space import Architectures
from archwright.spaces.nasbench201 import nasbench201

FAST = ("params", "macs", "l2_norm", "synflow", "logsynflow", "naswot", "activation_distance")
GRADIENT = ("grad_norm", "snip", "plain", "fisher", "jacob_cov", "epe_nas")


def spearman(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Correlation where both are known; an unknown score counts as the lowest in `ranked_last`."""
    known = np.isfinite(a) & np.isfinite(b)
    both = float(spearmanr(a[known], b[known])[0]) if known.sum() > 2 else float("nan")
    low = [np.where(np.isfinite(v), v, -np.inf) for v in (a, b)]
    return {
        "spearman": round(both, 4),
        "networks": int(known.sum()),
        "ranked_last": round(float(spearmanr(*low)[0]), 4),
    }


def scores_of(task: Any, architectures: Architectures, proxies: tuple[str, ...], **options: Any) -> dict[str, Any]:
    evaluator = ProxyEvaluator(task, proxies, **options)
    start = time.perf_counter()
    rows = []
    for i in range(len(architectures)):
        rows.append(evaluator.one(architectures[i]))
        if i % 20 == 0:
            print(f"{proxies[0]}...: {i} networks, {time.perf_counter() - start:.0f} s", flush=True)
    seconds = (time.perf_counter() - start) / len(architectures)
    return {"scores": dict(zip(proxies, np.array(rows).T, strict=True)), "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--slow", type=int, default=60, help="networks for grasp and zen, and for the second seed")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--dry", action="store_true", help="print only")
    options = parser.parse_args()
    torch.set_num_threads(1)

    task, space, table = tasks.load("cifar10_20k"), nasbench201(), load("nasbench201-cifar10")
    codes, known = naslib()
    architectures = space.architectures(codes[: options.networks])
    some = architectures[: options.slow]
    rows = table.rows(architectures.codes)
    truth = table.read("accuracy_percent", rows, true=True)
    listed, full = freerea()
    place = {c.tobytes(): i for i, c in enumerate(listed)}
    where = np.array([place[c.tobytes()] for c in architectures.codes])

    runs = [
        scores_of(task, architectures, FAST, batch=options.batch),
        scores_of(task, architectures, GRADIENT, batch=options.batch),
        scores_of(task, some, ("grasp",), batch=options.batch),
        scores_of(task, some, ("zen",), batch=options.batch // 2),
    ]
    again = scores_of(task, some, ("naswot", *GRADIENT, "grasp"), batch=options.batch, seed=1)["scores"]
    figures: dict[str, Any] = {}
    for run in runs:
        for name, found in run["scores"].items():
            n = len(found)
            row: dict[str, Any] = {"accuracy": spearman(found, truth[:n])}
            if name in known:
                row["naslib"] = spearman(found, known[name][:n])
                row["naslib_accuracy"] = spearman(known[name][:n], truth[:n])
            if name in full:
                row["freerea"] = spearman(found, full[name][where[:n]])
                row["freerea_with_naslib"] = spearman(known[name][:n], full[name][where[:n]]) if name in known else None
            if name in again:
                row["own_seeds"] = spearman(found[: options.slow], again[name])
            figures[name] = row
    params, macs = (table.read(m, rows) for m in ("params_m", "macs_m"))
    exact = {
        "params_largest_difference_m": float(np.abs(runs[0]["scores"]["params"] - params).max()),
        "macs_largest_difference_m": float(np.abs(runs[0]["scores"]["macs"] - macs).max()),
    }
    seconds = {" ".join(run["scores"]): round(run["seconds"], 3) for run in runs}
    finish(
        "proxies",
        {
            "networks": len(architectures),
            "batch": options.batch,
            "spearman": figures,
            "against_the_table": exact,
            "seconds_a_network": seconds,
        },
        write=not options.dry,
    )


if __name__ == "__main__":
    main()
