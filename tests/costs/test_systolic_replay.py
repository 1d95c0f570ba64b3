import numpy as np
import pytest

from archwright.costs import systolic
from archwright.costs.systolic import Window
from archwright.costs.systolic_replay import Buffer, Layer, filter_reads, input_reads, replayed_traffic

# Runs of SCALE-Sim 3.0.0, stall-free, made with benchmarks/scalesim_runs.py:
# input side, kernel, channels, filters, stride, rows, cols, dataflow, KiB of both read buffers, DRAM reads of each
RUNS = [
    (65, 3, 3, 32, 2, 24, 40, "is", 12, 20, 13167, 864),
    (65, 3, 3, 32, 2, 24, 40, "ws", 12, 20, 15759, 864),
    (34, 3, 16, 16, 1, 16, 16, "os", 32, 32, 19358, 2304),
    (34, 3, 16, 16, 1, 16, 16, "ws", 32, 32, 147281, 2304),
    (60, 5, 1, 1, 1, 8, 8, "ws", 4, 4, 13808, 25),
    (60, 5, 1, 1, 1, 8, 8, "os", 4, 4, 3844, 25),
    (65, 3, 3, 32, 2, 24, 40, "os", 12, 20, 12929, 864),
    (34, 3, 32, 64, 1, 32, 32, "ws", 64, 64, 589577, 18432),
    (56, 3, 24, 40, 2, 32, 16, "ws", 64, 64, 444363, 8640),
    (56, 3, 24, 40, 2, 32, 32, "os", 64, 64, 152663, 8640),
    (114, 3, 1, 1, 1, 24, 40, "ws", 12, 20, 13440, 9),
]


def asked_for(side, kernel, channels, stride, filters, rows, cols, dataflow):
    """Addresses of both operands in the order of a systolic array, by plain loops."""
    out = -(-(side - kernel + stride) // stride)
    positions = [(y * stride, x * stride) for y in range(out) for x in range(out)]
    elements = [(i, j, c) for i in range(kernel) for j in range(kernel) for c in range(channels)]
    window = len(elements)

    def pixel(n, w):
        y, x = positions[n][0] + elements[w][0], positions[n][1] + elements[w][1]
        return (y * side + x) * channels + elements[w][2] if y < side and x < side else None

    def skewed(lanes, steps, at):
        return [at(r, c - i) for c in range(steps + len(lanes)) for i, r in enumerate(lanes) if 0 <= c - i < steps]

    parts = lambda total, size: [range(s, min(s + size, total)) for s in range(0, total, size)]  # noqa: E731
    spatial = {"os": (len(positions), filters), "ws": (window, filters), "is": (window, len(positions))}[dataflow]
    inputs, weights = [], []
    for columns in parts(spatial[1], cols):
        for lanes in parts(spatial[0], rows):
            if dataflow == "os":
                inputs += skewed(lanes, window, pixel)
                weights += skewed(columns, window, lambda k, w: k * window + w)
            elif dataflow == "ws":
                inputs += skewed(lanes, len(positions), lambda w, n: pixel(n, w))
                weights += [k * window + w for w in reversed(lanes) for k in columns]
            else:
                inputs += [pixel(n, w) for w in reversed(lanes) for n in columns]
                weights += skewed(lanes, filters, lambda w, k: k * window + w)
    return [a for a in inputs if a is not None], weights


def flushed(addresses, capacity):
    held, reads = set(), 0
    for address in addresses:
        if address not in held:
            held.add(address)
            reads += 1
            if len(held) == capacity:
                held = set()
    return reads


def test_a_full_buffer_forgets_everything_by_hand():
    buffer = Buffer(3, 5)
    assert buffer.take(np.array([0, 1, 0, 2, 0, 1])) == 4  # full with 2, so the second 0 and 1 are read again
    assert buffer.reads == 5
    assert buffer.take(np.array([1, 0, 4, 4])) == 3
    assert buffer.reads == 7


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
@pytest.mark.parametrize(
    ("side", "kernel", "channels", "stride", "filters"),
    [(9, 3, 4, 1, 7), (10, 3, 3, 2, 12), (7, 1, 9, 1, 10), (8, 1, 6, 2, 5), (11, 5, 2, 3, 9)],
)
def test_replay_reads_what_plain_loops_read(side, kernel, channels, stride, filters, dataflow):
    out = -(-(side - kernel + stride) // stride)
    rows, cols = 6, 4
    layer = Layer(
        (out, out, kernel, kernel, channels, stride), filters, rows, cols,
        systolic.DATAFLOWS.index(dataflow), side, side,
    )  # fmt: skip
    inputs, weights = asked_for(side, kernel, channels, stride, filters, rows, cols, dataflow)
    for capacity in (7, 40, 100, 250, 10**6):
        assert input_reads(layer, capacity) == flushed(inputs, capacity)
        assert filter_reads(layer, capacity) == flushed(weights, capacity)


@pytest.mark.parametrize("run", RUNS, ids=lambda r: ".".join(map(str, r[:9])))
def test_replay_equals_the_simulator(run):
    side, kernel, channels, filters, stride, rows, cols, dataflow, input_kib, filter_kib, input_, weight = run
    out = -(-(side - kernel + stride) // stride)
    geometry = Window(*map(np.float64, (out, out, kernel, kernel, channels, stride)))
    sizes = (1024 * input_kib, 1024 * filter_kib, 1024 * 64)
    traffic = replayed_traffic(geometry, filters, rows, cols, dataflow, sizes, input_size=(side, side))
    assert (float(traffic.ifmap_reads), float(traffic.filter_reads)) == (input_, weight)


def test_repeated_passes_are_skipped_without_a_difference():
    pieces = np.random.default_rng(0).integers(0, 60, 500)
    for capacity in (5, 17, 33, 59):
        whole, short = Buffer(capacity, 60), Buffer(capacity, 60)
        for _ in range(40):
            whole.take(pieces)
        short.repeat(lambda size: iter(np.array_split(pieces, 7)), 40)
        assert short.reads == whole.reads == flushed(np.tile(pieces, 40).tolist(), capacity)
