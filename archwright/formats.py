"""Number formats with shared scales: exact value grids, quantization, effective bits, signal-to-noise ratio.

MX formats share a power-of-two scale (E8M0) over 32 elements (OCP Microscaling Formats 1.0, sections 5 and 6); NV
formats share an E4M3 scale over 16 elements under one tensor scale in float32. Integers use the symmetric grid without
the most negative code (Chen et al., INT vs FP, arXiv 2510.25602); `symmetric=False` keeps that code and chooses scales
as OCP does, which biases what is near the ends. Scales are chosen from the largest magnitude of a block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

import numpy as np

from archwright.errors import ConfigurationError, nearest


@dataclass(frozen=True)
class Format:
    """An element type and its shared scale.

    bits: of an element. exponent, mantissa: bits of a floating-point element, exponent 0 = integer.
    block: elements that share a scale, 0 = one scale per tensor, -1 = one per index of the first axis. scale: "e8m0",
    "e4m3" or "f32". symmetric: integers are clipped to [-(2^(bits-1) - 1), 2^(bits-1) - 1].
    """

    name: str
    bits: int
    exponent: int
    mantissa: int
    block: int
    scale: Literal["e8m0", "e4m3", "f32"]
    symmetric: bool = True

    @property
    def effective_bits(self) -> float:
        """Bits of an element with its share of the block's scale."""
        shared = {"e8m0": 8, "e4m3": 8, "f32": 32}[self.scale]
        return self.bits + (shared / self.block if self.block > 0 else 0.0)

    @property
    def code_points(self) -> np.ndarray:
        """Value of every code 0 .. 2^bits - 1, float64; NaN where the code is not used for a number.

        Integers are in two's complement, floating-point elements are sign, exponent, mantissa.
        """
        return _code_points(self.bits, self.exponent, self.mantissa, self.symmetric)

    @property
    def grid(self) -> np.ndarray:
        """Every value of the element type, sorted, float64; +0 and -0 once, no infinities or NaN."""
        return _grid(self.bits, self.exponent, self.mantissa, self.symmetric)

    @property
    def largest(self) -> float:
        """Largest value of the element type."""
        return float(self.grid[-1])

    @property
    def top_exponent(self) -> int:
        """Exponent of the largest power of two in the grid."""
        return int(np.floor(np.log2(self.largest)))


@lru_cache(maxsize=64)
def _code_points(bits: int, exponent: int, mantissa: int, symmetric: bool) -> np.ndarray:
    half = 2 ** (bits - 1)
    if exponent == 0:
        values = np.concatenate([np.arange(half), np.arange(-half, 0)]).astype(np.float64)
        if symmetric:
            values[half] = np.nan
    else:
        values = _float_codes(exponent, mantissa)
        values = np.concatenate([values, -values])
    values.setflags(write=False)
    return values


@lru_cache(maxsize=64)
def _grid(bits: int, exponent: int, mantissa: int, symmetric: bool) -> np.ndarray:
    codes = _code_points(bits, exponent, mantissa, symmetric)
    values = np.unique(codes[np.isfinite(codes)])
    values.setflags(write=False)
    return values


def _float_codes(exponent: int, mantissa: int) -> np.ndarray:
    """Values of the codes without sign: subnormals, normals; NaN for what OCP gives to infinity and NaN."""
    bias = 2 ** (exponent - 1) - 1
    e, m = np.meshgrid(np.arange(2**exponent), np.arange(2**mantissa), indexing="ij")
    fraction = m / 2**mantissa
    values = np.where(e == 0, fraction * 2.0 ** (1 - bias), (1 + fraction) * 2.0 ** (e - bias)).reshape(-1)
    if (exponent, mantissa) == (5, 2):  # E5M2 keeps the last exponent for infinity and NaN
        values[-4:] = np.nan
    elif (exponent, mantissa) == (4, 3):  # E4M3 gives up one code for NaN
        values[-1] = np.nan
    return values


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        f.name: f
        for f in (
            Format("int8", 8, 0, 7, 0, "f32"),
            Format("int6", 6, 0, 5, 0, "f32"),
            Format("int4", 4, 0, 3, 0, "f32"),
            Format("fp8_e4m3", 8, 4, 3, 0, "f32"),
            Format("mxint8", 8, 0, 7, 32, "e8m0"),
            Format("mxint6", 6, 0, 5, 32, "e8m0"),
            Format("mxint4", 4, 0, 3, 32, "e8m0"),
            Format("mxfp8", 8, 4, 3, 32, "e8m0"),
            Format("mxfp6", 6, 2, 3, 32, "e8m0"),
            Format("mxfp4", 4, 2, 1, 32, "e8m0"),
            Format("nvfp4", 4, 2, 1, 16, "e4m3"),
            Format("nvint4", 4, 0, 3, 16, "e4m3"),
        )
    }
)


