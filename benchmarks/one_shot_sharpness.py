"""Sharpness of supernets with and without self-distillation: the largest Hessian eigenvalue after a DARTS search.

    python benchmarks/one_shot_sharpness.py

`darts` and `sd-darts` search the same space with the same data, seeds and steps (NAS-Bench-201 in a small stack, real
CIFAR-10 images); then the plain loss on the architecture's part of the data, batch statistics as in training, is
differentiated twice. Two Hessians: of the architecture parameters (30 of them; the one of Zela et al., 2020,
and of Zhu et al., 2023) and of the shared weights. `lower` says for how many seeds the eigenvalue is lower
with distillation. Writes benchmarks/results/one_shot_sharpness.json.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from common import write

from archwright.gradient import GradientSearch
from archwright.gradient.recipes import recipe
from archwright.gradient.selections.argmax import Argmax
from archwright.gradient.sharpness import sharpness
from archwright.spaces.nasbench201 import nasbench201, to_string
from archwright.tasks import load

NAMES = ("darts", "sd-darts")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--images", type=int, default=4000, help="training images of both parts together")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--measured", type=int, default=128, help="images of the Hessian")
    parser.add_argument("--steps", type=int, default=12, help="Lanczos steps")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    return parser.parse_args()


def one(name: str, options: argparse.Namespace, seed: int, task: Any) -> dict[str, Any]:
    """One search and its eigenvalues."""
    c = options.channels
    space = nasbench201(task.input_shape, task.outputs, channels=(c, 2 * c, 4 * c), cells=1)
    method = recipe(name, epochs=options.epochs, batch=options.batch, selection=Argmax())
    method = method.with_(architecture=replace(method.architecture, lr=10 * method.architecture.lr))
    began = time.process_time()
    search = GradientSearch(space, task, method, seed=seed)
    result = search.run(random=0)
    trained = time.process_time()
    return {
        "method": name,
        "seed": seed,
        "architecture": sharpness(search, images=options.measured, steps=options.steps),
        "weights": sharpness(search, search.core.weight_parameters(), images=options.measured, steps=options.steps),
        "architecture_found": to_string(result.last.code),
        "search_cpu_seconds": trained - began,
        "hessian_cpu_seconds": time.process_time() - trained,
    }


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    task = load("cifar10_20k", pixels=16, images=options.images)
    rows: list[dict[str, Any]] = []
    for seed in range(options.seeds):
        for name in NAMES:
            rows.append(one(name, options, seed, task))
            print(json.dumps(rows[-1]), flush=True)
        figures: dict[str, Any] = {"settings": {k: v for k, v in vars(options).items() if k != "dry"}}
        for what in ("architecture", "weights"):
            plain, distilled = ([r[what] for r in rows if r["method"] == n] for n in NAMES)
            figures[f"largest_eigenvalue_of_{what}"] = {
                "darts": plain,
                "sd-darts": distilled,
                "ratio": float(np.mean(distilled) / np.mean(plain)),
                "seeds_lower": sum(b < a for a, b in zip(plain, distilled, strict=True)),
            }
        figures["target"] = f"lower for {options.seeds} of {options.seeds} seeds"
        if not options.dry:
            write("one_shot_sharpness", {**figures, "searches": rows})
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
