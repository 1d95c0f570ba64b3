"""Matrix products in tiles: why 4097 columns cost more than 4096, and the sizing rules that follow.

A product is cut into output tiles; tiles run in waves over the device's units, and a partly filled tile or wave costs
as much as a full one (NVIDIA, Matrix Multiplication Background User's Guide, sections on tile and wave quantization).
Smaller tiles waste less and reuse operands less, so they run at a lower rate, in proportion to their arithmetic
intensity. The quickest tile is taken; the time never falls when a dimension grows.

The rules for transformer shapes (head dimension, widths and vocabulary in multiples) follow Anthony et al., "Training
Foundation Models on a Full-Stack AMD Platform", arXiv 2511.17127; the multiples are fields of the platform.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from archwright.costs.arrays import Array, ceil_div, maximum, minimum, where
from archwright.costs.decoder import Decoder

_HALVINGS = ((1, 1), (2, 1), (2, 2), (4, 4), (8, 4))
_SPLITS = (1, 4, 16)  # of the depth over units, where there are few tiles


def slowdown(rows: Array, cols: Array, depth: Array, tiles: Any, count: Array = 1.0) -> Array:
    """Time of `count` products (rows, depth) x (depth, cols) over their time at the peak rate; at least 1.

    Args:
        rows: of the first factor.
        cols: of the second factor.
        depth: inner dimension.
        tiles: `platforms.schema.Tiles`.
        count: independent products of this shape that run together.
    """
    full = tiles.rows * tiles.cols / (tiles.rows + tiles.cols)
    best: Array = None
    for by_rows, by_cols in _HALVINGS:
        tall, wide = tiles.rows / by_rows, tiles.cols / by_cols
        rate = (tall * wide / (tall + wide)) / full
        pieces = count * ceil_div(rows, tall) * ceil_div(cols, wide)
        for split in _SPLITS:
            steps = ceil_div(depth, split * tiles.depth) * tiles.depth
            time = ceil_div(split * pieces, tiles.units) * tall * wide * steps / rate
            best = time if best is None else minimum(best, time)
    ideal = count * rows * cols * depth / tiles.units
    return where(ideal > 0, maximum(best / maximum(ideal, 1e-300), 1.0), 1.0)


def badly_sized(m: Decoder, tiles: Any, tensor: Array = 1.0) -> dict[str, Array]:
    """Which sizing rules a decoder breaks: rule -> bool per model."""

    def off(value: Array, multiple: float) -> Array:
        return np.mod(value, multiple) != 0

    return {
        f"head_dim is not a multiple of {tiles.head_multiple}": off(m.head_dim, tiles.head_multiple),
        f"hidden is not a multiple of {tiles.multiple}": off(m.hidden, tiles.multiple),
        f"ffn per device is not a multiple of {tiles.multiple}": off(m.ffn / tensor, tiles.multiple),
        f"vocab is not a multiple of {tiles.multiple}": off(m.vocab, tiles.multiple),
        "heads do not divide over the devices": off(m.heads, tensor),
        "query heads do not divide over key-value heads": off(m.heads, m.kv_heads),
    }


def well_sized(m: Decoder, tiles: Any, tensor: Array = 1.0) -> Array:
    """Whether a decoder keeps every sizing rule."""
    return ~np.logical_or.reduce(np.broadcast_arrays(*badly_sized(m, tiles, tensor).values()))
