"""Queries until the best of the 500 BERT-like networks with GLUE scores is found: BOSHNAS, evolution, random search.

    python benchmarks/boshnas.py            # about three minutes on one core

Strategies propose among the listed networks only (`archwright/benchmarks/listed.py`); nine of the 500 repeat another.
Random search and evolution may query all of them, BOSHNAS a quarter of them.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from common import finish

from archwright.benchmarks.protocol import Setting, maker, play, queries_until, regret_of
from archwright.benchmarks.statistics import finite, interval, lower_median, mann_whitney
from archwright.benchmarks.table import load

EVOLUTION = "regularized_evolution(population=10, sample=3)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--half", type=int, default=125, help="queries of BOSHNAS at most")
    given = parser.parse_args()
    torch.set_num_threads(1)
    table = load("bert-glue500")
    members = len(np.unique(table.codes, axis=0))
    counts: dict[str, list[float]] = {}
    seconds = {}
    for name in ("boshnas", EVOLUTION, "random"):
        setting = Setting(table, given.half if name == "boshnas" else members)
        start = time.process_time()
        found = [
            queries_until(regret_of(play(setting, maker(name, setting.queries), seed), -table.best()), 0.0)
            for seed in range(given.seeds)
        ]
        counts[name] = [np.inf if q is None else float(q) for q in found]
        seconds[name] = round((time.process_time() - start) / given.seeds, 2)
        print(name, found, flush=True)
    medians = {name: [finite(v) for v in interval(q, lower_median)] for name, q in counts.items()}
    finish(
        "boshnas",
        {
            "members": members,
            "seeds": given.seeds,
            "queries": {name: [finite(v) for v in q] for name, q in counts.items()},
            "median_with_interval": medians,
            "boshnas_over_random": round(medians["boshnas"][0] / medians["random"][0], 3),
            "p_against_random": mann_whitney(counts["boshnas"], counts["random"]),
            "cpu_seconds_a_run": seconds,
        },
    )


if __name__ == "__main__":
    main()
