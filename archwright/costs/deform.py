"""Line buffer of deformable convolution on an FPGA (CoDeNet, Huang et al., FPGA 2021, section 4).

A convolution streams its input through a line buffer. An offset that may point anywhere needs the whole map at hand or
a random access to memory per sample; an offset bounded to r pixels needs 2 r more lines. Fractional offsets read four
pixels and blend them; rounded ones read one. A square shape has one offset per pixel instead of two per tap.
"""

from __future__ import annotations

from typing import NamedTuple

from archwright.costs.arrays import Array, where

BURST_ELEMENTS = 32.0  # 64-byte bursts of 16-bit words: a random access pays for one


class DeformCost(NamedTuple):
    """Elements of on-chip line buffer, elements read from memory, reads and products of sampling."""

    buffer_elements: Array
    memory_reads: Array
    sample_reads: Array
    sample_macs: Array
    offset_macs: Array


def deform_cost(
    height: Array,
    width: Array,
    channels: Array,
    *,
    kernel: int = 3,
    bound: float | None = None,
    rounded: bool = False,
    square: bool = False,
    depthwise: bool = False,
) -> DeformCost:
    """Cost of the sampling of one deformable layer and of the convolution that makes its offsets.

    Args:
        height: of the map.
        width: of the map.
        channels: of the map.
        kernel: taps along one side.
        bound: largest offset in pixels, None = free.
        rounded: offsets are whole pixels.
        square: one offset per pixel scales the kernel's grid.
        depthwise: the offset convolution and the layer work per channel.
    """
    pixels, taps = height * width, float(kernel * kernel)
    corners = 1.0 if rounded else 4.0
    samples = pixels * taps * channels * corners
    reach = kernel - 1 if bound is None else kernel - 1 + 2 * bound
    lines = where(reach + 1.0 < height, reach + 1.0, height)
    buffer = lines * width * channels
    if bound is None:  # nothing but the taps' own lines fits, so each sample point fetches its channels
        memory = pixels * taps * corners * where(channels > BURST_ELEMENTS, channels, BURST_ELEMENTS)
    else:
        memory = pixels * channels
    offsets = 1.0 if square else 2.0 * taps
    offset_macs = pixels * taps * channels * (1.0 if depthwise and square else offsets)
    blend = 0.0 if rounded else pixels * taps * channels * 4.0
    return DeformCost(buffer, memory, samples, blend, offset_macs)
