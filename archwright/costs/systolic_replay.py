"""DRAM reads of a systolic array by replaying its read buffers, element by element.

SCALE-Sim 3.0.0 in stall-free mode keeps the addresses that it has read in a buffer which is emptied at once when its
active half is full; an element that is asked for again after that is read from DRAM again. Where windows overlap, how
much is lost depends on the moment of every flush, so that `systolic.traffic_of` can only estimate it. Here the
addresses that the array asks for are produced in their order, fold by fold with the skew of the rows, and passed
through such a buffer. Passes that repeat are skipped once the moment of their last flush repeats.

The order of the addresses: an array row (or column) r sees time step t at cycle t + r; of one cycle the lower r comes
first. Column folds run outside, row folds inside. The stationary operand is loaded without skew, last line first.

A replay costs about 20 ns per element read (minutes for large layers on small arrays), where the closed form costs
less than 1 us per design. What is sure to fit its buffer, and weights that are read once, is not replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archwright.costs.arrays import Array
from archwright.costs.systolic import Traffic, Window, active_elements, dataflow_codes, traffic_of, unique_inputs

Addresses = NDArray[np.int64]
Pass = Callable[[int], Iterator[Addresses]]  # pieces of a pass, of about the given length, in the order of the reads

_NOTHING = -(1 << 40)  # marks a step at which a row asks for nothing
_PIECE = 1 << 15


class Layer(NamedTuple):
    """One layer on one array, in whole numbers; `tall` and `wide` are the input's size with its padding."""

    geometry: tuple[int, ...]
    filters: int
    rows: int
    cols: int
    code: int
    tall: int
    wide: int

    @property
    def n_out(self) -> int:
        """Output positions."""
        return self.geometry[0] * self.geometry[1]

    @property
    def window(self) -> int:
        """Products per output."""
        return self.geometry[2] * self.geometry[3] * self.geometry[4]


class Buffer:
    """Addresses held since the last flush; `capacity` elements, none is unbounded."""

    def __init__(self, capacity: int, addresses: int) -> None:
        self.capacity = capacity or 1 << 62
        self.held = 0
        self.reads = 0
        self._stamp = np.full(addresses, -1, dtype=np.int64)
        self._order = np.empty(addresses, dtype=np.int64)
        self._epoch = 0

    def take(self, piece: Addresses) -> int:
        """Read a piece in order; returns the position after its last flush, or -1 if there was none."""
        start, last = 0, -1
        while start < len(piece):
            part = piece[start:]
            absent = np.flatnonzero(self._stamp[part] != self._epoch)
            if not len(absent):
                break
            wanted = part[absent]
            self._order[wanted[::-1]] = absent[::-1]  # the first of equal addresses is written last
            first = absent[self._order[wanted] == absent]
            room = self.capacity - self.held
            if len(first) < room:
                self._stamp[part[first]] = self._epoch
                self.held += len(first)
                self.reads += len(first)
                break
            self.reads += room
            self.held = 0
            self._epoch += 1
            start += int(first[room - 1]) + 1
            last = start
        return last

    def repeat(self, one_pass: Pass, times: int) -> None:
        """Read the same pass `times` times; its state is known by the moment of its last flush."""
        size = int(min(max(self.capacity, 1 << 10), _PIECE))
        seen: dict[int, tuple[int, int]] = {}
        done = 0
        while done < times:
            position, flushed, before = 0, -1, self.reads
            for piece in one_pass(size):
                last = self.take(piece)
                flushed = position + last if last >= 0 else flushed
                position += len(piece)
            done += 1
            if self.reads == before:
                return
            if flushed in seen and flushed >= 0:
                earlier, reads = seen[flushed]
                whole = (times - done) // (done - earlier)
                self.reads += whole * (self.reads - reads)
                done += whole * (done - earlier)
                seen = {}
            elif flushed >= 0:
                seen[flushed] = done, self.reads


