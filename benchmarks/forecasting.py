"""Transformers found by AB-DARTS beside the default Transformer, forecasting three real series.

    python benchmarks/forecasting.py                    # goes on where it stopped; about 20 minutes on one core
    python benchmarks/forecasting.py --seeds 1          # one seed, perhaps beside others
    python benchmarks/forecasting.py --minutes 0.5      # begins nothing new after so long

For every series and seed `ab-darts` searches the space `autoformer_ts`, weights on the training part and architecture
parameters and ablation scores on the validation part. The found network, the default Transformer of the same sizes and
a random member of the space are then trained alike from fresh weights, on the training part alone, and measured on the
test part: mean squared error of standardised values, forecasts of 96 rows from 96 rows. Wanted: the found network's
mean over seeds at most the default's on two of the three series. Errors of the last value and of the last period
beside. Writes benchmarks/results/forecasting.json after every search and training.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, write

from archwright.gradient import GradientSearch
from archwright.gradient.method import Training
from archwright.gradient.recipes import recipe
from archwright.gradient.selections.ablation import Ablation
from archwright.nets import build
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.space import Architecture, Space
from archwright.spaces.autoformer_ts import autoformer_ts, default
from archwright.tasks import load
from archwright.tasks.base import Task

SERIES = ("etth1", "etth2", "exchange_rate")
SIZES: dict[str, Any] = {"layers": 2, "features": 32, "heads": 4, "patch": 24}
SEARCH: dict[str, Any] = {"epochs": 2, "batch": 64, "split": "valid"}
SELECTION: dict[str, Any] = {"rounds": 4, "tuning": 0.34, "batches": 8}
WEIGHTS, ARCHITECTURE = {"lr": 1e-3, "lr_end": 1e-4}, {"lr": 3e-3, "weight_decay": 1e-3}
TRAINING: dict[str, Any] = {"epochs": 4, "lr": 1e-3, "batch": 64}
NETS = ("found", "default", "random")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no epoch or training after so long")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "forecasting", help="of searches")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    return parser.parse_args()


def searched(space: Space, task: Task, seed: int, folder: Path, stop: Callable[[], bool]) -> Architecture | None:
    """What AB-DARTS finds; None if it was stopped, after an epoch or before the selection."""
    method = recipe("ab-darts", selection=Ablation(**SELECTION), **SEARCH)
    weights = Training("adam", WEIGHTS["lr"], WEIGHTS["lr_end"], weight_decay=1e-4, clip=1.0)
    architecture = Training("adam", ARCHITECTURE["lr"], None, (0.5, 0.999), weight_decay=ARCHITECTURE["weight_decay"])
    method = method.with_(weights=weights, architecture=architecture)
    search = GradientSearch(space, task, method, seed=seed, folder=folder)
    while search.epoch < method.epochs:
        search.advance()
        if stop():
            return None
    return search.result(random=0).architecture


def words(space: Space, architecture: Architecture) -> list[str]:
    """The options of an architecture in a few words each."""
    out = []
    for d, k in zip(space.decisions, architecture.code, strict=True):
        option = space.option_value(d, int(k))
        kind = getattr(option, "activation", None) or getattr(option, "kind", None)
        out.append(f"{d.label}: {type(option).__name__}" + (f" {kind}" if kind else ""))
    return out


def one_seed(name: str, seed: int, cell: dict[str, Any], folder: Path, save: Callable[[], None], end: float) -> bool:
    """Search and three trainings, each unless it is there; whether all of it was done before the end."""
    task = load(name)
    space = autoformer_ts(task.input_shape, task.outputs, **SIZES)
    if "found_code" not in cell:
        found = searched(space, task, seed, folder, lambda: time.monotonic() > end)
        if found is None:
            return False
        cell["found_code"], cell["found"] = np.asarray(found.code).tolist(), words(space, found)
        save()
    nets = {
        "found": space.architectures(np.array([cell["found_code"]]))[0],
        "default": default(space),
        "random": space.sample(1, np.random.default_rng([seed, 0x7A]))[0],
    }
    for net_name, architecture in nets.items():
        if net_name in cell.setdefault("test_mse", {}):
            continue
        if time.monotonic() > end:
            return False
        net = build(architecture, task.input_shape, seed=seed)
        train(net, task, Recipe(**TRAINING), seed=seed)
        for part in ("valid", "test"):
            cell.setdefault(f"{part}_mse", {})[net_name] = round(evaluate(net, task, part)["mse"], 5)
        print(name, seed, net_name, cell["valid_mse"][net_name], cell["test_mse"][net_name], flush=True)
        save()
    return True


def summary(figures: dict[str, Any]) -> dict[str, Any]:
    """Means over the seeds that are complete, and on how many series the found network is no worse."""
    no_worse = 0
    for entry in figures["series"].values():
        cells = [c for c in entry["seeds"].values() if set(c.get("test_mse", {})) == set(NETS)]
        if not cells:
            continue
        entry["complete_seeds"] = len(cells)
        entry["mean_test_mse"] = {n: round(float(np.mean([c["test_mse"][n] for c in cells])), 5) for n in NETS}
        ratio = entry["mean_test_mse"]["found"] / entry["mean_test_mse"]["default"]
        entry["found_over_default"] = round(ratio, 4)
        entry["seeds_no_worse"] = sum(c["test_mse"]["found"] <= c["test_mse"]["default"] for c in cells)
        no_worse += ratio <= 1.0
    figures["series_no_worse"] = no_worse
    return figures


def kept(settings: dict[str, Any]) -> dict[str, Any]:
    """What earlier runs with the same settings left."""
    path = RESULTS / "forecasting.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    if known.get("settings") == settings:
        return known
    return {"series": {name: {"baselines": load(name).baselines(), "seeds": {}} for name in SERIES}}


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * options.minutes
    parts = {"space": SIZES, "search": SEARCH | SELECTION, "weights": WEIGHTS, "architecture": ARCHITECTURE}
    settings = json.loads(json.dumps(parts | {"training": TRAINING}))
    mine: dict[tuple[str, int], dict[str, Any]] = {}

    def save() -> None:
        if not options.dry:
            figures = kept(settings)  # another run may have written other seeds meanwhile
            for (name, seed), cell in mine.items():
                figures["series"][name]["seeds"][str(seed)] = cell
            write("forecasting", summary({"settings": settings, "series": figures["series"]}))

    for seed in options.seeds:
        for name in SERIES:
            known = kept(settings)["series"].get(name, {}).get("seeds", {}).get(str(seed), {})
            mine[name, seed] = {} if options.dry else known
            folder = options.folder / f"{name}-{seed}"
            if not one_seed(name, seed, mine[name, seed], folder, save, end):
                return
    save()


if __name__ == "__main__":
    main()
