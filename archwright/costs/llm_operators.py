"""The operators of one decoder pass on one device: multiplications, bytes moved, messages sent.

Two readings. `genz_operators` lists what GenZ 0.0.16 counts (embedding as a dense product, classifier over all tokens,
no causal halving, no elementwise work). `operators` lists what a server runs: the embedding is a gather, attention is
causal and honours local windows, norms, activations and residual sums are counted (operation counts per element after
LLM-Viewer, Yuan et al., 2024), experts are hit at random, and the classifier sees the last token of each sequence.
"""

from __future__ import annotations

from typing import NamedTuple

from archwright.costs import collectives
from archwright.costs.arrays import Array, ceil_div, floor, maximum, minimum, where
from archwright.costs.decoder import Decoder


class Op(NamedTuple):
    """One operator: products, bytes off and on chip, repetitions, vector operations, seconds of messages."""

    name: str
    macs: Array
    off_b: Array
    on_b: Array
    count: Array
    vector_ops: Array = 0.0
    comm_s: Array = 0.0
    product: tuple[Array, Array, Array] | None = None  # rows, columns, depth of a matrix product


class Link(NamedTuple):
    """Connection between devices."""

    b_per_s: Array
    latency_s: Array


class Widths(NamedTuple):
    """Bytes of one element of weights, activations and key-value cache."""

    weight: Array
    activation: Array
    kv: Array


class Split(NamedTuple):
    """Devices for tensor, pipeline and expert parallelism."""

    tensor: Array = 1
    pipeline: Array = 1
    expert: Array = 1


def gemm(
    name: str,
    rows: Array,
    out: Array,
    inner: Array,
    widths: Widths,
    count: Array,
    *,
    resident: bool,
    weight_rows: Array = 1,
) -> Op:
    """(rows, inner) x (inner, out); `resident` keeps input and output on chip."""
    edge = rows * (inner + out) * widths.activation
    weights = out * inner * widths.weight * weight_rows
    zero = 0.0 * edge
    off, on = (weights + zero, edge) if resident else (weights + edge, zero)
    return Op(name, rows * out * inner, off, on, count, product=(rows, out, inner))


def _sync(name: str, seconds: Array, count: Array) -> Op:
    return Op(name, 0.0, 0.0, 0.0, count, comm_s=seconds)


def genz_operators(
    m: Decoder, batch: Array, tokens: Array, widths: Widths, split: Split, link: Link, *, decode: bool
) -> list[Op]:
    """GenZ's list for a prefill of `tokens`, or for one decoded token with a cache of `tokens`."""
    sharded = split.tensor * split.expert
    queries = 1.0 if decode else tokens
    rows = batch * queries
    heads, kv = maximum(ceil_div(m.heads, sharded), 1), maximum(ceil_div(m.kv_heads, sharded), 1)
    vocab, act = floor(m.vocab / sharded), widths.activation
    layers = m.layers
    ops = [] if decode else [gemm("embeddings", rows, m.hidden, vocab, widths, 1, resident=False)]
    reduce_hidden = collectives.all_reduce_s(rows * m.hidden * act, sharded, *link)
    if not decode:
        ops.append(_sync("Emb_AR", reduce_hidden, 1))
    ops.append(gemm("QKV", rows, (heads + 2 * kv) * m.head_dim, m.hidden, widths, layers, resident=decode))
    ops += _genz_attention(m, batch, queries, tokens, heads, kv, widths, decode)
    ops.append(gemm("Out Proj", rows, m.hidden, heads * m.head_dim, widths, layers, resident=decode))
    ops.append(_sync("MHA AR", reduce_hidden, layers))
    ops += _genz_ffn(m, batch, queries, widths, split, link, decode)
    ops.append(gemm("classifier", rows, vocab, m.hidden, widths, 1, resident=False))
    ops.append(_sync("classifier_AG", collectives.all_gather_s(rows * m.vocab * act, sharded, *link), 1))
    ops.append(_sync("Message Pass", collectives.send_s(rows * m.hidden * act, *link), split.pipeline - 1))
    return ops


