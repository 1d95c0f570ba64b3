"""HW-GPT-Bench: sub-networks of three GPT-2 supernets with perplexity, latency and energy on GPUs and CPUs.

Sukthanker et al., "HW-GPT-Bench: Hardware-Aware Architecture Benchmark for Language Models" (2024), section 3:
embedding width, number of layers, bias, and per layer the heads and the MLP ratio. The table samples about 10,000
members of each scale; batch sizes differ between the scales, so values compare within a scale only. Perplexity is known
for 10,000 / 5,245 / 429 of them, from the supernet on OpenWebText.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from archwright.benchmarks.columns import open_columns
from archwright.benchmarks.decode import cached_codes, codes_of
from archwright.benchmarks.table import Measured, TableBenchmark
from archwright.registry import register
from archwright.space import Space, oneof, repeat

GPUS = ("P100", "a100", "a40", "a6000", "rtx2080", "v100")
CPUS = ("cpu_a6000", "cpu_alldlc", "cpu_mlgpu", "cpu_p100")


@dataclass(frozen=True)
class GptLayer:
    """Attention heads and the width of the MLP as a multiple of the embedding."""

    heads: int
    mlp_ratio: int


@dataclass(frozen=True)
class Gpt:
    """A GPT-2 sub-network."""

    embed_dim: int
    bias: int
    layers: tuple[GptLayer, ...]


@dataclass(frozen=True)
class Scale:
    """Options of one supernet."""

    embed_dims: tuple[int, ...]
    depths: tuple[int, ...]
    heads: tuple[int, ...]


SCALES = {
    "s": Scale((192, 384, 768), (10, 11, 12), (4, 8, 12)),
    "m": Scale((192, 256, 384, 512, 768, 1024), (10, 11, 12, 22, 23, 24), (4, 8, 12, 16)),
    "l": Scale((320, 640, 1280), (34, 35, 36), (8, 16, 20)),
}


def make_space(scale: str) -> Space:
    """Sub-networks of one supernet, of every depth that the table has."""
    options = SCALES[scale]
    layer = GptLayer(oneof(*options.heads), oneof(2, 3, 4))
    depth = oneof(*options.depths, name="n_layer")
    return Space(
        Gpt(oneof(*options.embed_dims, name="embed_dim"), oneof(0, 1, name="bias"), repeat(layer, times=depth))
    )


def _listed(scale: str) -> np.ndarray:
    return cached_codes(_file(scale), lambda: _decoded(scale))


def _decoded(scale: str) -> np.ndarray:
    table = open_columns(_file(scale))

    def field(decision: object) -> np.ndarray:
        label = decision.label  # type: ignore[attr-defined]
        if label in ("embed_dim", "bias", "n_layer"):
            return np.asarray(table[label])
        place, name = label.removeprefix("layers#").split(".")
        return np.asarray(table["n_head" if name == "heads" else name][:, int(place)])

    return codes_of(make_space(scale), len(table["bias"]), field)


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
        make_space=lambda: make_space(scale),
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
