import json

import numpy as np
import pytest

from archwright.costs import systolic
from archwright.costs.systolic import Window
from archwright.data import data_root
from archwright.errors import ConfigurationError

BIG = (np.array(1e9), np.array(1e9), np.array(1e9))


def cases():
    root = data_root()
    if root is None or not (root / "hw" / "scalesim.json").exists():
        pytest.skip("the SCALE-Sim cases are not below ARCHWRIGHT_DATA")
    return [c for c in json.loads((root / "hw" / "scalesim.json").read_text())["cases"] if c["mode"] == "CALC"]


def random_designs(seed, n=200):
    rng = np.random.default_rng(seed)
    pick = lambda low, high: rng.integers(low, high, n).astype(float)  # noqa: E731
    return pick(1, 900), pick(1, 700), pick(1, 600), pick(1, 130), pick(1, 130), rng.integers(0, 3, n)


def test_two_by_two_array_by_hand():
    # a (2, 3) x (3, 2) product: os needs one fold of 3 + 2 + 2 - 2 = 5 cycles, ws two folds of 2 + 2 + 2 + 2 - 2 = 6
    os = systolic.counts_of(2, 3, 2, 2, 2, "os")
    ws = systolic.counts_of(2, 3, 2, 2, 2, "ws")
    assert (os.cycles, ws.cycles) == (5, 12)
    assert os.utilisation_share == 12 / (5 * 4)
    assert (os.ifmap_reads, os.filter_reads, os.ofmap_writes) == (6, 6, 4)
    assert (ws.ifmap_reads, ws.filter_reads, ws.ofmap_writes) == (6, 6, 8)  # partial sums leave once a row fold


def test_input_stationary_is_weight_stationary_of_the_transposed_product():
    n, w, k, rows, cols, _ = random_designs(0)
    ours, other = systolic.counts_of(n, w, k, rows, cols, "is"), systolic.counts_of(k, w, n, rows, cols, "ws")
    assert np.array_equal(ours.cycles, other.cycles)
    assert np.array_equal(ours.ifmap_reads, other.filter_reads)


@pytest.mark.parametrize("dataflow", systolic.DATAFLOWS)
def test_an_array_of_codes_equals_the_name(dataflow):
    n, w, k, rows, cols, _ = random_designs(1)
    codes = np.full(len(n), systolic.DATAFLOWS.index(dataflow))
    for compat in (None, "scalesim"):
        by_name = systolic.counts_of(n, w, k, rows, cols, dataflow, compat=compat)
        by_code = systolic.counts_of(n, w, k, rows, cols, codes, compat=compat)
        for a, b in zip(by_name, by_code, strict=True):
            assert np.array_equal(a, b)


def test_work_is_conserved_and_utilisation_is_a_share():
    n, w, k, rows, cols, code = random_designs(2)
    c = systolic.counts_of(n, w, k, rows, cols, code)
    assert np.allclose(c.utilisation_share * c.cycles * rows * cols, n * w * k)
    assert (c.utilisation_share <= 1).all()


def test_a_larger_buffer_never_reads_more_from_dram():
    rng = np.random.default_rng(3)
    geo = Window(*(rng.integers(1, high, 300).astype(float) for high in (40, 40, 5, 5, 90, 3)))
    k, rows, cols = (rng.integers(1, 64, 300).astype(float) for _ in range(3))
    code = rng.integers(0, 3, 300)
    last = None
    for size in (1e9, 1e6, 1e3):
        t = systolic.traffic_of(geo, k, rows, cols, code, (np.array(size),) * 3)
        if last is not None:
            assert (t.ifmap_reads >= last.ifmap_reads).all()
            assert (t.filter_reads >= last.filter_reads).all()
        last = t


def test_with_room_for_everything_each_operand_is_read_once():
    geo = Window(14.0, 14.0, 3.0, 3.0, 64.0, 1.0)
    t = systolic.traffic_of(geo, 32.0, 16.0, 16.0, "os", BIG)
    assert (t.ifmap_reads, t.filter_reads, t.ofmap_writes) == (16 * 16 * 64, 9 * 64 * 32, 14 * 14 * 32)


def test_bandwidth_bounds_the_cycles_and_more_is_never_slower():
    t = systolic.Traffic(1000.0, 200.0, 50.0)
    slow, fast = (systolic.bounded_cycles(300.0, t, bw, (100.0, 100.0, 100.0)) for bw in (1.0, 2.0))
    assert (slow, fast) == (900.0, 450.0)


def test_an_unknown_dataflow_is_named_in_the_error():
    with pytest.raises(ConfigurationError, match="weight"):
        systolic.counts_of(1, 1, 1, 1, 1, "weight")


def test_cycles_are_differentiable_in_the_size_of_the_array():
    torch = pytest.importorskip("torch")
    rows = torch.tensor(16.0, dtype=torch.float64, requires_grad=True)
    cycles = systolic.cycles_of(1000.0, 576.0, 64.0, rows, 16.0, "ws")
    cycles.backward()
    assert cycles.item() == systolic.cycles_of(1000, 576, 64, 16, 16, "ws")
    assert rows.grad.item() < 0  # more rows, fewer folds


@pytest.mark.data
def test_scalesim_is_reproduced_to_the_cycle_and_to_the_access():
    found = cases()
    column = lambda key: np.array([c[key] for c in found], dtype=float)  # noqa: E731
    geo = Window(*(column(k) for k in ("ofh", "ofw", "fh", "fw", "c", "stride")))
    codes = np.array([systolic.DATAFLOWS.index(c["dataflow"]) for c in found])
    buffers = tuple(1024 * column(k) for k in ("if_kb", "fl_kb", "of_kb"))
    counts, traffic = systolic.run(geo, column("k"), column("rows"), column("cols"), codes, buffers, compat="scalesim")
    assert np.array_equal(counts.cycles, column("total_cycles"))
    assert np.array_equal(counts.ifmap_reads, column("sram_ifmap_reads"))
    assert np.array_equal(counts.filter_reads, column("sram_filter_reads"))
    assert np.array_equal(counts.ofmap_writes, column("sram_ofmap_writes"))
    ours = np.stack(traffic)
    theirs = np.stack([column(k) for k in ("dram_ifmap_reads", "dram_filter_reads", "dram_ofmap_writes")])
    assert (ours == theirs).mean() >= 0.9
    assert np.abs(ours / theirs - 1).max() <= 0.35
