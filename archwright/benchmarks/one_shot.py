"""Quality of one-shot methods on NAS-Bench-201: searched on real CIFAR-10 images, looked up in the table.

Every recipe searches the space in a small stack and on few images; its architecture's published accuracy after 200
epochs (Dong and Yang, 2020) is looked up, beside random cells. The recipes are as published but for what a short search
needs: architecture parameters learn at up to ten times the rate, because there are that many times fewer steps and
more; shared weights start at one rate, that of the benchmark's own searches, whose batch of 64 is the one here
(publications give up to 0.1 for batches of up to 256); FairDARTS's zero-one loss, a mean over gates, keeps its strength
for each of them; methods that train one path a step, or no architecture parameters, get more epochs, which cost about
the same; selections measure on few batches and tune half an epoch. DARTS's rule, the strongest operator other than
`none`, is used with all six edges. The architecture of the last epoch counts, as in the publications.

`bignas` (no order of sizes), `tanglenas` (nothing to entangle) and `quantnas` (no bits) do not apply to this space.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.data import data_file
from archwright.errors import ConfigurationError

if TYPE_CHECKING:
    from archwright.gradient.method import Method
    from archwright.tasks.base import Task

METRICS = {"cifar10": "c10_test_e200_mean", "cifar100": "c100_test_e200_mean", "imagenet16": "in16_test_e200_mean"}
METHODS = (
    "darts-pt", "darts-pt-fixed", "single-level", "pc-darts", "drnas", "gdas", "darts", "spos", "random-ws", "ab-darts",
    "rarts", "sd-darts", "single-stage", "fairnas", "fair-darts", "proxylessnas", "fbnet", "sharpdarts", "multi-arch",
    "p-darts", "proxylessnas-r", "darts-2nd", "dass",
)  # fmt: skip
BEST_PERCENT = 93.5  # the best recipe shall average above this on CIFAR-10
NEVER_ALL_SKIP = ("darts-pt", "darts-pt-fixed", "pc-darts")
RANDOM = 1000
FASTER, LARGEST_RATE = 10.0, 0.003  # of the architecture parameters' learning rate
WEIGHTS_RATE = 0.025  # Dong and Yang, 2020, section 5
GATES, PUBLISHED_GATES = 6 * 5, 2 * 14 * 7  # here, and where FairDARTS weighs its zero-one loss by ten
GENERATIONS, TUNING = 8, 0.5
EDGES = 3  # of a node at most

Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """Size of the searches.

    Attributes:
        epochs: of methods that run the mixture.
        path_epochs: of methods that run one path a step.
        batch: examples a step.
        cells: of a stage.
        channels: of the first stage.
        side: pixels of an image's side, 16 or 32.
        measured: batches on which selections measure.
        images: training images of both parts together.
    """

    epochs: int = 4
    path_epochs: int = 12
    batch: int = 64
    cells: int = 1
    channels: int = 8
    side: int = 16
    measured: int = 8
    images: int = 8000

    def task(self) -> Task:
        """The images."""
        from archwright.tasks import load

        return load("cifar10_20k", pixels=self.side, images=self.images)

    def method(self, name: str) -> Method:
        """A recipe for a short search on this space."""
        from archwright.gradient.penalties.regularisers import ZeroOne
        from archwright.gradient.recipes import recipe
        from archwright.gradient.selections.darts_edges import DartsEdges
        from archwright.gradient.selections.depth_growth import DepthGrowth

        published = recipe(name)
        epochs = self.path_epochs if published.relaxation.one_path else self.epochs
        if published.warmup == published.epochs:  # one pass a step instead of two
            epochs *= 2
        method = recipe(name, epochs=epochs, batch=self.batch)
        rate = method.architecture.lr
        faster = replace(method.architecture, lr=max(rate, min(FASTER * rate, LARGEST_RATE)))
        selection: Any = method.selection
        if isinstance(selection, DartsEdges | DepthGrowth):
            selection = replace(selection, edges=EDGES)
        if hasattr(selection, "batches"):
            selection = replace(selection, batches=self.measured)
        if hasattr(selection, "tuning"):
            selection = replace(selection, tuning=TUNING)
        if hasattr(selection, "generations"):
            selection = replace(selection, generations=min(GENERATIONS, selection.generations))
        weights = replace(method.weights, lr=WEIGHTS_RATE)
        penalties = tuple(
            replace(p, strength=p.strength * GATES / PUBLISHED_GATES) if isinstance(p, ZeroOne) else p
            for p in method.penalties
        )
        return method.with_(architecture=faster, weights=weights, selection=selection, penalties=penalties, keep="last")


@cache
def _table() -> dict[str, np.ndarray]:
    with np.load(data_file("nasbench/nb201_accuracy.npz")) as file:
        return {name: file[name] for name in ("ops", *METRICS.values())}


def looked_up(code: np.ndarray) -> dict[str, float]:
    """Mean published accuracies of a code (6,) after 200 epochs, percent."""
    row = int(np.flatnonzero((_table()["ops"] == code).all(axis=1))[0])
    return {f"{name}_accuracy_percent": float(_table()[column][row]) for name, column in METRICS.items()}


def searched(name: str, settings: Settings, seed: int, task: Task) -> Row:
    """One search and what the table says about its architecture."""
    from archwright.gradient import GradientSearch
    from archwright.gradient.selections.edges import skip_share
    from archwright.spaces.nasbench201 import nasbench201, to_string

    c = settings.channels
    space = nasbench201(task.input_shape, task.outputs, channels=(c, 2 * c, 4 * c), cells=settings.cells)
    started, cpu = time.perf_counter(), time.process_time()
    method = settings.method(name)
    result = GradientSearch(space, task, method, seed=seed).run()
    code = result.architecture.code
    return {
        "method": name,
        "seed": seed,
        "epochs": method.epochs,
        "architecture": to_string(code),
        **looked_up(code),
        "skip_share": skip_share(space, code),
        "each_epoch": [looked_up(np.array(r["code"]))["cifar10_accuracy_percent"] for r in result.history],
        "discretisation_gap": [r["discretisation_gap"] for r in result.history],
        "entropy": [r["entropy"] for r in result.history],
        "random_with_shared_weights": result.random,
        "wall_seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
    }


def mean_interval(values: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """Mean and its 95 % confidence interval by Student's t; no interval for a single value."""
    from scipy.stats import t

    x = np.asarray(values, dtype=np.float64)
    mean = float(x.mean())
    if len(x) < 2:
        return {"mean": mean, "interval_95": None}
    half = float(t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return {"mean": mean, "interval_95": [mean - half, mean + half]}


def random_cells() -> dict[str, Any]:
    """Published accuracies of random cells."""
    table = _table()
    rows = np.random.default_rng(0).choice(len(table["ops"]), RANDOM, replace=False)
    out: dict[str, Any] = {"cells": RANDOM}
    for name, column in METRICS.items():
        best = float(table[column].max())
        out[name] = mean_interval(table[column][rows]) | {
            "median": float(np.median(table[column][rows])),
            "best_in_table": best,
        }
    return out


def summary(rows: Sequence[Row], seeds: int) -> dict[str, Any]:
    """Means by method, and what the targets ask for; only methods with all seeds can be the best.

    Further seeds do not enter the table: those of the best method say how much of its lead was luck.
    """
    methods: dict[str, Any] = {}
    for name in dict.fromkeys(r["method"] for r in rows):
        mine = [r for r in rows if r["method"] == name and r["seed"] < seeds]
        methods[name] = {"seeds": len(mine)}
        for metric in METRICS:
            found = [r[f"{metric}_accuracy_percent"] for r in mine]
            methods[name][metric] = mean_interval(found) | {"all": found}
        methods[name]["largest_skip_share"] = max(r["skip_share"] for r in mine)
        methods[name]["cpu_seconds_a_search"] = float(np.mean([r["cpu_seconds"] for r in mine]))
    complete = {n: m["cifar10"]["mean"] for n, m in methods.items() if m["seeds"] >= seeds}
    best = max(complete, key=lambda n: complete[n]) if complete else None
    fresh = [r["cifar10_accuracy_percent"] for r in rows if r["method"] == best and r["seed"] >= seeds]
    skips = [methods[n]["largest_skip_share"] for n in NEVER_ALL_SKIP if n in methods]
    return {
        "target": {"best_recipe_cifar10_percent": BEST_PERCENT, "largest_skip_share": "below 1 for darts-pt, pc-darts"},
        "best_recipe": best,
        "best_recipe_cifar10_percent": None if best is None else complete[best],
        "best_recipe_with_fresh_seeds": mean_interval(fresh) | {"all": fresh} if fresh else None,
        "largest_skip_share": max(skips) if skips else None,
        "methods": methods,
    }


def compare(
    methods: Sequence[str],
    seeds: int,
    settings: Settings | None = None,
    *,
    known: Sequence[Row] = (),
    on_row: Callable[[list[Row]], None] | None = None,
) -> list[Row]:
    """Search with every method and seed, all methods with a seed before the next one.

    Args:
        methods: recipes.
        seeds: of each.
        settings: size of the searches.
        known: rows of an earlier run with the same settings, which are not searched again.
        on_row: called with all rows after each search.

    Raises:
        ConfigurationError: if a method does not apply to the space.
    """
    settings = settings or Settings()
    unknown = sorted(set(methods) - set(METHODS))
    if unknown:
        raise ConfigurationError(f"{unknown} cannot be compared on NAS-Bench-201; choose among {', '.join(METHODS)}")
    rows, task = list(known), settings.task()
    done = {(r["method"], r["seed"]) for r in rows}
    for seed in range(seeds):
        for name in methods:
            if (name, seed) not in done:
                rows.append(searched(name, settings, seed, task))
                if on_row is not None:
                    on_row(rows)
    return rows


__all__ = ["METHODS", "Settings", "compare", "looked_up", "mean_interval", "random_cells", "searched", "summary"]