def _genz_attention(
    m: Decoder, batch: Array, queries: Array, keys: Array, heads: Array, kv: Array, widths: Widths, decode: bool
) -> list[Op]:
    macs = batch * heads * queries * keys * m.head_dim
    cache = batch * kv * keys * m.head_dim * widths.kv
    vector = batch * heads * queries * m.head_dim * widths.activation
    logits = batch * heads * queries * keys * widths.activation
    off, on = (cache, vector + logits) if decode else (cache + vector, logits)
    return [Op("Logit", macs, off, on, m.layers), Op("Attend", macs, off, on, m.layers)]


def _genz_ffn(
    m: Decoder, batch: Array, queries: Array, widths: Widths, split: Split, link: Link, decode: bool
) -> list[Op]:
    sparse, layers, act = m.experts > 1, m.layers, widths.activation
    rows, width = batch * queries, maximum(ceil_div(m.ffn, split.tensor), 1)
    router = gemm("Gate", rows, m.experts, floor(m.hidden / split.tensor), widths, layers, resident=False)
    gate_size = m.hidden if decode else m.experts  # GenZ reduces the hidden vector in decode, the scores in prefill
    gate_ar = collectives.all_reduce_s(rows * gate_size * act, split.tensor, *link)
    exchange = collectives.all_to_all_s(rows * m.active_experts * m.hidden * act, split.expert, *link)
    if decode:
        here = where(sparse, maximum(1, ceil_div(m.active_experts, split.expert)), 1)
        each = queries
    else:
        here = where(sparse, floor(m.experts / split.expert), 1)
        each = where(sparse, floor(queries * m.active_experts / m.experts), queries)
    ops = [
        router._replace(count=where(sparse, layers, 0 * layers)),
        _sync("Gate AR", gate_ar, where(sparse, layers, 0 * layers)),
        _sync("Dispatch A2A", exchange, where(sparse, layers, 0 * layers)),
        gemm("up+gate", batch * each, here * width * m.gates, m.hidden, widths, layers, resident=decode),
        gemm("down", batch * each, m.hidden, here * width, widths, layers, resident=decode),
        _sync("Collect A2A", exchange, where(sparse, layers, 0 * layers)),
        _sync("FFN AR", collectives.all_reduce_s(rows * m.hidden * act, split.tensor, *link), layers),
    ]
    return ops


def attended(queries: Array, cached: Array, window: Array) -> Array:
    """Query-key pairs of causal attention: query i sees the cache and the queries up to itself, at most `window`."""
    full = queries * cached + queries * (queries + 1) / 2
    reach = where(window > 0, window, queries + cached)
    growing = minimum(maximum(reach - cached, 0), queries)  # queries that still see everything
    local = growing * cached + growing * (growing + 1) / 2 + (queries - growing) * reach
    return minimum(full, local)


