"""Systolic array: cycles, utilisation, SRAM and DRAM traffic of output, weight and input stationary dataflows.

A layer is the matrix product (N, W) x (W, K): N output positions, W products per output (window), K filters. The array
has R rows and C columns; the product is cut into folds of R x C. The closed form follows the analytic model of
SCALE-Sim (Samajdar et al., ISPASS 2020, section III) with the fold times of the released simulator, whose output
stationary folds overlap draining with the next skew. `compat="scalesim"` reproduces SCALE-Sim 3.0.0 in stall-free
mode: the cycle count is the index of the last cycle (one less), and the output counts of the output stationary
dataflow and of drained lines hold the simulator's bubbles.

Known error: DRAM reads suppose that an operand that does not fit the active half of its buffer is read again by every
pass that needs it; the simulator's flush-when-full buffer keeps a tail of it now and then
(`systolic_replay.replayed_traffic` is exact, and slow). No stalls are modelled
except by `bounded_cycles`, a roofline over the three DRAM streams.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from archwright.costs.arrays import Array, as_float, ceil, ceil_div, floor, is_tensor, maximum, minimum, where
from archwright.errors import ConfigurationError, nearest

DATAFLOWS = ("os", "ws", "is")  # the code of a dataflow in arrays is its position here
Compat = Literal["scalesim"] | None

_CHUNK = 1 << 13  # designs at once, so that the temporaries stay in the second-level cache


class Fold(NamedTuple):
    """How a layer is laid on an array; every field is broadcast over designs."""

    spatial_rows: Array
    spatial_cols: Array
    time: Array
    row_folds: Array
    col_folds: Array


class Counts(NamedTuple):
    """Stall-free run of one layer: cycles, share of multipliers at work, SRAM accesses in elements."""

    cycles: Array
    utilisation_share: Array
    ifmap_reads: Array
    filter_reads: Array
    ofmap_writes: Array


class Traffic(NamedTuple):
    """DRAM accesses in elements."""

    ifmap_reads: Array
    filter_reads: Array
    ofmap_writes: Array


class Window(NamedTuple):
    """Convolution geometry that DRAM traffic depends on; a matrix product is a 1 x 1 kernel with W channels.

    height, width: output positions; kernel_height, kernel_width, channels: window (channels fastest); stride.
    """

    height: Array
    width: Array
    kernel_height: Array
    kernel_width: Array
    channels: Array
    stride: Array

    @property
    def positions(self) -> Array:
        """Output positions, N."""
        return self.height * self.width

    @property
    def products(self) -> Array:
        """Products per output, W."""
        return self.kernel_height * self.kernel_width * self.channels


def dataflow_codes(dataflow: str | Array) -> int | Array:
    """Code of a dataflow name, or the codes unchanged.

    Raises:
        ConfigurationError: if the name is not one of `DATAFLOWS`.
    """
    if isinstance(dataflow, str):
        if dataflow not in DATAFLOWS:
            raise ConfigurationError(
                f"a systolic dataflow is one of {', '.join(DATAFLOWS)}; got {dataflow!r}; "
                f"{nearest(dataflow, DATAFLOWS)}"
            )
        return DATAFLOWS.index(dataflow)
    return dataflow


def fold(n_out: Array, window: Array, filters: Array, rows: Array, cols: Array, dataflow: str | Array) -> Fold:
    """Map (N, W, K) to array rows, columns and time, and count the folds.

    | dataflow | rows | columns | time |
    |---|---|---|---|
    | os | N | K | W |
    | ws | W | K | N |
    | is | W | N | K |
    """
    code = dataflow_codes(dataflow)
    if isinstance(code, int):
        spatial_rows, spatial_cols, time = (
            (n_out, filters, window),
            (window, filters, n_out),
            (window, n_out, filters),
        )[code]
    else:
        output_stationary, input_stationary = code == 0, code == 2
        spatial_rows = where(output_stationary, n_out, window)
        spatial_cols = where(input_stationary, n_out, filters)
        time = where(output_stationary, window, where(input_stationary, filters, n_out))
    return Fold(spatial_rows, spatial_cols, time, ceil_div(spatial_rows, rows), ceil_div(spatial_cols, cols))


def cycles_of(
    n_out: Array,
    window: Array,
    filters: Array,
    rows: Array,
    cols: Array,
    dataflow: str | Array,
    *,
    compat: Compat = None,
) -> Array:
    """Stall-free cycles: folds x (time + skew of rows and columns, + loading of the stationary operand)."""
    code = dataflow_codes(dataflow)
    return _cycles(fold(n_out, window, filters, rows, cols, code), rows, cols, code, compat)


def _cycles(laid: Fold, rows: Array, cols: Array, code: int | Array, compat: Compat) -> Array:
    loading = (0 if code == 0 else rows) if isinstance(code, int) else where(code == 0, 0.0, rows)
    total = laid.row_folds * laid.col_folds * (laid.time + rows + cols + loading - 2)
    return total - 1 if compat == "scalesim" else total


def counts_of(
    n_out: Array,
    window: Array,
    filters: Array,
    rows: Array,
    cols: Array,
    dataflow: str | Array,
    *,
    compat: Compat = None,
) -> Counts:
    """Cycles, utilisation and SRAM accesses of a stall-free run; arguments are broadcast arrays."""
    code = dataflow_codes(dataflow)
    laid = fold(n_out, window, filters, rows, cols, code)
    stationary = code == 0
    folds = laid.row_folds * laid.col_folds
    cycles = _cycles(laid, rows, cols, code, compat)
    macs = n_out * window * filters
    resident = laid.spatial_rows * laid.spatial_cols
    streamed = laid.col_folds * laid.spatial_rows * laid.time
    folded = laid.row_folds * laid.time * laid.spatial_cols
    if isinstance(code, int):
        bubbles = folds * (rows + cols) if compat == "scalesim" else 0.0
        ifmap, filter_, ofmap = (
            (streamed, folded, resident + bubbles),
            (streamed, resident, folded),
            (resident, streamed, folded),
        )[code]
    else:
        drained = resident + folds * (rows + cols) if compat == "scalesim" else resident
        ofmap = where(stationary, drained, folded)
        ifmap = where(code == 2, resident, streamed)
        filter_ = where(stationary, folded, where(code == 2, streamed, resident))
    return Counts(cycles, macs / (cycles * rows * cols), ifmap, filter_, ofmap)


def unique_inputs(geometry: Window) -> Array:
    """Input elements that at least one window touches."""
    g = geometry
    down = (g.height - 1) * minimum(g.stride, g.kernel_height) + g.kernel_height
    across = (g.width - 1) * minimum(g.stride, g.kernel_width) + g.kernel_width
    return down * across * g.channels


def _slice_inputs(geometry: Window, depth: Array) -> Array:
    """Input elements under `depth` consecutive window elements at all output positions (channels run fastest)."""
    g = geometry
    channels = minimum(depth, g.channels)
    positions = maximum(depth / g.channels, 1.0)
    columns = minimum(positions, g.kernel_width)
    lines = maximum(positions / g.kernel_width, 1.0)
    down = (g.height - 1) * minimum(g.stride, lines) + lines
    across = (g.width - 1) * minimum(g.stride, columns) + columns
    return floor(where(depth > 0, channels * down * across, 0.0 * depth))


def active_elements(buffer_bytes: Array, *, word_bytes: float = 1.0) -> Array:
    """Elements that the active half of a double buffer keeps; it is filled and flushed in hundredths (SCALE-Sim)."""
    return 50.0 * floor(buffer_bytes / word_bytes / 100.0)


def traffic_of(
    geometry: Window,
    filters: Array,
    rows: Array,
    cols: Array,
    dataflow: str | Array,
    buffers_bytes: tuple[Array, Array, Array],
    *,
    word_bytes: float = 1.0,
    compat: Compat = None,
) -> Traffic:
    """DRAM accesses of a stall-free run.

    Folds run with the column folds outside. An operand whose reuse set fits the active half of its buffer is read
    once; otherwise every pass reads it again. Partial sums of row folds are written out each time.

    Args:
        geometry: output positions, kernel, channels and stride.
        filters: K.
        rows: R of the array.
        cols: C of the array.
        dataflow: name or codes.
        buffers_bytes: sizes of the input, filter and output buffers.
        word_bytes: bytes of an element.
        compat: "scalesim" adds the padding of the simulator's first drained line to the output count.
    """
    code = dataflow_codes(dataflow)
    window = geometry.products
    laid = fold(geometry.positions, window, filters, rows, cols, code)
    ifmap_active = active_elements(buffers_bytes[0], word_bytes=word_bytes)
    filter_active = active_elements(buffers_bytes[1], word_bytes=word_bytes)
    output_stationary, input_stationary = code == 0, code == 2

    ifmap = _ifmap_reads(geometry, laid, rows, where(input_stationary, cols, rows), ifmap_active, code)
    filter_ = _filter_reads(window, filters, cols, laid, filter_active, code)

    sums = laid.row_folds * laid.time * laid.spatial_cols
    ofmap = where(output_stationary, laid.spatial_rows * laid.spatial_cols, sums)
    if compat == "scalesim":
        half = floor(buffers_bytes[2] / word_bytes) - ceil(buffers_bytes[2] / word_bytes * 0.5)
        padded = (ofmap > half + 1) & (half - cols * floor(half / cols) == 0)
        ofmap = ofmap + where(padded, cols - 1, 0.0)
    return Traffic(ifmap, filter_, ofmap)


def _ifmap_reads(geometry: Window, laid: Fold, rows: Array, block: Array, active: Array, code: Array) -> Array:
    """Input reads. `block` output positions run together in the output and input stationary dataflows.

    A buffer is flushed when full, so every flush costs what was loaded and is still needed: the kernel's lines that
    the next output line shares, and half of the block's own lines. Weight stationary folds hold one slice of the
    window at all positions; without room for such slices one stride apart, each slice is read in full.
    """
    g, window, inputs = geometry, geometry.products, unique_inputs(geometry)
    streamed = where(code == 2, 1.0, laid.col_folds) * inputs

    lines = block / g.width
    shared = (
        g.kernel_height - g.stride - 0.5 * g.stride * minimum(lines, 1.0) + 0.5 * g.stride * maximum(lines - 1, 0.0)
    )
    line = ((g.width - 1) * minimum(g.stride, g.kernel_width) + g.kernel_width) * g.channels
    live = where(g.kernel_height > g.stride, maximum(shared, 0.0), 0.0) * line
    room = maximum(active - live, 0.25 * active + 1.0)
    rolling = streamed + floor(streamed / room) * live

    depth = minimum(rows, window)
    full = floor(window / depth)
    sliced = full * _slice_inputs(g, depth) + _slice_inputs(g, window - full * depth)
    sliced = laid.col_folds * maximum(sliced, inputs)
    held = g.stride * maximum(g.height * g.width * g.channels, _slice_inputs(g, depth))
    kept = minimum(sliced, streamed + floor(streamed / maximum(active, 1.0)) * held)
    pointwise = g.kernel_height * g.kernel_width == 1
    slices = where(pointwise, streamed, where(held < active, kept, sliced))
    return where(inputs < active, inputs, where(code == 1, slices, rolling))


def _filter_reads(window: Array, filters: Array, cols: Array, laid: Fold, active: Array, code: Array) -> Array:
    """Weight reads; output stationary runs reuse a block of C filters over all row folds, exactly as counted here.

    Blocks of W x C weights are loaded one after another; the block that fills the buffer loses its first part and
    loads it again, which happens every `fitting` blocks.
    """
    weights = window * filters
    block, rest = window * minimum(cols, filters), window * (filters - cols * floor(filters / cols))
    blocks = where(filters < cols, 1.0, floor(filters / cols))
    rest = where(filters < cols, 0.0 * rest, rest)
    fitting = maximum(ceil(active / block) - 1, 1.0)
    lost = active - fitting * block
    fill = (blocks - 1 - fitting * floor((blocks - 1) / fitting) + 1) * block
    tail = where((rest > 0) & (fill + rest >= active), active - fill, 0.0)
    reused = weights + where(laid.row_folds > 1, floor((blocks - 1) / fitting) * lost + tail, 0.0)
    again = laid.row_folds * blocks * block + rest * where(rest < active, 1.0, laid.row_folds)
    blocked = where(block < active, reused, again)
    cyclic = where(weights < active, weights, weights * laid.col_folds)
    return where(code == 0, where(weights < active, weights, blocked), where(code == 2, cyclic, weights))


def bounded_cycles(
    cycles: Array, traffic: Traffic, elements_per_cycle: Array, buffers_bytes: tuple[Array, Array, Array]
) -> Array:
    """Cycles with a fixed DRAM bandwidth for each of the three streams.

    The first fill of a buffer and the last drain are outside the count, as in SCALE-Sim's USER mode, so each stream
    must move its traffic less one buffer within the run.
    """
    bound = cycles
    for moved, size in zip(traffic, buffers_bytes, strict=True):
        bound = maximum(bound, (moved - size) / elements_per_cycle)
    return bound


def run(
    geometry: Window,
    filters: Array,
    rows: Array,
    cols: Array,
    dataflow: str | Array,
    buffers_bytes: tuple[Array, Array, Array],
    *,
    compat: Compat = None,
) -> tuple[Counts, Traffic]:
    """All counts of many layer-designs, in pieces that stay in the cache; arguments are broadcast together."""
    code = dataflow_codes(dataflow)
    values = [*geometry, filters, rows, cols, code, *buffers_bytes]
    if is_tensor(*values):
        return _both(geometry, filters, rows, cols, code, buffers_bytes, compat)
    shape = np.broadcast_shapes(*(np.shape(v) for v in values))
    flat = [v if np.ndim(v) == 0 else np.broadcast_to(as_float(v), shape).reshape(-1) for v in values]
    total = int(np.prod(shape, dtype=np.int64))
    out = np.empty((8, total))
    for start in range(0, total, _CHUNK):
        part = [v if np.ndim(v) == 0 else v[start : start + _CHUNK] for v in flat]
        k, r, c, kind, *sizes = part[6:]
        counts, traffic = _both(Window(*part[:6]), k, r, c, kind, (sizes[0], sizes[1], sizes[2]), compat)
        for line, value in zip(out[:, start : start + _CHUNK], (*counts, *traffic), strict=True):
            line[...] = value
    rows_out = [column.reshape(shape) for column in out]
    return Counts(*rows_out[:5]), Traffic(*rows_out[5:])


def _both(
    geometry: Window,
    filters: Array,
    rows: Array,
    cols: Array,
    code: int | Array,
    buffers_bytes: tuple[Array, Array, Array],
    compat: Compat,
) -> tuple[Counts, Traffic]:
    return (
        counts_of(geometry.positions, geometry.products, filters, rows, cols, code, compat=compat),
        traffic_of(geometry, filters, rows, cols, code, buffers_bytes, compat=compat),
    )
