"""RoBoT with 20 queries against each single zero-cost proxy and random search, by the rank of what they deliver.

A single proxy's 20 best are queried (ties by chance); the best by one noisy training counts, ranked among all 15,625 by
the mean over seeds. Ten seeds on the three datasets of NAS-Bench-201, and on the five tasks of the 711 cells of
TransNAS-Bench-101 that are known here (one training each).

    python benchmarks/robot.py
    python benchmarks/robot.py --only transnas101     # the other part is kept as it was

Prints JSON and writes benchmarks/results/robot.json.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import numpy as np
from common import finish, in_parts

from archwright.benchmarks.protocol import Setting, maker, play
from archwright.benchmarks.table import TableBenchmark, load

TABLES: dict[str, tuple[str, ...]] = {
    "nasbench201": ("nasbench201-cifar10", "nasbench201-cifar100", "nasbench201-imagenet16"),
    "transnas101": (
        "transnas101-class-scene", "transnas101-class-object", "transnas101-room-layout", "transnas101-autoencoder",
        "transnas101-normal",
    ),
}  # fmt: skip


def ranks_of(table: TableBenchmark, queries: int, seeds: int) -> dict[str, list[int]]:
    """Method -> rank of what each seed delivers, 1 = the best of the table."""
    rows = np.arange(len(table.codes))
    truth = table.read(table.goal, rows, true=True)
    observed = table.read(table.goal, rows)
    scores = {name: np.where(np.isfinite(v), v, -np.inf) for name, v in columns(table).items()}

    def rank(row: int) -> int:
        return 1 + int((truth > truth[row]).sum())

    found: dict[str, list[int]] = {"robot": [], "random": [], **{name: [] for name in scores}}
    setting, make = Setting(table, queries, {}, True), maker("robot", queries)
    for seed in range(seeds):
        played = play(setting, make, seed)
        delivered = -played.true[int(np.argmin(played.observed[:, 0])), 0]
        found["robot"].append(1 + int((truth > delivered + 1e-9).sum()))
        rng = np.random.default_rng(seed)
        for name, values in scores.items():
            top = np.lexsort((rng.random(len(rows)), -values))[:queries]
            found[name].append(rank(int(top[np.argmax(observed[top])])))
        drawn = rng.choice(len(rows), queries, replace=False)
        found["random"].append(rank(int(drawn[np.argmax(observed[drawn])])))
    return found


def columns(table: TableBenchmark) -> dict[str, np.ndarray]:
    return dict(zip(table.features, table.free_features().T, strict=True))


def compared(tables: tuple[str, ...], queries: int, seeds: int) -> dict[str, Any]:
    """Ranks on tables, their means, and RoBoT's against the best single proxy's."""
    ranks = {name: ranks_of(load(name), queries, seeds) for name in tables}
    mean = {t: {m: round(float(np.mean(r)), 2) for m, r in by.items()} for t, by in ranks.items()}
    common = set.intersection(*(set(by) for by in mean.values()))
    over = {m: round(float(np.mean([mean[t][m] for t in tables])), 2) for m in sorted(common)}
    single = {m: v for m, v in over.items() if m not in ("robot", "random")}
    return {
        "settings": {"seeds": seeds, "queries": queries},
        "mean_rank": mean,
        "mean_rank_over_tables": over,
        "best_single_proxy_over_robot": round(min(single.values()) / over["robot"], 3),
        "ranks": ranks,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--only", choices=list(TABLES))
    given = parser.parse_args()
    parts = {name: partial(compared, tables, given.queries, given.seeds) for name, tables in TABLES.items()}
    figures = in_parts("robot", parts, given.only)
    finish("robot", {"target": "a smaller mean rank than every single proxy", **figures})


if __name__ == "__main__":
    main()
