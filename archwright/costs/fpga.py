"""One-dimensional systolic array on an FPGA: latency, DSP blocks and memory of Systolic-CNN builds.

A chain of `pe` elements, one filter each; an element holds `reuse` inner products of `vec` lanes, one output column
each (Dua, Li and Ren, Systolic-CNN, arXiv 2012.03177; parameters of the public build: 16, 16, 3). Reading, computing
and writing are kernels of their own, joined by channels, so a layer takes the longer of computing and moving data.
Every group of `pe` filters reads the input maps again from DDR, a few columns at a time; `efficiency` is the share of
the bandwidth that these short bursts get. It is calibrated on one network per board and checked on the others. Weights
and outputs are long bursts at the full bandwidth.

Known error: the clock, and the build on Stratix 10, are not published. The latency published for AlexNet there is less
than the public build's steps take at any clock below 500 MHz (`benchmarks/fpga_networks.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from archwright.costs.arrays import Array, ceil_div, maximum
from archwright.costs.dataflow import Conv
from archwright.errors import ConfigurationError


class Build(NamedTuple):
    """Parameters of a build; fields may be arrays over designs, `weight_b` (bytes of a weight) also over layers."""

    pe: Array
    vec: Array
    reuse: Array
    frequency_hz: Array
    ddr_b_per_s: Array
    word_b: Array = 4.0
    efficiency: Array = 1.0
    weight_b: Array = 4.0


class Board(NamedTuple):
    """What an FPGA offers: blocks for multiply-accumulates, block memory, bandwidth."""

    dsp_blocks: float
    memory_b: float
    ddr_b_per_s: float


class Latency(NamedTuple):
    """Seconds per layer: the longer of its two parts, which overlap."""

    total_s: Array
    compute_s: Array
    memory_s: Array


def latency(layer: Conv, build: Build) -> Latency:
    """Seconds of each layer. A fully connected layer is a 1 x 1 convolution at one position."""
    b = build
    columns = ceil_div(layer.out_w, b.reuse)
    groups = ceil_div(layer.filters, b.pe)
    steps = groups * layer.out_h * columns * layer.kernel_h * layer.kernel_w * ceil_div(layer.channels, b.vec)
    compute = layer.batch * layer.groups * steps / b.frequency_hz
    moved = layer.maps * groups * b.word_b / b.efficiency + layer.weights * b.weight_b + layer.outputs * b.word_b
    memory = moved / b.ddr_b_per_s
    return Latency(maximum(compute, memory), compute, memory)


def dsp_blocks(build: Build, fixed: float = 0.0) -> Array:
    """DSP blocks: one a multiply-accumulate of up to 27 x 18 bits or of fp32 on boards with hardened floating point."""
    return build.pe * build.vec * build.reuse + fixed


def memory_b(build: Build, deepest_window: Array) -> Array:
    """Bytes of block memory: double-buffered weights of every element and the line of inputs of the chain."""
    weights = 2 * build.pe * deepest_window
    lines = 2 * (build.reuse + 2) * deepest_window
    return (weights + lines) * build.word_b


def calibrate(layers: Conv, build: Build, measured_s: float) -> Build:
    """The build with the efficiency (at most 1) that meets one measured latency.

    Raises:
        ConfigurationError: if no efficiency does: the measurement is below the latency at full bandwidth.
    """

    def seconds(efficiency: float) -> float:
        return float(np.sum(latency(layers, build._replace(efficiency=efficiency)).total_s))

    if not measured_s >= (least := seconds(1.0)):
        raise ConfigurationError(f"at full bandwidth the layers take {least:g} s; got {measured_s:g} s as measured")
    low, high = 1e-6, 1.0
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if seconds(middle) > measured_s else (low, middle)
    return build._replace(efficiency=high)


def best_build(
    layers: Conv,
    board: Board,
    frequency_hz: float,
    *,
    pe: Iterable[int] = (4, 8, 16, 32, 64),
    vec: Iterable[int] = (4, 8, 16, 32),
    reuse: Iterable[int] = range(1, 9),
    word_b: float = 4.0,
    efficiency: float = 1.0,
) -> tuple[Build, float]:
    """The quickest build within the board's DSP blocks and memory, and its latency in seconds.

    Raises:
        ConfigurationError: if no combination fits.
    """
    grid = np.stack(np.meshgrid(list(pe), list(vec), list(reuse), indexing="ij"), -1).reshape(-1, 3).astype(float)
    rest = frequency_hz, board.ddr_b_per_s, word_b, efficiency, word_b
    builds = Build(grid[:, :1], grid[:, 1:2], grid[:, 2:], *rest)
    deepest = float(np.max(layers.kernel_h * layers.kernel_w * layers.channels))
    fits = (dsp_blocks(builds) <= board.dsp_blocks) & (memory_b(builds, deepest) <= board.memory_b)
    if not fits.any():
        raise ConfigurationError(
            f"no build fits {board.dsp_blocks:g} DSP blocks and {board.memory_b:g} bytes; allow smaller pe, vec, reuse"
        )
    total = np.where(fits[:, 0], latency(layers, builds).total_s.sum(axis=1), np.inf)
    at = int(np.argmin(total))
    return Build(float(grid[at, 0]), float(grid[at, 1]), float(grid[at, 2]), *rest), float(total[at])


def roof_s(layer: Conv, build: Build) -> Array:
    """Lower bound: full overlap of compute and memory, every element moved once."""
    b = build
    compute = layer.macs / (b.pe * b.vec * b.reuse * b.frequency_hz)
    moved = (layer.maps + layer.outputs) * b.word_b + layer.weights * b.weight_b
    return maximum(compute, moved / b.ddr_b_per_s)
