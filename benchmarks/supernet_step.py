"""Cost of a supernet training step against training the largest network alone, CPU time, one thread.

python benchmarks/supernet_step.py --steps 20 --data digits
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from common import finish

from archwright import tasks
from archwright.nets import Supernet, build
from archwright.nets.recipe import Recipe
from archwright.nets.train import Loop, train
from archwright.nets.train_supernet import train_supernet
from archwright.spaces.convnet import convnet

LIMIT = 2.2
ROUNDS = 5


def measure(name: str, steps: int) -> dict[str, float]:
    task = tasks.load(name)
    part = task.train.take(steps * 64, np.random.default_rng(0))
    space, recipe = convnet(task.input_shape, task.outputs), Recipe(epochs=ROUNDS + 1)
    net, supernet = build(space.largest(), task.input_shape, seed=0), Supernet(space, task.input_shape)
    count = Loop(net, task, recipe, split=part).steps_per_epoch
    small = type(task)(**{**task.__dict__, "train": part})
    seconds: dict[str, list[float]] = {"sandwich": [], "largest": []}
    one = four = None
    for k in range(ROUNDS + 1):  # in turns, so that a slow moment hits both; the first round is a warm-up
        start = time.process_time()
        four = train_supernet(supernet, small, recipe, epochs=k + 1, state=four).state
        middle = time.process_time()
        one = train(net, small, recipe, epochs=k + 1, state=one).state
        if k:
            seconds["sandwich"].append((middle - start) / count)
            seconds["largest"].append((time.process_time() - middle) / count)
    ratio = float(np.median(np.array(seconds["sandwich"]) / np.array(seconds["largest"])))
    return {**{f"{k}_s": float(np.median(v)) for k, v in seconds.items()}, "ratio": ratio, "limit": LIMIT}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--data", nargs="+", default=["digits"])
    parser.add_argument("--print-only", action="store_true", help="leave the committed result alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures = {name: measure(name, options.steps) for name in options.data}
    finish("supernet_step", {"cpu_seconds_a_step": figures}, write=not options.print_only)


if __name__ == "__main__":
    main()
