"""The benchmark that ships with the package: all 490 networks of a small space, trained on scikit-learn's digits.

Every network was trained with three seeds for 12 epochs of one schedule and measured after 3, 6 and 12; `trained_once`
is that training, and `benchmarks/make_digits_table.py` made the file. Of the 1797 images 40 % are the test part, which
keeps the task hard enough to tell networks apart: 719 train, 359 validate, 719 test.

A query returns the test accuracy of the first seed, comparisons are scored on the mean of all three, as on the other
tables. One training is that noisy here that whoever knows every answer still ends 0.42 points below the best mean.
`valid_accuracy_percent` is the stricter goal: chosen by one validation, scored on the mean test, it ends 0.9 below.

Fidelities 1/4 and 1/2 are prefixes of the same training, not trainings of their own. After 3 epochs the batch norms'
running statistics are still far off, so a method that trusts the first level is misled (rank correlation of the
validation with the final truth after 3, 6, 12 epochs: 0.14, 0.80, 0.88). Latencies are medians of ONNX Runtime at batch
1 on the machine that `about` names, `*_iqr_ms` the interquartile range of single runs; seconds are CPU seconds of one
core, without evaluation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from archwright.benchmarks.columns import read_npz
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.registry import register
from archwright.space import Space

if TYPE_CHECKING:
    from archwright.nets.recipe import Recipe
    from archwright.space import Architecture
    from archwright.tasks.base import Task

FILE = "digits.npz"
SHAPE, CLASSES = (1, 8, 8), 10
SPLIT = {"valid_share": 1 / 3, "test_share": 0.4}
VALID, TEST = 359, 719  # images
SEEDS = 3
LEVELS = (3, 6, 12)  # epochs after which accuracies are known
THREADS = (1, 2)


class Reached(NamedTuple):
    """What a training has reached after some epochs: images classified rightly, and CPU seconds of training."""

    valid: int
    test: int
    seconds: float


def path() -> Path:
    """The table's file in the package."""
    return Path(__file__).parent / "data" / FILE


def make_space() -> Space:
    """The 490 networks."""
    from archwright.spaces.digits_bench import digits_bench

    return digits_bench(SHAPE, CLASSES)


def task() -> Task:
    """The digits in the parts of this benchmark."""
    from archwright.tasks.digits import digits

    return digits(seed=0, **SPLIT)


def recipe() -> Recipe:
    """How every network of the table was trained."""
    from archwright.nets.recipe import Recipe

    return Recipe(optimizer="adamw", lr=1e-2, epochs=LEVELS[-1], batch=96, clip=0.0)


def trained_once(architecture: Architecture, seed: int, data: Task | None = None) -> dict[int, Reached]:
    """Train one network as the table's were.

    Args:
        architecture: of `make_space()`.
        seed: of initialisation, batches and augmentation.
        data: `task()`, where it is there already.

    Returns:
        epochs -> what was reached, for each of `LEVELS`.
    """
    import time

    from archwright.nets.build import build
    from archwright.nets.train import evaluate, train

    data = data or task()
    net = build(architecture, SHAPE, seed=seed)
    found: dict[int, Reached] = {}
    spent, since = 0.0, time.process_time()

    def note(record: dict[str, Any], state: Any) -> None:
        nonlocal spent, since
        spent += time.process_time() - since
        if record["epoch"] in LEVELS:
            right = [
                round(evaluate(net, data, split)["accuracy_percent"] * len(data.split(split)) / 100)
                for split in ("valid", "test")
            ]
            found[record["epoch"]] = Reached(right[0], right[1], spent)
        since = time.process_time()

    train(net, data, recipe(), seed=seed, on_epoch=note)
    return found


def about() -> dict[str, Any]:
    """How the table was made: recipe, parts, machine, versions, load and drift of the latency measurement."""
    found: dict[str, Any] = json.loads(str(_columns(FILE)["about"]))
    return found


@cache
def _columns(file: str) -> Mapping[str, np.ndarray]:
    """Stored columns by name, and the means over seeds; the file is too small to be worth converting."""
    stored = dict(read_npz(Path(__file__).parent / "data" / file))
    for e in LEVELS:
        stored[f"test_mean_e{e}"] = stored[f"test_e{e}"].mean(axis=1)
        stored[f"train_mean_s_e{e}"] = stored[f"train_s_e{e}"].mean(axis=1)
    for column in stored.values():
        column.setflags(write=False)
    return stored


def _measured(column: str, scale: float = 1.0, part: int | None = None) -> Measured:
    return Measured(FILE, column, scale, part, opened=_columns)


def _accuracies(epochs: int) -> dict[str, Measured]:
    return {
        "accuracy_percent": _measured(f"test_e{epochs}", 100 / TEST, 0),
        "valid_accuracy_percent": _measured(f"valid_e{epochs}", 100 / VALID, 0),
    }


@register("benchmarks", "digits-conv", labels={"members": 490, "listed": "all", "data": "images", "packaged": True})
def digits_conv() -> TableBenchmark:
    """Small convolutional networks on scikit-learn's digits; needs no other data."""
    mean = _measured(f"test_mean_e{LEVELS[-1]}", 100 / TEST)
    latencies = {}
    for threads, name in zip(THREADS, ("latency", "two_threads_latency"), strict=True):
        latencies[f"{name}_ms"] = _measured(f"latency_{threads}_ms")
        latencies[f"{name}_iqr_ms"] = _measured(f"latency_{threads}_iqr_ms")
    return TableBenchmark(
        name="digits-conv",
        make_space=make_space,
        listed=lambda: _columns(FILE)["codes"],
        observed={
            **_accuracies(LEVELS[-1]),
            "params_m": _measured("params", 1e-6),
            "macs_m": _measured("macs", 1e-6),
            **latencies,
        },
        goal="accuracy_percent",
        truth={"accuracy_percent": mean, "valid_accuracy_percent": mean},
        fidelities={e / LEVELS[-1]: _accuracies(e) for e in LEVELS[:-1]},
        seconds={e / LEVELS[-1]: _measured(f"train_mean_s_e{e}") for e in LEVELS},
        note=__doc__ or "",
    )
