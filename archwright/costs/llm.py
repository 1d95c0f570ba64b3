"""Language-model inference on accelerators: time to first token, time per token, throughput, memory.

Each operator takes the longest of its compute, memory and communication time (roofline, Williams et al., 2009; GenZ,
Bambhaniya et al., 2024, section 4), and operators run one after another. `compat="genz"` reproduces GenZ 0.0.16: its
operator list, its dtype multipliers and its bandwidths in 2^30 bytes a second. Known error of the method: no overlap
between operators, one efficiency for all shapes unless `tiles` gives one per product, no framework overhead beyond a
constant launch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from archwright.costs.arrays import Array, ceil, maximum, minimum, where
from archwright.costs.decoder import Decoder
from archwright.costs.llm_operators import Link, Op, Split, Widths, genz_operators, operators
from archwright.costs.tiles import slowdown

FITS, TOO_LARGE, BAD_SPLIT, NO_RATE = range(4)
REASONS = (
    "fits",
    "weights and cache exceed the memory of the devices",
    "layers or experts cannot be split over that many devices",
    "the platform gives no rate for this number format",
)
GENZ_COMPUTE = {"bf16": 1.0, "f32": 2.0, "int8": 0.5, "fp8": 0.5, "fp6": 0.5, "int4": 0.25, "fp4": 0.25, "int2": 0.125}
GENZ_BYTES = {"bf16": 2.0, "f32": 4.0, "int8": 1.0, "fp8": 1.0, "fp6": 0.75, "int4": 0.5, "fp4": 0.5, "int2": 0.25}
GIB = 2.0**30


class Device(NamedTuple):
    """One accelerator and its link; decimal units, peak rates, efficiencies in (0, 1]. Fields may be arrays."""

    ops_per_s: Array  # dense, two operations a multiply-accumulate, at the number format in use
    memory_b_per_s: Array
    memory_b: Array
    link_b_per_s: Array
    link_latency_s: Array
    onchip_b_per_s: Array = np.inf
    vector_ops_per_s: Array = np.inf
    launch_s: Array = 0.0
    compute_efficiency: Array = 1.0
    memory_efficiency: Array = 1.0
    link_efficiency: Array = 1.0
    tiles: Any = None  # platforms.schema.Tiles: matrix products are slowed by partly filled tiles

    @property
    def link(self) -> Link:
        """The connection to other devices."""
        return Link(self.link_b_per_s, self.link_latency_s)


class Serving(NamedTuple):
    """What a deployment gives; NaN where `reason` is not `FITS`."""

    ttft_s: Array
    tpot_s: Array
    tokens_per_s: Array
    latency_s: Array  # first to last token of one batch
    memory_b: Array  # of the fullest device
    reason: Array  # index into REASONS


def genz_device(
    tflops: Array, memory_gib: Array, memory_gib_per_s: Array, link_gib_per_s: Array, bits: str, *, link_us: Array = 1.0
) -> Device:
    """A device in GenZ's units: its table says GB where the code multiplies by 2^30."""
    return Device(
        ops_per_s=tflops * 1e12 / GENZ_COMPUTE[bits],
        memory_b_per_s=memory_gib_per_s * GIB,
        memory_b=memory_gib * GIB,
        link_b_per_s=link_gib_per_s * GIB,
        link_latency_s=link_us * 1e-6,
        onchip_b_per_s=18000 * GIB,
    )


def op_times(op: Op, device: Device) -> tuple[Array, Array, Array]:
    """Seconds of compute, memory and messages of one repetition."""
    compute = 2 * op.macs / (device.ops_per_s * device.compute_efficiency) + op.vector_ops / device.vector_ops_per_s
    if device.tiles is not None and op.product is not None:
        compute = compute * slowdown(*op.product, device.tiles)
    memory = (op.off_b / device.memory_b_per_s + op.on_b / device.onchip_b_per_s) / device.memory_efficiency
    return compute, memory, op.comm_s / device.link_efficiency


def genz_latency_s(
    m: Decoder,
    device: Device,
    batch: Array,
    tokens: Array,
    bits: str,
    *,
    decode: bool,
    split: Split | None = None,
) -> Array:
    """GenZ's latency of a prefill, or of one decoded token with `tokens` in the cache."""
    total: Array = 0.0
    for op in genz_list(m, device, batch, tokens, bits, decode=decode, split=split):
        compute, memory, comm = op_times(op, device)
        total = total + op.count * where(op.macs > 0, maximum(compute, memory, comm), comm)
    return total


def genz_list(
    m: Decoder,
    device: Device,
    batch: Array,
    tokens: Array,
    bits: str,
    *,
    decode: bool,
    split: Split | None = None,
) -> list[Op]:
    """GenZ's operators of one phase, in its order; micro-batches as with its pipeline parallelism."""
    split = Split() if split is None else split
    micro = where(split.pipeline > 1, maximum(np.floor(batch / split.pipeline), 1), batch)
    width = GENZ_BYTES[bits]
    return genz_operators(m, micro, tokens, Widths(width, width, width), split, device.link, decode=decode)


