"""Quality of one-shot methods on NAS-Bench-201: searched on real CIFAR-10 images, looked up in the table.

    python benchmarks/one_shot.py --methods darts,pc-darts,gdas,darts-pt,spos --epochs 10 --seeds 3
    python benchmarks/one_shot.py --methods darts --quick

Every method searches the NAS-Bench-201 space (smaller macro structure, see --cells and --channels) on `cifar10_20k`;
its architecture's published 200-epoch accuracy is looked up, beside random sampling. Prints one JSON line a search, and
a summary; writes benchmarks/results/one_shot.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from archwright.data import data_file
from archwright.gradient import GradientSearch
from archwright.gradient.recipes import recipe
from archwright.gradient.selections.argmax import Argmax
from archwright.gradient.selections.darts_edges import DartsEdges
from archwright.gradient.selections.edges import skip_share
from archwright.spaces.nasbench201 import nasbench201, to_string
from archwright.tasks import load

RESULTS = Path(__file__).parent / "results" / "one_shot.json"
METRICS = {"cifar10": "c10_test_e200_mean", "cifar100": "c100_test_e200_mean", "imagenet16": "in16_test_e200_mean"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="darts,pc-darts,drnas,gdas,rarts,single-stage,darts-pt,spos,random-ws")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--cells", type=int, default=2)
    parser.add_argument("--channels", type=int, default=8, help="of the first stage")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one seed, two epochs: shows that it runs")
    return parser.parse_args()


def looked_up(code: np.ndarray) -> dict[str, float]:
    """Mean published accuracy after 200 epochs, percent."""
    table = np.load(data_file("nasbench/nb201_accuracy.npz"))
    row = int(np.flatnonzero((table["ops"] == code).all(axis=1))[0])
    return {f"{name}_accuracy_percent": float(table[column][row]) for name, column in METRICS.items()}


def one(name: str, options: argparse.Namespace, seed: int, task) -> dict:
    c = options.channels
    space = nasbench201(task.input_shape, task.outputs, channels=(c, 2 * c, 4 * c), cells=options.cells)
    method = recipe(name, epochs=options.epochs, batch=options.batch)
    if isinstance(method.selection, DartsEdges):
        method = method.with_(selection=Argmax())  # all six edges are kept in this space
    if name == "darts-pt":
        method = method.with_(selection=type(method.selection)(tuning=0.5))
    started = time.perf_counter()
    search = GradientSearch(space, task, method, seed=seed)
    result = search.run()
    code = result.architecture.code
    last = result.history[-1]
    return {
        "method": name,
        "seed": seed,
        "architecture": to_string(code),
        **looked_up(code),
        "last_architecture": looked_up(result.last.code),
        "skip_share": skip_share(space, code),
        "last_skip_share": skip_share(space, result.last.code),
        "inherited_accuracy_percent": last["accuracy_percent"],
        "random_with_shared_weights": result.random,
        "seconds": time.perf_counter() - started,
    }


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    if options.quick:
        options.seeds, options.epochs = 1, 2
    task = load("cifar10_20k")
    rows = []
    for name in options.methods.split(","):
        for seed in range(options.seeds):
            rows.append(one(name, options, seed, task))
            print(json.dumps(rows[-1]), flush=True)
    table = np.load(data_file("nasbench/nb201_accuracy.npz"))
    accuracy = table[METRICS["cifar10"]]
    summary: dict = {
        "settings": vars(options),
        "random_sampling": {"mean": float(accuracy.mean()), "median": float(np.median(accuracy))},
        "best_in_table": float(accuracy.max()),
        "methods": {},
    }
    for name in options.methods.split(","):
        found = [r["cifar10_accuracy_percent"] for r in rows if r["method"] == name]
        summary["methods"][name] = {"mean": float(np.mean(found)), "std": float(np.std(found)), "all": found}
    print(json.dumps(summary))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"summary": summary, "searches": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
