"""Systolic-CNN's published latencies: calibrated on each network in turn, the errors on all others.

    python benchmarks/fpga_networks.py [--clocks_mhz 200 225 250 275 300] [--no-write]

Latencies in milliseconds on Arria 10 and Stratix 10: Dua, Li and Ren, arXiv 2012.03177, abstract. The builds' clock is
not published, so the errors are given for other clocks too; nothing but one efficiency per board is fitted. Light-
weight RetinaNet has the heads of its public code, which may not be those that were measured: the published ratio of
its latency to RetinaNet's is 0.56, the ratio of their multiply-accumulates is 0.61.
"""

from __future__ import annotations

import argparse
from itertools import product
from typing import Any

import numpy as np
from common import finish
from networks import systolic_cnn

from archwright.costs import fpga
from archwright.costs.fpga_cost import build_of
from archwright.errors import ConfigurationError
from archwright.platforms import load

PUBLISHED_MS = {
    "AlexNet": (7, 2), "ResNet-50": (84, 33), "ResNet-152": (202, 73), "RetinaNet": (1615, 873),
    "Light-weight RetinaNet": (900, 498),
}  # fmt: skip
BOARDS = ("arria10", "stratix10")


def predicted(build: fpga.Build) -> dict[str, float]:
    """Milliseconds of every network."""
    return {
        name: 1e3 * float(fpga.latency(layers, build._replace(weight_b=weight_b)).total_s.sum())
        for name, (layers, weight_b) in systolic_cnn().items()
    }


def left_out(board: str, clock_hz: float | None = None) -> dict[str, Any]:
    """Calibrated on -> efficiency and relative error on every other network, or why it cannot be calibrated."""
    at = BOARDS.index(board)
    build = build_of(load(board))
    if clock_hz is not None:
        build = build._replace(frequency_hz=clock_hz)
    found: dict[str, Any] = {}
    for name, (layers, weight_b) in systolic_cnn().items():
        try:
            known = fpga.calibrate(layers, build._replace(weight_b=weight_b), PUBLISHED_MS[name][at] / 1e3)
        except ConfigurationError as error:
            found[name] = {"reason": str(error)}
            continue
        errors = {n: ms / PUBLISHED_MS[n][at] - 1 for n, ms in predicted(known).items() if n != name}
        found[name] = {
            "efficiency": float(known.efficiency), "median": float(np.median(np.abs(list(errors.values())))),
            "error": errors,
        }  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clocks_mhz", type=float, nargs="+", default=[200, 225, 250, 275, 300])
    parser.add_argument("--no-write", action="store_true")
    a = parser.parse_args()
    errors = {b: left_out(b) for b in BOARDS}
    named = [abs(errors[b]["ResNet-50"]["error"][n]) for b, n in product(BOARDS, PUBLISHED_MS) if n != "ResNet-50"]
    layers, weight_b = systolic_cnn()["AlexNet"]
    one_step = build_of(load("stratix10"))._replace(weight_b=weight_b, frequency_hz=1.0)
    figures = {
        "published_ms": PUBLISHED_MS,
        "predicted_ms": {b: predicted(build_of(load(b))) for b in BOARDS},
        "calibrated_on_resnet50": {
            "held_out": len(named), "median_error": float(np.median(named)),
            "within_20_percent": sum(e <= 0.20 for e in named), "within_25_percent": sum(e <= 0.25 for e in named),
        },
        "leave_one_out": errors,
        "calibrated_on_resnet50_at_other_clocks": {
            f"{mhz:g} MHz": {b: left_out(b, 1e6 * mhz)["ResNet-50"] for b in BOARDS} for mhz in a.clocks_mhz
        },
        "alexnet_convolutions_steps": float(fpga.latency(layers, one_step).compute_s[weight_b == 4].sum()),
    }  # fmt: skip
    finish("fpga_networks", figures, write=not a.no_write)


if __name__ == "__main__":
    main()
