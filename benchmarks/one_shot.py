"""Quality of one-shot methods on NAS-Bench-201: searched on real CIFAR-10 images, looked up in the table.

    python benchmarks/one_shot.py
    python benchmarks/one_shot.py --methods darts,gdas --seeds 1 --epochs 2 --out ""

What is searched and how is said in `archwright/benchmarks/one_shot.py`; `archwright bench one-shot` is the same with a
folder of one's own. The best recipe of the table then searches with as many fresh seeds, since the best of many means
is above what it stands for. Writes benchmarks/results/one_shot.json after every search; a run that was stopped goes on
where the settings are equal.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, fields

import torch
from common import RESULTS, write

from archwright.benchmarks.one_shot import METHODS, Row, Settings, compare, random_cells, summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fresh", type=int, default=3, help="further seeds of the best recipe")
    for field in fields(Settings):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=int, default=field.default)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", default="one_shot", help="name of the result; empty = write nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = Settings(**{f.name: getattr(options, f.name) for f in fields(Settings)})
    known: list[Row] = []
    path = RESULTS / f"{options.out}.json"
    if options.out and path.exists():
        before = json.loads(path.read_text())
        known = before["searches"] if before.get("settings") == asdict(settings) else []

    def note(rows: list[Row]) -> None:
        print(json.dumps({k: v for k, v in rows[-1].items() if not isinstance(v, dict)}), flush=True)
        save(rows)

    def save(rows: list[Row]) -> None:
        if options.out:
            said = summary(rows, options.seeds)
            figures = {"settings": asdict(settings), "seeds": options.seeds, "summary": said}
            write(options.out, {**figures, "random_cells": random_cells(), "searches": rows})

    rows = compare(options.methods.split(","), options.seeds, settings, known=known, on_row=note)
    best = summary(rows, options.seeds)["best_recipe"]
    if best is not None:
        rows = compare([best], options.seeds + options.fresh, settings, known=rows, on_row=note)
    save(rows)
    print(json.dumps(summary(rows, options.seeds)))


if __name__ == "__main__":
    main()