def number_format(name: str) -> Format:
    """A format by name.

    Raises:
        ConfigurationError: if it is not known.
    """
    if name not in FORMATS:
        raise ConfigurationError(f"unknown number format {name!r}; {nearest(name, FORMATS)}")
    return FORMATS[name]


def nearest_values(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Each value on the grid, ties to the even code, values beyond the ends clipped."""
    clipped = np.clip(values, grid[0], grid[-1])
    above = np.clip(np.searchsorted(grid, clipped), 1, len(grid) - 1)
    low, high = grid[above - 1], grid[above]
    below = clipped - low
    rest = high - clipped
    zero = len(grid) // 2  # where zero is, so a code's parity is its distance from there
    even = np.abs(above - zero) % 2 == 0
    return np.where((rest < below) | ((rest == below) & even), high, low)


def block_scales(blocks: np.ndarray, fmt: Format) -> np.ndarray:
    """Scale of each row (n, block) -> (n, 1), as the format can store it.

    Power-of-two scales are the smallest that keep the largest magnitude on a symmetric integer grid; otherwise those of
    OCP (largest exponents meet; the top may clip).
    """
    peak = np.abs(blocks).max(axis=1, keepdims=True)
    safe = np.where(peak > 0, peak, 1.0)
    if fmt.scale == "f32":
        return safe / fmt.largest
    if fmt.scale == "e8m0":
        if fmt.exponent == 0 and fmt.symmetric:
            power = np.ceil(np.log2(safe / fmt.largest))
        else:
            power = np.floor(np.log2(safe)) - fmt.top_exponent
        return np.asarray(2.0 ** np.clip(power, -127, 127))
    scales = _grid(8, 4, 3, True)
    tensor = safe.max() / fmt.largest / scales[-1]
    stored = nearest_values(safe / fmt.largest / tensor, scales)
    return np.maximum(stored, scales[scales > 0].min()) * tensor


def in_blocks(values: np.ndarray, fmt: Format) -> np.ndarray:
    """Values as rows that share a scale, (n, block) float64; blocks run along the last axis, its end is padded with 0.

    Raises:
        ConfigurationError: if a value is not finite.
    """
    x = np.asarray(values, dtype=np.float64)
    if not np.isfinite(x).all():
        raise ConfigurationError("quantization needs finite values; remove NaN and infinity first")
    if fmt.block <= 0:
        return x.reshape(x.shape[0] if fmt.block else 1, -1)
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % fmt.block)])
    return padded.reshape(-1, fmt.block)


def out_of_blocks(blocks: np.ndarray, shape: tuple[int, ...], fmt: Format) -> np.ndarray:
    """The inverse of `in_blocks`."""
    if fmt.block <= 0:
        return blocks.reshape(shape)
    return blocks.reshape(*shape[:-1], -1)[..., : shape[-1]]


def quantize(values: np.ndarray, fmt: Format) -> np.ndarray:
    """Values as the format represents them.

    Raises:
        ConfigurationError: if a value is not finite.
    """
    blocks = in_blocks(values, fmt)
    scale = block_scales(blocks, fmt)
    return out_of_blocks(nearest_values(blocks / scale, fmt.grid) * scale, np.shape(values), fmt)


def qsnr_db(values: np.ndarray, fmt: Format) -> float:
    """Signal-to-quantization-noise ratio: -10 log10(|x - q|^2 / |x|^2)."""
    x = np.asarray(values, dtype=np.float64)
    noise = float(np.square(x - quantize(x, fmt)).sum())
    return float(np.inf) if noise == 0 else float(-10 * np.log10(noise / float(np.square(x).sum())))


def hadamard(values: np.ndarray, size: int = 16) -> np.ndarray:
    """Orthonormal Walsh-Hadamard rotation of every run of `size` elements along the last axis.

    Raises:
        ConfigurationError: if the size is not a power of two that divides the axis.
    """
    x = np.asarray(values, dtype=np.float64)
    if size < 1 or size & (size - 1) or x.shape[-1] % size:
        raise ConfigurationError(f"a rotation needs a power of two that divides {x.shape[-1]}, got {size}")
    out = x.reshape(-1, size).copy()
    half = 1
    while half < size:
        pairs = out.reshape(-1, size // (2 * half), 2, half)
        out = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2).reshape(-1, size)
        half *= 2
    return (out / np.sqrt(size)).reshape(x.shape)


def shift_grid(lowest: int = -7, highest: int = 0) -> np.ndarray:
    """Signed powers of two and zero: the weights of a shift layer (ShiftAddViT, You et al., 2023)."""
    powers = 2.0 ** np.arange(lowest, highest + 1)
    return np.concatenate([-powers[::-1], [0.0], powers])


def to_shifts(weights: np.ndarray) -> np.ndarray:
    """sign(w) 2^round(log2 |w|), zero stays zero: the nearest power of two in the exponent."""
    w = np.asarray(weights, dtype=np.float64)
    magnitude = np.where(w == 0, 1.0, np.abs(w))
    return np.where(w == 0, 0.0, np.sign(w) * 2.0 ** np.round(np.log2(magnitude)))
