"""Tensors in a number format as bytes: codes side by side without gaps, then the scales of the blocks.

Scales are stored as their format says: E8M0 as one byte of exponent, E4M3 as one byte under a float32 for the tensor,
else float32.
"""

from __future__ import annotations

from math import prod

import numpy as np

from archwright.formats import FORMATS, Format, block_scales, in_blocks, nearest_values, out_of_blocks

Packed = dict[str, np.ndarray]
_E4M3 = FORMATS["mxfp8"]


def packed_bytes(shape: tuple[int, ...], fmt: Format) -> int:
    """Bytes of a tensor's codes and scales."""
    if fmt.block > 0:
        blocks = prod(shape[:-1]) * -(-shape[-1] // fmt.block)
        elements = blocks * fmt.block
    else:
        blocks, elements = (shape[0] if fmt.block else 1), prod(shape)
    scales = {"f32": 4 * blocks, "e8m0": blocks, "e4m3": blocks + 4}[fmt.scale]
    return -(-elements * fmt.bits // 8) + scales


def pack(values: np.ndarray, fmt: Format) -> Packed:
    """`codes` (uint8), and `scales` (float32 or uint8), with `scale` (float32) for E4M3.

    Raises:
        ConfigurationError: if a value is not finite.
    """
    blocks = in_blocks(values, fmt)
    scales = block_scales(blocks, fmt)
    codes = _codes(nearest_values(blocks / scales, fmt.grid), fmt)
    bits = (codes.reshape(-1, 1) >> np.arange(fmt.bits)) & 1
    out: Packed = {"codes": np.packbits(bits.astype(np.uint8).reshape(-1), bitorder="little")}
    if fmt.scale == "e8m0":
        out["scales"] = (np.log2(scales).astype(np.int64) + 127).astype(np.uint8).reshape(-1)
    elif fmt.scale == "e4m3":
        tensor = scales.max() / _E4M3.largest  # the largest scale is the largest E4M3 number by construction
        out["scales"] = _codes(nearest_values(scales / tensor, _E4M3.grid), _E4M3).astype(np.uint8).reshape(-1)
        out["scale"] = np.array([tensor], dtype=np.float32)
    else:
        out["scales"] = scales.astype(np.float32).reshape(-1)
    return out


def unpack(packed: Packed, shape: tuple[int, ...], fmt: Format) -> np.ndarray:
    """The tensor of `shape` as float64."""
    width = fmt.block if fmt.block > 0 else prod(shape[1:] if fmt.block else shape)
    count = width * len(packed["scales"])
    bits = np.unpackbits(packed["codes"], count=count * fmt.bits, bitorder="little").reshape(count, fmt.bits)
    values = fmt.code_points[bits.astype(np.int64) @ (1 << np.arange(fmt.bits))]
    scales: np.ndarray = packed["scales"]
    if fmt.scale == "e8m0":
        scales = 2.0 ** (scales.astype(np.float64) - 127)
    elif fmt.scale == "e4m3":
        scales = _E4M3.code_points[scales] * packed["scale"].astype(np.float64)
    return out_of_blocks(values.reshape(-1, width) * scales.reshape(-1, 1), shape, fmt)


def _codes(values: np.ndarray, fmt: Format) -> np.ndarray:
    """Code of each value of the grid, int64; zero is +0."""
    points = fmt.code_points
    order = np.argsort(points, kind="stable")  # NaN last, +0 before -0
    return order[np.searchsorted(points[order[: np.isfinite(points).sum()]], values)]
