"""Row stationary: the Eyeriss chip (Chen, Emer and Sze, ISCA 2016; Chen et al., JSSC 52(1), 2017).

A set of R x e multipliers makes e output rows: kernel rows stay, input rows move diagonally, sums move up. A multiplier
interleaves p filters and q channels as its scratch pads allow, and adds the sum of its neighbour once per output. Sets
stand above and beside each other. The mapping below chooses the strip width e with the fewest passes. Two overheads
count, both of the chip's structure and none fitted: the shared adder takes one cycle for each neighbour's sum, and the
weights of a pass come in four a cycle before it starts, once for all images that the global buffer has room for.
"""

from __future__ import annotations

from typing import NamedTuple

from archwright.costs.arrays import Array, ceil, ceil_div, floor, maximum, minimum, where
from archwright.costs.dataflow import Conv, Plan


class Chip(NamedTuple):
    """A row stationary array; scratch pads and global buffer in words."""

    rows: Array = 12.0
    cols: Array = 14.0
    input_pad: Array = 12.0
    weight_pad: Array = 224.0
    sum_pad: Array = 24.0
    buffer: Array = 51200.0  # 100 KiB of 16-bit words for inputs and sums
    weights_per_cycle: Array = 4.0


class Mapping(NamedTuple):
    """Strip width, sets at work together, interleaved filters and channels, images per pass, passes."""

    strip: Array
    sets: Array
    filters: Array
    channels: Array
    images: Array
    passes: Array


def map_layer(layer: Conv, chip: Chip) -> Mapping:
    """The mapping with the fewest passes among strips of the whole width, a half, a third or a quarter of it."""
    channels = _even_share(layer.channels, maximum(floor(chip.input_pad / layer.kernel_w), 1.0))
    room = minimum(chip.sum_pad, floor(chip.weight_pad / (ceil(channels) * layer.kernel_w)))
    filters = _even_share(layer.filters, maximum(room, 1.0))
    tall = minimum(layer.kernel_h, chip.rows)
    kernel_folds = ceil_div(layer.kernel_h, chip.rows)
    work = ceil_div(layer.filters, filters) * ceil_div(layer.channels, channels) * layer.groups * kernel_folds

    def mapping(beside: float) -> Mapping:
        strip = minimum(maximum(floor(chip.cols / beside), 1.0), layer.out_h)
        sets = floor(chip.rows / tall) * maximum(floor(chip.cols / strip), 1.0)
        passes = ceil_div(ceil_div(layer.out_h, strip) * work, sets)
        images = _images(layer, chip, filters, strip)
        return Mapping(strip, sets, filters, channels, images, passes)

    best = mapping(1.0)
    for found in map(mapping, (2.0, 3.0, 4.0)):
        better = found.passes < best.passes
        best = Mapping(*(where(better, new, old) for new, old in zip(found, best, strict=True)))
    return best


def _even_share(total: Array, limit: Array) -> Array:
    """Mean share when `total` is cut into as few pieces of at most `limit` as possible; the last piece is quicker."""
    return total / ceil_div(total, limit)


def _images(layer: Conv, chip: Chip, filters: Array, strip: Array) -> Array:
    sums = filters * strip * layer.out_w
    return _even_share(layer.batch, maximum(floor(chip.buffer / sums), 1.0))


def pass_cycles(layer: Conv, mapping: Mapping) -> Array:
    """Cycles of the multiplications of one pass: products and one neighbour's sum per output."""
    products = mapping.channels * layer.kernel_w
    return mapping.images * mapping.filters * layer.out_w * (products + 1)


def load_cycles(layer: Conv, mapping: Mapping, chip: Chip) -> Array:
    """Cycles to bring the weights of one pass; sets that work on strips of the same filters share them."""
    strips = ceil_div(layer.out_h, mapping.strip)
    distinct = mapping.sets / minimum(mapping.sets, strips)
    weights = mapping.filters * mapping.channels * layer.kernel_w * minimum(layer.kernel_h, chip.rows)
    return distinct * weights / chip.weights_per_cycle


def chip_of(pes: Array) -> Chip:
    """An array of the chip's proportions (12 x 14) with at most this many multipliers; pads as on the chip."""
    rows = where(pes >= 168, 12.0 * floor((pes / 168) ** 0.5), maximum(minimum(floor(pes / 14.0), 12.0), 1.0))
    return Chip(rows=rows, cols=maximum(floor(pes / rows), 1.0))


def row_stationary_cycles(layer: Conv, chip: Chip) -> Array:
    """Cycles of the multiplier array, weights' loading included, traffic to memory not."""
    mapping = map_layer(layer, chip)
    rounds = ceil_div(layer.batch, mapping.images)
    return mapping.passes * rounds * (pass_cycles(layer, mapping) + load_cycles(layer, mapping, chip))


def row_stationary_plan(layer: Conv, pes: Array, chip: Chip | None = None) -> Plan:
    """The layer as equal steps, one a pass."""
    array = chip_of(pes) if chip is None else chip
    m = map_layer(layer, array)
    rounds = ceil_div(layer.batch, m.images)
    strips = ceil_div(layer.out_h, m.strip)
    cut = minimum(m.sets, strips)
    tall = (m.strip - 1) * minimum(layer.stride, layer.kernel_h) + layer.kernel_h
    across = (layer.out_w - 1) * minimum(layer.stride, layer.kernel_w) + layer.kernel_w
    filter_folds = ceil_div(layer.filters, m.filters * maximum(m.sets / cut, 1.0))
    return Plan(
        steps=m.passes * rounds,
        step_cycles=pass_cycles(layer, m) + load_cycles(layer, m, array),
        input_tile=m.images * m.channels * cut * tall * across,
        weight_tile=m.filters * m.channels * layer.kernel_w * layer.kernel_h * m.sets / cut,
        output_tile=m.images * m.filters * m.strip * layer.out_w * m.sets,
        l2_input_reads=layer.batch * layer.channels * layer.groups * strips * tall * across * filter_folds,
        l2_weight_reads=layer.weights * rounds * ceil_div(strips, cut),
        l2_output_writes=layer.outputs * ceil_div(layer.channels, m.channels),
        active_pes=minimum(layer.kernel_h, array.rows) * m.strip * m.sets,
    )
