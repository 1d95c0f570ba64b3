"""Networks cut from a BigNAS supernet without training them again, against the same networks trained alone.

    python benchmarks/bignas.py
    python benchmarks/bignas.py --data cifar10_20k --drawn 2

A supernet of the default image space learns by the sandwich rule with in-place distillation and BigNAS's schedule (Yu
et al., 2020, section 3). Its smallest and largest network and some drawn ones are extracted, their batch norms
recalibrated on training images, and measured on the test images; each is then trained alone from scratch with the same
recipe, so for as many epochs. The gap is alone - extracted in percentage points. Writes benchmarks/results/bignas.json
after every seed, one part for each data set.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import torch
from common import RESULTS, write

from archwright.evaluators.inherited import InheritedEvaluator
from archwright.nets import Supernet, build
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.nets.train_supernet import train_supernet
from archwright.space import Architectures, Space
from archwright.spaces.convnet import convnet
from archwright.tasks import load
from archwright.tasks.base import Task

NAME = "bignas"
DATA = {
    "digits": {"epochs": 120, "seeds": 2, "load": {}},
    "cifar10_20k": {"epochs": 24, "seeds": 1, "load": {"pixels": 16, "images": 6000}},
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", default=list(DATA), choices=list(DATA))
    parser.add_argument("--seeds", type=int, default=0, help="0 = as said for the data")
    parser.add_argument("--epochs", type=int, default=0, help="0 = as said for the data")
    parser.add_argument("--drawn", type=int, default=4, help="networks beside the smallest and the largest")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    return parser.parse_args()


def chosen(space: Space, drawn: int, seed: int) -> Architectures:
    """The smallest, the largest and some networks of the space."""
    codes = space.sample(drawn, np.random.default_rng(seed)).codes
    return space.architectures(np.stack([space.smallest().code, space.largest().code, *codes]))


def compared(task: Task, recipe: Recipe, drawn: int, seed: int) -> dict[str, Any]:
    """Test accuracies of networks with shared weights and alone, in percent."""
    space = convnet(task.input_shape, task.outputs)
    torch.manual_seed(seed)
    supernet = Supernet(space, task.input_shape)
    began = time.process_time()
    train_supernet(supernet, task, recipe, seed=seed)
    shared_seconds = time.process_time() - began
    cut = InheritedEvaluator(supernet, task)
    rows = []
    for i, architecture in enumerate(chosen(space, drawn, seed)):
        extracted = evaluate(cut.network(architecture), task, "test")["accuracy_percent"]
        net = build(architecture, task.input_shape, seed=seed)
        train(net, task, recipe, seed=seed)
        alone = evaluate(net, task, "test")["accuracy_percent"]
        rows.append(
            {
                "network": ("smallest", "largest")[i] if i < 2 else f"drawn {i - 2}",
                "params": sum(p.numel() for p in net.parameters()),
                "extracted_percent": extracted,
                "alone_percent": alone,
                "gap_points": alone - extracted,
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return {"seed": seed, "supernet_cpu_seconds": shared_seconds, "networks": rows}


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    path = RESULTS / f"{NAME}.json"
    result = json.loads(path.read_text(encoding="utf-8"))["data"] if path.exists() else {}
    for name in options.data:
        said = DATA[name]
        epochs = options.epochs or said["epochs"]
        task, recipe = load(name, **said["load"]), Recipe(schedule="bignas", epochs=epochs)
        runs: list[dict[str, Any]] = []
        for seed in range(options.seeds or said["seeds"]):
            runs.append(compared(task, recipe, options.drawn, seed))
            gaps = np.array([[row["gap_points"] for row in run["networks"]] for run in runs])
            result[name] = {
                "settings": {"load": said["load"], "recipe": recipe.to_json(), "drawn": options.drawn},
                "gap_points": {"mean": float(gaps.mean()), "largest_of_means": float(gaps.mean(axis=0).max())},
                "share_within_1_5": float((gaps <= 1.5).mean()),
                "seeds": runs,
            }
            print(name, seed, result[name]["gap_points"], flush=True)
            if not options.dry:
                write(NAME, {"data": result})


if __name__ == "__main__":
    main()
