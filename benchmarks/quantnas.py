"""Operators and bits of a super-resolution network searched together, beside a fixed network at uniform bits.

    python benchmarks/quantnas.py            # everything, goes on where it stopped
    python benchmarks/quantnas.py --part steps

Real patches (BSD100, enlarged twice). The recipe `quantnas` searches the space `quantnas` against quantization noise
with three strengths of the expected bit operations in its loss. The likeliest network within a limit of each, and the
fixed network (3x3 convolutions everywhere) at 4 and at 8 bits in every layer, are then trained alike from fresh weights
with real rounding. PSNR is that of luma on patches of images that no training saw, and on the images of Set5 in full.

`steps`: seconds of a search step with noise, with each option of bits rounded in a call of its own, and with the
roundings of all bits superposed in one call, alternated in one process.

Writes benchmarks/results/quantnas.json after every search, training and measurement.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import torch
from common import RESULTS, write

from archwright.costs.bit_policy import BitPolicy
from archwright.data import data_file
from archwright.gradient import GradientSearch
from archwright.gradient.method import Training
from archwright.gradient.mixings.outputs import Outputs
from archwright.gradient.penalties.cost import Budget, ExpectedCost
from archwright.gradient.recipes import recipe
from archwright.nets import build
from archwright.nets.recipe import Recipe
from archwright.nets.train import evaluate, train
from archwright.operators.quantized_conv import QuantizedConvNormAct
from archwright.space import Architecture, Space
from archwright.spaces.quantnas import quantnas
from archwright.tasks import load
from archwright.tasks.arrays import read_npz
from archwright.tasks.base import Task
from archwright.tasks.super_resolution import WholeImages

NAME, METRIC = "quantnas", "bit_operations_gbops"
SIZES: dict[str, Any] = {"channels": 16, "cells": 2, "depth": 3}
BODY = ("simple_1x1", "simple_3x3_grouped_2", "simple_3x3", "growth1_3x3")
PLACES = {"head": ("simple_3x3",), "body": BODY, "upsample": BODY[:3], "tail": ("simple_1x1", "simple_3x3")}
FIXED = dict.fromkeys(PLACES, ("simple_3x3",))
BITS = (4, 8)
STRENGTHS = {  # of the published grid
    "found, budget of 4 bits": 5e-3,
    "found, half the budget of 8 bits": 1e-4,
    "found, budget of 8 bits": 0.0,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("steps", "search", "train"), help="one part alone")
    parser.add_argument("--search-epochs", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="searches and networks whose name contains this")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing after this time")
    parser.add_argument("--folder", help="for checkpoints of the searches, which then go on")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    return parser.parse_args()


def the_space(task: Task) -> Space:
    return quantnas(task.input_shape, task.outputs, bits=BITS, **SIZES, **PLACES)


def uniform(task: Task, bits: int) -> Architecture:
    """The fixed network with as many bits in every layer."""
    return quantnas(task.input_shape, task.outputs, bits=(bits,), **SIZES, **FIXED).smallest()


def gbops(task: Task, architecture: Architecture) -> float:
    cost = BitPolicy(architecture.space, task.input_shape)
    return float(cost.evaluate(architecture.code[None])[METRIC][0])


# ---- search ----------------------------------------------------------------------------------------------------------


def search(task: Task, strength: float, at_most: float, epochs: int, folder: str | None) -> dict[str, Any]:
    """The likeliest network within a limit of bit operations, after a search with the published loss.

    Rates are higher than published, as there are hundreds of steps instead of ten thousands.
    """
    space = the_space(task)
    cost = BitPolicy(space, task.input_shape)
    flat = {d.path: torch.full((d.size,), 1.0 / d.size) for d in space.decisions}
    first = float(cost.expected(flat)[METRIC])
    penalties = (recipe("quantnas").penalties[0], ExpectedCost(cost, METRIC, "linear", strength, scale=first))
    method = recipe("quantnas", epochs=epochs, batch=16, penalties=penalties, keep="last")
    weights = Training("adam", 5e-3, 0.0, weight_decay=3e-8)
    alpha = Training("adam", 0.03, None, betas=(0.5, 0.999), weight_decay=0.0, clip=0.0)
    searching = GradientSearch(space, task, method.with_(weights=weights, architecture=alpha), folder=folder)
    found = searching.run(random=0)
    chances = {d.label: searching.core.probabilities(detach=True)[d.path] for d in space.decisions}
    searching.method = searching.method.with_(penalties=(Budget(cost, METRIC, at_most),))  # a limit of the selection
    code = searching.method.selection.choose(searching).code.tolist()
    options = {d.label: space.option_value(d, k) for d, k in zip(space.decisions, code, strict=True) if k >= 0}
    return {
        "strength": strength,
        "at_most_gbops": at_most,
        "code": code,
        "bits": {n[: -len("_bits")]: b for n, b in options.items() if n.endswith("_bits")},
        "first_expected_gbops": first,
        "entropy": [round(r["entropy"], 3) for r in found.history],
        "loss_of_the_mixture": [round(r["train_loss"], 4) for r in found.history],
        "chances": {label: [round(v, 3) for v in p.tolist()] for label, p in chances.items()},
        "seconds": round(sum(r["seconds"] for r in found.history), 1),
    }


# ---- training --------------------------------------------------------------------------------------------------------


def trained(task: Task, five: WholeImages, architecture: Architecture, epochs: int, seed: int) -> dict[str, Any]:
    """PSNR of a network that was trained from fresh weights with real rounding."""
    started = time.process_time()
    net = build(architecture, task.input_shape, seed=seed)
    train(net, task, Recipe("adamw", 5e-3, weight_decay=0.0, epochs=epochs, batch=16), seed=seed)
    return {
        "psnr_db": evaluate(net, task, "test")["psnr_db"],
        "set5_psnr_db": evaluate(net, task, five)["psnr_db"],
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def set5() -> WholeImages:
    found = read_npz(data_file("train/sr_set5_x2.npz"))
    names = sorted({k.rsplit("_", 1)[0] for k in found})
    return WholeImages([found[f"{n}_hr"] for n in names], [found[f"{n}_lr"] for n in names])


# ---- steps -----------------------------------------------------------------------------------------------------------


class Superposed:
    """The roundings of all bits, weighted, in place of the noise: shared weights without it, one call."""

    def __enter__(self) -> None:
        self.noise = QuantizedConvNormAct.rounded

        def rounded(module: QuantizedConvNormAct, x: torch.Tensor) -> torch.Tensor:
            if module.mixed is None:
                return self.noise(module, x)
            bits, shares = module.mixed
            return x + sum(share * module.error(x, b) for b, share in zip(bits, shares, strict=True))

        QuantizedConvNormAct.rounded = rounded  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        QuantizedConvNormAct.rounded = self.noise  # type: ignore[method-assign]


def steps(task: Task, bits: tuple[int, ...], repetitions: int) -> dict[str, Any]:
    """Median seconds of a step of weights and architecture, noise and both ways to round, alternated."""
    space = quantnas(task.input_shape, task.outputs, bits=bits, **SIZES, **PLACES)
    cost = BitPolicy(space, task.input_shape)
    penalties = (recipe("quantnas").penalties[0], ExpectedCost(cost, METRIC, "linear", 1e-3))
    one = GradientSearch(space, task, recipe("quantnas", batch=16, penalties=penalties))
    each = GradientSearch(space, task, recipe("quantnas", batch=16, penalties=penalties, mixing=Outputs()))
    batches = next(one.data.batches(0))

    def seconds(searching: GradientSearch) -> float:
        searching.core.train()
        began = time.perf_counter()
        searching.method.update.step(searching.stepper, *batches, 0)
        return time.perf_counter() - began

    found: dict[str, list[float]] = {"noise": [], "rounded_each": [], "rounded_superposed": []}
    for i in range(repetitions + 2):
        now = {"noise": seconds(one), "rounded_each": seconds(each)}
        with Superposed():
            now["rounded_superposed"] = seconds(one)
        for name, value in now.items() if i >= 2 else ():  # the first two make modules and warm up
            found[name].append(value)
    median = {name: float(np.median(v)) for name, v in found.items()}
    return {
        "bits": list(bits),
        "repetitions": repetitions,
        **{f"{name}_s": round(v, 4) for name, v in median.items()},
        **{
            f"{n}_over_noise": round(float(np.median(np.divide(found[n], found["noise"]))), 3)
            for n in found
            if n != "noise"
        },
    }


# ---- all -------------------------------------------------------------------------------------------------------------


def summary(figures: dict[str, Any]) -> dict[str, Any]:
    """Means over seeds, and how the found networks stand to the uniform ones."""
    nets = figures["networks"]
    for kind in ("each", "superposed") if "steps" in figures else ():
        figures[f"step_{kind}_over_noise"] = figures["steps"]["2 bits"][f"rounded_{kind}_over_noise"]
    for row in nets.values():
        for metric in ("psnr_db", "set5_psnr_db"):
            row[f"mean_{metric}"] = round(float(np.mean([r[metric] for r in row["runs"]])), 3) if row["runs"] else None
    for name, bits in zip(STRENGTHS, (4, 8, 8), strict=True):
        found, fixed = nets.get(name), nets[f"uniform {bits} bits"]
        if found is not None and found["runs"] and fixed["runs"]:
            figures[name] = {
                "gbops_over_uniform": round(found["gbops"] / fixed["gbops"], 3),
                **{m: round(found[f"mean_{m}"] - fixed[f"mean_{m}"], 3) for m in ("psnr_db", "set5_psnr_db")},
            }
    return figures


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    began, task = time.monotonic(), load("bsd100_patches", patch=20)
    settings = {"search_epochs": options.search_epochs, "epochs": options.epochs, **SIZES, **PLACES}
    path = RESULTS / f"{NAME}.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    figures = known if known.get("settings") == json.loads(json.dumps(settings)) else {"settings": settings}
    figures["bicubic"] = {"psnr_db": task.bicubic()["psnr_db"], "set5_psnr_db": task.bicubic(set5())["psnr_db"]}

    def late() -> bool:
        return time.monotonic() - began > options.seconds

    def keep() -> None:
        if not options.dry:
            write(NAME, summary(figures) if "networks" in figures else figures)

    if options.part in (None, "steps") and "steps" not in figures:
        figures["steps"] = {f"{len(bits)} bits": steps(task, bits, 12) for bits in ((4, 8), (2, 4, 8))}
        keep()
    plain = {f"uniform {b} bits": uniform(task, b) for b in BITS}
    four, eight = (gbops(task, a) for a in plain.values())
    budgets = dict(zip(STRENGTHS, (four, 0.5 * eight, eight), strict=True))
    found: dict[str, Any] = figures.setdefault("searches", {})
    for name, at_most in budgets.items() if options.part in (None, "search") else ():
        if name not in found and options.only in name and not late():
            folder = options.folder and f"{options.folder}/{STRENGTHS[name]}"
            found[name] = search(task, STRENGTHS[name], at_most, options.search_epochs, folder)
            keep()
    space, five = the_space(task), set5()
    nets = plain | {name: space.architectures(np.array([row["code"]]))[0] for name, row in found.items()}
    rows = figures.setdefault("networks", {})
    for name, architecture in nets.items():
        rows.setdefault(name, {"gbops": gbops(task, architecture), "runs": []})
    for seed in range(options.seeds if options.part in (None, "train") else 0):
        for name, architecture in nets.items():
            if len(rows[name]["runs"]) == seed and options.only in name and not late():
                rows[name]["runs"].append(trained(task, five, architecture, options.epochs, seed))
                print(seed, name, rows[name]["runs"][-1], flush=True)
                keep()
    print(json.dumps({k: v for k, v in summary(figures).items() if k != "searches"}, indent=1))


if __name__ == "__main__":
    main()