def operators(
    m: Decoder,
    batch: Array,
    queries: Array,
    cached: Array,
    widths: Widths,
    split: Split,
    link: Link,
    *,
    resident: bool,
    classify: Array = 1.0,
) -> list[Op]:
    """Operators of `queries` new tokens per sequence behind `cached` old ones, on one device.

    Args:
        m: the model.
        batch: sequences.
        queries: new tokens of each sequence: the prompt or a chunk of it, or 1.
        cached: tokens in the key-value cache.
        widths: bytes per element.
        split: devices.
        link: between devices.
        resident: activations stay on chip between operators (decoding).
        classify: classifier rows per sequence, 1 = the last token.
    """
    act, layers, rows = widths.activation, m.layers, batch * queries
    heads, kv = maximum(ceil_div(m.heads, split.tensor), 1), maximum(ceil_div(m.kv_heads, split.tensor), 1)
    vocab = ceil_div(m.vocab, split.tensor)
    hidden_b = rows * m.hidden * act
    reduce_hidden = collectives.all_reduce_s(hidden_b, split.tensor, *link)
    ops = [
        Op("embedding", 0.0, hidden_b + rows * m.hidden * widths.weight, 0.0, 1),
        _vector("norm", 7.0, hidden_b, rows * m.hidden, 2 * layers + 1, resident),
        gemm("qkv", rows, (heads + 2 * kv) * m.head_dim, m.hidden, widths, layers, resident=resident),
        *_attention(m, batch, queries, cached, heads, kv, widths, resident),
        gemm("attention_out", rows, m.hidden, heads * m.head_dim, widths, layers, resident=resident),
        _sync("attention_all_reduce", reduce_hidden, layers),
        _vector("residual", 1.0, 1.5 * hidden_b, rows * m.hidden, 2 * layers, resident),
        *_feed_forward(m, rows, widths, split, link, resident),
        _sync("ffn_all_reduce", reduce_hidden, layers),
        gemm("classifier", batch * classify, vocab, m.hidden, widths, 1, resident=False),
        _sync(
            "classifier_all_gather", collectives.all_gather_s(batch * classify * m.vocab * act, split.tensor, *link), 1
        ),
        _sync("stage_send", collectives.send_s(hidden_b, *link), split.pipeline - 1),
    ]
    return ops


def _vector(name: str, ops_each: float, size_b: Array, elements: Array, count: Array, resident: bool) -> Op:
    moved = 2 * size_b  # read and written
    return Op(
        name, 0.0, 0.0 * moved if resident else moved, moved if resident else 0.0 * moved, count, ops_each * elements
    )


def _attention(
    m: Decoder, batch: Array, queries: Array, cached: Array, heads: Array, kv: Array, widths: Widths, resident: bool
) -> list[Op]:
    keys = queries + cached
    local = where(m.window > 0, minimum(keys, m.window + queries), keys)
    pairs = (1 - m.windowed_share) * attended(queries, cached, 0) + m.windowed_share * attended(
        queries, cached, m.window
    )
    read = (1 - m.windowed_share) * keys + m.windowed_share * local
    macs = 2 * batch * heads * pairs * m.head_dim
    cache = 2 * batch * kv * (read + queries) * m.head_dim * widths.kv  # all read, the new ones also written
    edge = 2 * batch * heads * queries * m.head_dim * widths.activation
    off, on = (cache, edge) if resident else (cache + edge, 0.0 * edge)
    return [Op("attention", macs, off, on, m.layers, vector_ops=5.0 * batch * heads * pairs)]


def _feed_forward(m: Decoder, rows: Array, widths: Widths, split: Split, link: Link, resident: bool) -> list[Op]:
    width = ceil_div(m.ffn, split.tensor)
    sparse, share = m.experts > 1, m.active_experts / m.experts
    hit = where(sparse, m.experts * (1 - (1 - share) ** rows), 1.0)  # experts that some token reaches, routed at random
    here = maximum(hit / split.expert, 1.0)
    local = rows * m.active_experts / where(sparse, minimum(split.expert, m.experts), 1)
    edge = 2.0 * local * width * m.gates * widths.activation
    up = gemm("ffn_up", local, width * m.gates, m.hidden, widths, m.layers, resident=resident, weight_rows=here)
    down = gemm("ffn_down", local, m.hidden, width, widths, m.layers, resident=resident, weight_rows=here)
    only = where(sparse, m.layers, 0 * m.layers)
    exchange = collectives.all_to_all_s(rows * m.active_experts * m.hidden * widths.activation, split.expert, *link)
    return [
        gemm("router", rows, m.experts, m.hidden, widths, only, resident=resident),
        _sync("dispatch", exchange, only),
        up,
        _vector("activation", 5.0, 0.5 * edge, local * width, m.layers, resident),
        down,
        _sync("collect", exchange, only),
    ]
