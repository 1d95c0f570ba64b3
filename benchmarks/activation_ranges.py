"""Do ranges of activations say which encoder loses less in INT8? Convolutions and a vision transformer on the digits.

    python benchmarks/activation_ranges.py [--epochs 30] [--seeds 3] [--no-write]

Both are trained alike; the statistic (mean predicted error of the layers, from peak over root mean square) stands
beside the measured error of the outputs with every layer's output at 8, 6 and 4 bits, scales fixed on training images.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from common import finish
from scipy.stats import spearmanr

from archwright import tasks
from archwright.analysis.activation_range import activation_ranges, quantization_error, range_statistic_db
from archwright.nets.build import build
from archwright.nets.recipe import Recipe
from archwright.nets.train import train
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.mbconv import MBConv
from archwright.operators.sequential import Sequential
from archwright.spaces.autoformer import autoformer
from archwright.tasks.base import Task

BITS = (8, 6, 4)


def networks(task: Task) -> dict[str, Any]:
    """Encoders of a few ten thousand parameters with a classifier."""
    blocks = (MBConv(24, expand=3), MBConv(32, stride=2, expand=3), MBConv(32, expand=3))
    vit = autoformer(
        task.input_shape, task.outputs, widths=(48,), depths=(4,), heads=(3,), ratios=(2.0,), patch=2, head_dim=16
    )
    return {"convolutions": Sequential((Conv(24), *blocks, Classifier(task.outputs))), "transformer": vit.largest()}


def measure(description: Any, task: Task, epochs: int, seed: int) -> dict[str, float]:
    """Train one network; its statistic, its errors and its accuracy."""
    torch.manual_seed(seed)
    net = build(description, task.input_shape)
    train(net, task, Recipe(epochs=epochs), seed=seed)
    calibration: Any = next(iter(task.train.batches(256)))[0]
    x: Any
    x, y = next(iter(task.valid.batches(300)))
    ranges = activation_ranges(net, calibration)
    with torch.no_grad():
        accuracy = 100 * float((net.eval()(x).argmax(1) == y).float().mean())
    errors = {f"error_{b}_bits_db": float(10 * np.log10(quantization_error(net, calibration, x, b))) for b in BITS}
    return {
        "statistic_db": range_statistic_db(ranges),
        "largest_crest": max(r.crest for r in ranges),
        "accuracy_percent": accuracy,
        **errors,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-write", action="store_true")
    a = parser.parse_args()
    task = tasks.load("digits")
    runs = [
        {"network": name, "seed": seed, **measure(description, task, a.epochs, seed)}
        for seed in range(a.seeds)
        for name, description in networks(task).items()
    ]
    mean = {
        name: {
            k: float(np.mean([r[k] for r in runs if r["network"] == name]))
            for k in runs[0]
            if k not in ("network", "seed")
        }
        for name in networks(task)
    }
    rank = spearmanr([r["statistic_db"] for r in runs], [r["error_8_bits_db"] for r in runs])[0]
    difference = mean["convolutions"]["error_8_bits_db"] - mean["transformer"]["error_8_bits_db"]
    content = {
        "epochs": a.epochs, "runs": runs, "mean": mean, "rank_correlation_of_statistic_and_error": float(rank),
        "convolutions_less_transformer_db": difference,
    }  # fmt: skip
    finish("activation_ranges", content, write=not a.no_write)


if __name__ == "__main__":
    main()