def pass_s(
    m: Decoder,
    device: Device,
    batch: Array,
    queries: Array,
    cached: Array,
    widths: Widths,
    split: Split,
    *,
    resident: bool,
    classify: Array = 1.0,
) -> Array:
    """Seconds of one pass of `queries` new tokens per sequence behind `cached` old ones."""
    total: Array = 0.0
    for op in operators(m, batch, queries, cached, widths, split, device.link, resident=resident, classify=classify):
        time = maximum(*op_times(op, device))
        total = total + op.count * (time + where(time > 0, device.launch_s, 0.0))
    return total


def prefill_s(
    m: Decoder, device: Device, batch: Array, tokens: Array, widths: Widths, split: Split, chunk: int | None = None
) -> Array:
    """Seconds to read a prompt, whole or in chunks of `chunk` tokens; only the last chunk meets the classifier."""
    if chunk is None:
        return pass_s(m, device, batch, tokens, 0.0, widths, split, resident=False)
    total: Array = 0.0
    for start in range(0, int(np.max(tokens)), chunk):
        size = minimum(maximum(tokens - start, 0.0), chunk)
        last = where(start + chunk >= tokens, 1.0, 0.0)
        step = pass_s(m, device, batch, size, float(start), widths, split, resident=False, classify=last)
        total = total + where(size > 0, step, 0.0)
    return total


def memory_b(m: Decoder, batch: Array, tokens: Array, queries: Array, widths: Widths, split: Split) -> Array:
    """Bytes on the fullest device: its weights, its share of the cache for `tokens`, and the widest activations."""
    expert = m.hidden * m.ffn * (m.gates + 1) * m.layers * where(m.experts > 1, m.experts, 1.0)
    rest = m.weights - expert
    weights = (rest + expert / where(m.experts > 1, split.expert, 1.0)) / (split.tensor * split.pipeline)
    layers = ceil(m.layers / split.pipeline)
    local = where(m.window > 0, minimum(m.window, tokens), tokens)
    kept = (1 - m.windowed_share) * tokens + m.windowed_share * local
    cache = 2 * batch * layers * kept * maximum(ceil(m.kv_heads / split.tensor), 1) * m.head_dim
    wide = maximum((m.heads + 2 * m.kv_heads) * m.head_dim, m.ffn * m.gates) / split.tensor + 2 * m.hidden
    return weights * widths.weight + cache * widths.kv + batch * queries * wide * widths.activation


def serve(
    m: Decoder,
    device: Device,
    *,
    batch: Array,
    input_tokens: Array,
    output_tokens: Array,
    widths: Widths,
    split: Split | None = None,
    chunk: int | None = None,
) -> Serving:
    """Metrics of serving batches of equal requests; every argument may be an array.

    A token's time is taken at the mean cache length, which is exact while no operator changes its bound. With pipeline
    stages the batch runs as that many micro-batches, and all stages are busy while decoding.
    """
    split = Split() if split is None else split
    micro = maximum(ceil(batch / split.pipeline), 1)
    whole = prefill_s(m, device, micro, input_tokens, widths, split, chunk)
    ttft = whole * (2 - 1 / split.pipeline)
    mean = input_tokens + (output_tokens - 1) / 2
    tpot = pass_s(m, device, micro, 1.0, mean, widths, split, resident=True)
    held = memory_b(m, batch, input_tokens + output_tokens, input_tokens if chunk is None else chunk, widths, split)
    reason = where(held > device.memory_b, TOO_LARGE, FITS)
    bad = (split.pipeline > m.layers) | (split.expert > m.experts) | (split.tensor > m.heads)
    reason = where(bad, BAD_SPLIT, reason)
    reason = where(np.isnan(device.ops_per_s), NO_RATE, reason)
    latency = ttft + tpot * (output_tokens - 1)
    usable = reason == FITS
    ttft, tpot, rate, latency = (where(usable, t, np.nan) for t in (ttft, tpot, batch / tpot, latency))
    return Serving(ttft, tpot, rate, latency, held, reason)


def explain(
    m: Decoder,
    device: Device,
    *,
    batch: float,
    queries: float,
    cached: float,
    widths: Widths,
    split: Split | None = None,
) -> list[dict[str, float | str]]:
    """Time, bound and amounts of each operator of one pass; decoding if there is one query."""
    lines: list[dict[str, float | str]] = []
    chosen = Split() if split is None else split
    for op in operators(m, batch, queries, cached, widths, chosen, device.link, resident=queries == 1):
        compute, memory, comm = (float(t) for t in op_times(op, device))
        longest = max(compute, memory, comm)
        if longest * float(op.count) == 0:
            continue
        bound = "compute" if longest == compute else "memory" if longest == memory else "network"
        lines.append(
            {
                "operator": op.name,
                "count": float(op.count),
                "latency_ms": 1e3 * float(op.count) * (longest + float(device.launch_s)),
                "bound": bound,
                "macs_m": float(op.macs) * float(op.count) / 1e6,
                "memory_mb": float(op.off_b) * float(op.count) / 1e6,
            }
        )
    return lines
