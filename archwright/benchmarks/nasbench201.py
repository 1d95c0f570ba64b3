"""NAS-Bench-201 as tables: 15,625 cells on CIFAR-10, CIFAR-100 and ImageNet16-120.

Dong & Yang, "NAS-Bench-201" (2020) and NATS-Bench (2021). A query returns the test accuracy of one 200-epoch training;
comparisons are scored on the mean over seeds. Fidelity 0.06 is the 12-epoch schedule, a training of its own and not a
prefix of the long one. Latencies of 19 device and batch pairs: HELP (Lee et al., 2021); Raspberry Pi 5 latency and
energy: NAS-Bench-360 on hardware.

The simulated time of a query scales the recorded cost of the 12-epoch CIFAR-10 training to 200 epochs; for
ImageNet16-120 further by its number of images and of multiply-accumulates. That is an estimate, good for the order of
events and not for wall-clock claims.
"""

from __future__ import annotations

import numpy as np

from archwright.benchmarks.columns import open_columns
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.registry import register
from archwright.space import Space
from archwright.spaces.nasbench201 import nasbench201

ACCURACY = "nasbench/nb201_accuracy.npz"
HELP = "nasbench/nasbench201_latency_help.npz"
HW360 = "nasbench/nb201_hw360.npz"
SCORES = "nasbench/nb201_zcp_full.npz"
DEVICES = (
    *(f"{d}_{b}" for d in ("1080ti", "2080ti", "titanx", "titanxp") for b in (1, 32, 256)),
    "essential_ph_1", "eyeriss", "gold_6240", "pixel3", "samsung_s7", "silver_4114", "silver_4210r",
)  # fmt: skip
SHORT = 12 / 200
IMAGENET_IMAGES = 151_700 / 50_000  # of ImageNet16-120 to CIFAR


def listed() -> np.ndarray:
    """(15625, 6) codes in the official order."""
    return open_columns(ACCURACY)["ops"]


def devices() -> dict[str, Measured]:
    """Latency and energy of every device; one network has one latency whatever it was trained on."""
    found = {f"{device}_latency_ms": Measured(HELP, f"lat_{device}") for device in DEVICES}
    for runtime in ("litert", "onnx", "torchmobile"):
        found[f"pi5_{runtime}_latency_ms"] = Measured(HW360, f"pi5_{runtime}_cifar100_lat_ms")
        found[f"pi5_{runtime}_energy_mj"] = Measured(HW360, f"pi5_{runtime}_cifar100_energy_mj")
    return found


def _benchmark(name: str, key: str, shape: tuple[int, int, int], classes: int, seconds: float) -> TableBenchmark:
    observed = {
        "accuracy_percent": Measured(ACCURACY, f"{key}_test_e200_trial"),
        "params_m": Measured(ACCURACY, f"{key}_params", 1e-6),
        "macs_m": Measured(ACCURACY, f"{key}_flops_macs", 1e-6),
        **devices(),
    }
    short = {} if key == "in16" else {SHORT: {"accuracy_percent": Measured(ACCURACY, f"{key}_test_e12")}}
    if key == "c10":
        observed["valid_accuracy_percent"] = Measured(ACCURACY, "c10_val_e200_mean")
        observed["ninapro_accuracy_percent"] = Measured(ACCURACY, "nb360_ninapro_score")
    if short:
        short[SHORT]["valid_accuracy_percent"] = Measured(ACCURACY, f"{key}_val_e12")
        observed.setdefault("valid_accuracy_percent", Measured(ACCURACY, f"{key}_val_e200_naslib_subset"))
    scores = ("log10_synflow", "logsynflow", "naswot", *(() if key == "in16" else ("nregions",)))

    def make_space() -> Space:
        return nasbench201(shape, classes)

    return TableBenchmark(
        name=name,
        make_space=make_space,
        listed=listed,
        observed=observed,
        goal="accuracy_percent",
        truth={"accuracy_percent": Measured(ACCURACY, f"{key}_test_e200_mean")},
        fidelities=short,
        seconds={1.0: Measured(ACCURACY, "c10_cost_e12_s", seconds / SHORT)}
        | {f: Measured(ACCURACY, "c10_cost_e12_s", seconds) for f in short},
        features={f"{s}_score": Measured(SCORES, f"{key}_{s}") for s in scores},
        note=__doc__ or "",
    )


@register("benchmarks", "nasbench201-cifar10", labels={"members": 15625, "listed": "all", "data": "images"})
def nasbench201_cifar10() -> TableBenchmark:
    """NAS-Bench-201 cells on CIFAR-10."""
    return _benchmark("nasbench201-cifar10", "c10", (3, 32, 32), 10, 1.0)


@register("benchmarks", "nasbench201-cifar100", labels={"members": 15625, "listed": "all", "data": "images"})
def nasbench201_cifar100() -> TableBenchmark:
    """NAS-Bench-201 cells on CIFAR-100."""
    return _benchmark("nasbench201-cifar100", "c100", (3, 32, 32), 100, 1.0)


@register("benchmarks", "nasbench201-imagenet16", labels={"members": 15625, "listed": "all", "data": "images"})
def nasbench201_imagenet16() -> TableBenchmark:
    """NAS-Bench-201 cells on ImageNet16-120."""
    return _benchmark("nasbench201-imagenet16", "in16", (3, 16, 16), 120, IMAGENET_IMAGES / 4)
