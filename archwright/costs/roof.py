"""The roof of any platform: its peak rate and its memory's bandwidth, whatever model costs it."""

from __future__ import annotations

from typing import NamedTuple

from archwright.platforms import Platform


class RoofOf(NamedTuple):
    """Peak in operations (two a multiply-accumulate), bandwidth, and bytes of a word; None = not given."""

    ops_per_s: float
    b_per_s: float
    word_b: float


def roof_of(p: Platform, dtype: str | None = None) -> RoofOf | None:
    """The roof of a platform with fixed numbers; None where it gives no peak rate of this number format.

    Args:
        p: the platform.
        dtype: number format of roofline devices, as `Roofline` has it; arrays have their own words.
    """
    from archwright.costs.roofline_cost import BYTES, default_dtype

    if p.memory is None:
        return None
    bandwidth = p.memory.b_per_s * p.memory.efficiency_share
    if p.array is not None:
        return RoofOf(2.0 * p.array.rows * p.array.cols * p.array.frequency_hz, bandwidth, p.array.word_b)
    if p.spatial is not None:
        return RoofOf(2.0 * p.spatial.pes * p.spatial.frequency_hz, bandwidth, p.spatial.word_b)
    if p.fpga is not None:
        f = p.fpga
        return RoofOf(2.0 * f.pe * f.vec * f.reuse * f.frequency_hz, bandwidth, f.word_b)
    if p.compute is None:
        return None
    kind = "int8" if p.npu is not None else dtype or default_dtype(p)
    peak = getattr(p.compute, f"{kind}_ops_per_s")
    return None if peak is None else RoofOf(peak * p.compute.efficiency_share, bandwidth, BYTES[kind])