def _skewed(
    steps: Addresses, lanes: Addresses, valid: Callable[[Addresses], Addresses], size: int
) -> Iterator[Addresses]:
    """Addresses steps[t] + lanes[r] in the order of cycle t + r, then r."""
    gap = np.full(len(lanes) - 1, _NOTHING, dtype=np.int64)
    padded = np.concatenate([gap, steps, gap])
    shown = np.lib.stride_tricks.sliding_window_view(padded, len(lanes))[:, ::-1]
    each = max(1, size // len(lanes))
    for start in range(0, len(shown), each):
        piece = (shown[start : start + each] + lanes).reshape(-1)
        yield valid(piece[piece >= 0])


def _input_parts(layer: Layer) -> tuple[Addresses, Addresses, int]:
    """Address parts of output positions and of window elements, in a plane wide enough for windows past the edge."""
    height, width, tall, wide, channels, stride = layer.geometry
    across = (width - 1) * stride + wide
    row, col = np.divmod(np.arange(height * width), width)
    outputs = (row * stride * across + col * stride) * channels
    line, rest = np.divmod(np.arange(layer.window), wide * channels)
    elements = line * across * channels + rest
    return outputs, elements, across * ((height - 1) * stride + tall) * channels


def _inside(layer: Layer) -> Callable[[Addresses], Addresses]:
    """Drops addresses beyond the input, which windows past its edge have."""
    height, width, tall, wide, channels, stride = layer.geometry
    across, down = (width - 1) * stride + wide, (height - 1) * stride + tall
    if across <= layer.wide and down <= layer.tall:
        return lambda piece: piece
    line = across * channels
    return lambda piece: piece[(piece < line * layer.tall) & (piece % line < layer.wide * channels)]


def _folds(total: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def input_reads(layer: Layer, capacity: int) -> int:
    """DRAM reads of the input."""
    outputs, elements, addresses = _input_parts(layer)
    valid = _inside(layer)
    buffer = Buffer(capacity, addresses)
    if layer.code == 2:

        def loads(size: int) -> Iterator[Addresses]:
            for columns in _folds(layer.n_out, layer.cols):
                for lines in _folds(layer.window, layer.rows):
                    block = elements[lines][::-1, None] + outputs[columns]
                    yield valid(block.reshape(-1))

        buffer.repeat(loads, 1)
        return buffer.reads

    def streams(size: int) -> Iterator[Addresses]:
        across, steps = (outputs, elements) if layer.code == 0 else (elements, outputs)
        for lanes in _folds(len(across), layer.rows):
            yield from _skewed(steps, across[lanes], valid, size)

    buffer.repeat(streams, -(-layer.filters // layer.cols))
    return buffer.reads


def filter_reads(layer: Layer, capacity: int) -> int:
    """DRAM reads of the weights."""
    window, filters = layer.window, layer.filters
    passes = -(-layer.n_out // (layer.rows if layer.code == 0 else layer.cols))
    if layer.code == 1 or passes == 1:
        return window * filters
    buffer = Buffer(capacity, window * filters)
    elements, kernels = np.arange(window), np.arange(filters) * window

    if layer.code == 0:
        for columns in _folds(filters, layer.cols):
            buffer.repeat(partial(_skewed, elements, kernels[columns], _all), passes)
        return buffer.reads

    def streams(size: int) -> Iterator[Addresses]:
        for lines in _folds(window, layer.rows):
            yield from _skewed(kernels, elements[lines], _all, size)

    buffer.repeat(streams, passes)
    return buffer.reads


def _all(piece: Addresses) -> Addresses:
    return piece


def replayed_traffic(
    geometry: Window,
    filters: Array,
    rows: Array,
    cols: Array,
    dataflow: str | Array,
    buffers_bytes: tuple[Array, Array, Array],
    *,
    input_size: tuple[Array, Array] | None = None,
    word_bytes: float = 1.0,
) -> Traffic:
    """DRAM accesses of a stall-free SCALE-Sim run; arguments as in `systolic.traffic_of`, whole numbers.

    `input_size` is the height and width of the input with its padding, where windows reach past it.
    """
    code = dataflow_codes(dataflow)
    traffic = traffic_of(geometry, filters, rows, cols, code, buffers_bytes, word_bytes=word_bytes, compat="scalesim")
    tall = (geometry.height - 1) * geometry.stride + geometry.kernel_height
    wide = (geometry.width - 1) * geometry.stride + geometry.kernel_width
    tall, wide = (tall, wide) if input_size is None else input_size
    room = [active_elements(size, word_bytes=word_bytes) for size in buffers_bytes[:2]]
    values = [*geometry, filters, rows, cols, code, tall, wide, *room]
    shape = np.broadcast_shapes(*(np.shape(v) for v in values))
    table = np.stack([np.broadcast_to(np.asarray(v), shape).reshape(-1) for v in values]).astype(np.int64)
    ifmap, weights = np.empty(table.shape[1]), np.empty(table.shape[1])
    for i, column in enumerate(table.T.tolist()):
        layer = Layer(tuple(column[:6]), *column[6:12])
        touched = int(unique_inputs(Window(*column[:6])))
        past_edge = input_size is not None
        ifmap[i] = touched if touched < column[12] and not past_edge else input_reads(layer, column[12])
        held = layer.window * layer.filters
        weights[i] = held if held < column[13] else filter_reads(layer, column[13])
    return Traffic(ifmap.reshape(shape), weights.reshape(shape), np.broadcast_to(traffic.ofmap_writes, shape))
