"""HW-GPT-Bench: sub-networks of three GPT-2 supernets with perplexity, latency and energy on GPUs and CPUs.

Sukthanker et al., "HW-GPT-Bench: Hardware-Aware Architecture Benchmark for Language Models" (2024), section 3, whose
space is `hwgpt`: embedding width, number of layers, bias, and per layer the heads and the MLP ratio. The table samples
about 10,000 members of each scale; batch sizes differ between the scales, so values compare within a scale only.
Perplexity is known for 10,000 / 5,245 / 429 of them, from the supernet on OpenWebText.
"""

from __future__ import annotations

import numpy as np

from archwright.benchmarks.columns import open_columns
from archwright.benchmarks.decode import codes_of, derived
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.registry import register
from archwright.space.compile import Decision
from archwright.spaces.hwgpt import hwgpt

GPUS = ("P100", "a100", "a40", "a6000", "rtx2080", "v100")
CPUS = ("cpu_a6000", "cpu_alldlc", "cpu_mlgpu", "cpu_p100")


def _listed(scale: str) -> np.ndarray:
    return derived(_file(scale), "networks", lambda: {"codes": _decoded(scale)})["codes"]


def _decoded(scale: str) -> np.ndarray:
    table = open_columns(_file(scale))

    def field(decision: Decision) -> np.ndarray:
        if decision.label in ("embed_dim", "bias", "n_layer"):
            return np.asarray(table[decision.label])
        layer, name = decision.label.removeprefix("parts.1#").split(".", 1)
        return np.asarray(table["n_head" if name == "attention.heads" else "mlp_ratio"][:, int(layer)])

    return codes_of(hwgpt(scale=scale), len(table["bias"]), field)


def _file(scale: str) -> str:
    return f"nasbench/hwgpt_{scale}.npz"


def _benchmark(scale: str) -> TableBenchmark:
    file = _file(scale)
    observed = {
        "test_perplexity": Measured(file, "perplexity"),
        "token_accuracy_percent": Measured(file, "token_acc", 100.0),
        "params_m": Measured(file, "params", 1e-6),
        "macs_m": Measured(file, "macs", 1e-6),
    }
    for device in (*GPUS, *CPUS):
        observed[f"{device.lower()}_latency_ms"] = Measured(file, f"lat_ms_med_{device}")
    for device in GPUS:
        observed[f"{device.lower()}_energy_wh"] = Measured(file, f"energy_wh_med_{device}")
    return TableBenchmark(
        name=f"hwgpt-{scale}",
        make_space=lambda: hwgpt(scale=scale),
        listed=lambda: _listed(scale),
        observed=observed,
        goal="test_perplexity",
        maximize=False,
        note=__doc__ or "",
    )


@register("benchmarks", "hwgpt-s", labels={"listed": 10000, "data": "language"})
def hwgpt_s() -> TableBenchmark:
    """GPT-2 small sub-networks."""
    return _benchmark("s")


@register("benchmarks", "hwgpt-m", labels={"listed": 10017, "data": "language"})
def hwgpt_m() -> TableBenchmark:
    """GPT-2 medium sub-networks."""
    return _benchmark("m")


@register("benchmarks", "hwgpt-l", labels={"listed": 10000, "data": "language"})
def hwgpt_l() -> TableBenchmark:
    """GPT-2 large sub-networks."""
    return _benchmark("l")
