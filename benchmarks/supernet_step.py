"""A sandwich step of four subnets against a training step of the largest subnet alone.

CPU seconds of one thread, steps in alternation, medians. Limit: 2.2 times.
`python benchmarks/supernet_step.py`
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from common import finish

from archwright.nets import Supernet, build
from archwright.nets.active import ActiveUpdate
from archwright.nets.recipe import Recipe
from archwright.nets.train import in_format, to_format
from archwright.nets.train_supernet import Sandwich
from archwright.spaces.convnet import convnet
from archwright.tasks import load

WARM_UP = 8  # the first steps build what later ones reuse


def endless(task: Any, batch: int, rng: np.random.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Shuffled batches in the memory format that training uses."""
    while True:
        for x, y in task.train.batches(batch, rng=rng, shuffle=True):
            yield in_format(x, torch.channels_last), y


def measure(data: str, steps: int, batch: int) -> dict[str, float]:
    """Median CPU seconds of a sandwich step, and of a step of the largest network alone."""
    task = load(data)
    space = convnet(task.input_shape, task.outputs)
    torch.manual_seed(0)
    supernet, recipe = Supernet(space, task.input_shape).train(), Recipe(batch=batch)
    largest = build(space.largest(), task.input_shape).train()
    for net in (supernet, largest):
        to_format(net, torch.channels_last)
    sandwich, update = Sandwich(supernet, task, recipe), ActiveUpdate(supernet)
    shared, alone = recipe.optimizer_for(supernet), recipe.optimizer_for(largest)
    rng = np.random.default_rng(0)
    times: dict[str, list[float]] = {"sandwich": [], "largest": []}
    for i, (x, y) in enumerate(endless(task, batch, rng)):
        began = time.process_time()
        shared.zero_grad(set_to_none=True)
        sandwich(x, y, rng)
        update(shared)
        middle = time.process_time()
        alone.zero_grad(set_to_none=True)
        task.loss(largest(x), y).backward()
        alone.step()
        end = time.process_time()
        if i >= WARM_UP:
            times["sandwich"].append(middle - began)
            times["largest"].append(end - middle)
        if len(times["largest"]) == steps:
            return {name: statistics.median(values) for name, values in times.items()}
    raise AssertionError


def main() -> None:
    """Measure on digits and, where there are its images, on CIFAR-10."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--data", nargs="*", default=["digits", "cifar10_20k"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    figures = {}
    for data in given.data:
        seconds = measure(data, given.steps if data == "digits" else given.steps // 3, given.batch)
        figures[data] = {
            "sandwich_s": round(seconds["sandwich"], 5),
            "largest_s": round(seconds["largest"], 5),
            "ratio": round(seconds["sandwich"] / seconds["largest"], 3),
            "limit": 2.2,
        }
    finish("supernet_step", {"cpu_seconds_a_step": figures})


if __name__ == "__main__":
    main()
