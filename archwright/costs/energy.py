"""Energy and area of arithmetic and memory: published tables, and how they scale to other widths and sizes.

Table: M. Horowitz, "Computing's energy problem", ISSCC 2014, 45 nm, 0.9 V. Widths between its points follow the gate
count: an integer multiplier grows with the product of the widths, an adder with the width; a floating-point multiplier
with the square of its significand, a floating-point adder with width times log2(width) of its alignment. SRAM energy
per bit grows with the square root of the capacity, within a factor of two of the table's points. Entries that were not
read again in the slides are listed in `UNVERIFIED`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from archwright.costs.arrays import Array
from archwright.formats import Format

ADD_PJ: Mapping[str, float] = MappingProxyType({"int8": 0.03, "int16": 0.05, "int32": 0.1, "fp16": 0.4, "fp32": 0.9})
MUL_PJ: Mapping[str, float] = MappingProxyType({"int8": 0.2, "int32": 3.1, "fp16": 1.1, "fp32": 3.7})
ADD_UM2: Mapping[str, float] = MappingProxyType({"int8": 36, "int16": 67, "int32": 137, "fp16": 1360, "fp32": 4184})
MUL_UM2: Mapping[str, float] = MappingProxyType({"int8": 282, "int32": 3495, "fp16": 1640, "fp32": 7700})
SRAM_8KB_PJ_PER_BIT = 10.0 / 64
DRAM_PJ_PER_BIT = 1300.0 / 64  # the low end of the table
UNVERIFIED = (
    "int8 and int16 energies", "fp16 energies and areas", "int16, int32 add areas", "SRAM above 8 KB", "DRAM"
)  # fmt: skip

# Eyeriss (ISCA 2016), normalised to one 16-bit multiply-accumulate
EYERISS_RELATIVE: Mapping[str, float] = MappingProxyType(
    {"register": 1.0, "neighbour": 2.0, "buffer": 6.0, "dram": 200.0}
)
# MAESTRO 2022-08, BASE_constants.hpp, in multiply-accumulates of its table
MAESTRO_RELATIVE: Mapping[str, float] = MappingProxyType({"l1": 1.68, "l2": 18.61})


class Arithmetic(NamedTuple):
    """Energy and area of one multiply-accumulate."""

    pj: Array
    um2: Array


def int_mul_pj(first_bits: Array, second_bits: Array) -> Array:
    """Integer multiplier: 0.2 pJ at 8 x 8 bits, in proportion to the partial products."""
    return MUL_PJ["int8"] * first_bits * second_bits / 64.0


def int_add_pj(bits: Array) -> Array:
    """Integer adder: 0.1 pJ at 32 bits, in proportion to the width."""
    return ADD_PJ["int32"] * bits / 32.0


def shift_pj(bits: Array) -> Array:
    """Barrel shifter: log2(bits) levels of multiplexers, each about a third of an adder's cell."""
    return int_add_pj(bits) * np.log2(bits) / 3.0


def int_mac(weight_bits: Array, activation_bits: Array, sum_bits: Array = 32.0) -> Arithmetic:
    """Integer multiply-accumulate into `sum_bits`."""
    energy = int_mul_pj(weight_bits, activation_bits) + int_add_pj(sum_bits)
    area = MUL_UM2["int8"] * weight_bits * activation_bits / 64.0 + ADD_UM2["int32"] * sum_bits / 32.0
    return Arithmetic(energy, area)


def float_mac(mantissa: Array, exponent: Array) -> Arithmetic:
    """Floating-point multiply-accumulate at one precision, scaled from fp16 (10 bits of mantissa, 5 of exponent)."""
    significand, width = mantissa + 1.0, mantissa + exponent + 1.0
    square = (significand**2 + exponent) / (11.0**2 + 5.0)
    align = width * np.log2(np.maximum(width, 2.0)) / (16.0 * 4.0)
    return Arithmetic(
        MUL_PJ["fp16"] * square + ADD_PJ["fp16"] * align, MUL_UM2["fp16"] * square + ADD_UM2["fp16"] * align
    )


def format_mac(fmt: Format) -> Arithmetic:
    """Multiply-accumulate of two elements of a format; the shared scale is one more product a block.

    Products of floating-point elements are summed as fixed-point numbers of their full range, as block formats do.
    """
    if fmt.exponent == 0:
        one = int_mac(fmt.bits, fmt.bits)
    else:
        product = float_mac(fmt.mantissa, fmt.exponent)
        span = 2 * (fmt.mantissa + 1) + 2.0**fmt.exponent  # bits that an exact sum of products needs
        one = Arithmetic(product.pj + int_add_pj(span), product.um2 + ADD_UM2["int32"] * span / 32.0)
    if not fmt.block:
        return one
    scale = int_add_pj(8.0) if fmt.scale == "e8m0" else MUL_PJ["fp16"] * 16 / 126
    return Arithmetic(one.pj + scale / fmt.block, one.um2 + ADD_UM2["int8"] / fmt.block)


def sram_pj_per_bit(capacity_b: Array) -> Array:
    """Energy per bit of an SRAM, from 10 pJ a 64-bit word at 8 KB."""
    return SRAM_8KB_PJ_PER_BIT * np.sqrt(np.maximum(capacity_b, 64.0) / 8192.0)


def transformer_block_pj(
    tokens: int, width: int, hidden: int, *, attention: str = "softmax", ffn: str = "mult", shift_share: float = 0.0
) -> dict[str, float]:
    """Arithmetic and weight-movement energy of one encoder block, by part, at 8 bits.

    attention: "softmax", or "add" for binary queries and keys in a linear form, whose products are additions.
    ffn: "mult", "shift", or "moe" with `shift_share` of the tokens on the shift expert (ShiftAddViT, section 4).
    """
    mac = float(int_mac(8.0, 8.0).pj)
    shift = float(shift_pj(8.0) + int_add_pj(32.0))
    add = float(int_add_pj(32.0))
    weight_bit = float(sram_pj_per_bit(1 << 20)) + DRAM_PJ_PER_BIT / tokens  # a weight is fetched once for all tokens
    projections = 4 * tokens * width * width
    linear = 2 * tokens * width * hidden
    share = {"mult": 0.0, "shift": 1.0, "moe": shift_share}[ffn]
    if attention == "softmax":
        mixing = 2 * tokens * tokens * width * mac + 5 * tokens * tokens * float(int_add_pj(32.0))
        projected = projections * mac + projections / tokens * 8 * weight_bit
    else:  # (K^T V) then Q (K^T V): no tokens x tokens map; projections are shifts, whose weights take 4 bits
        mixing = 2 * tokens * width * (width / 8) * add  # eight heads
        projected = projections * shift + projections / tokens * 4 * weight_bit
    return {
        "mixing": mixing,
        "projections": projected,
        "ffn": linear * ((1 - share) * mac + share * shift) + linear / tokens * (8 - 4 * share) * weight_bit,
    }
