from dataclasses import replace

import numpy as np
import pytest

from archwright.errors import ConfigurationError
from archwright.simulators.dram import OPTIONS, Controller, Request, controller_space, simulate
from archwright.simulators.dram_device import LINES, Power, Timing
from archwright.simulators.dram_traces import of_network, synthetic
from archwright.space import Space

T = Timing()
PLAIN = Controller(arbiter="Simple", refresh_policy="NoRefresh")
ROW = LINES * 16  # lines until the next row of the same bank


def end_cycle(*requests, design=PLAIN):
    return simulate([Request(*r) for r in requests], design).cycles


def test_the_space_has_archgyms_size():
    assert Space(controller_space()).size() == 442_368


def test_a_read_of_a_closed_bank_by_hand():
    assert end_cycle((0, 0, False)) == T.rcd + T.cl + T.burst == 38


def test_a_write_takes_the_write_latency():
    assert end_cycle((0, 0, True)) == T.rcd + T.cwl + T.burst


def test_a_row_hit_waits_for_the_column_gap_only():
    assert end_cycle((0, 0, False), (0, 1, False)) == T.rcd + T.ccd_l + T.cl + T.burst


def test_a_row_conflict_waits_for_precharge_and_activation():
    assert end_cycle((0, 0, False), (0, ROW, False)) == T.ras + T.rp + T.rcd + T.cl + T.burst


def test_closing_early_makes_the_same_conflict_no_slower():
    closed = replace(PLAIN, page_policy="Closed")
    assert end_cycle((0, 0, False), (60, ROW, False), design=closed) < end_cycle((0, 0, False), (60, ROW, False))


def test_a_read_after_a_write_waits_for_the_turnaround():
    assert end_cycle((0, 0, True), (0, 1, False)) == T.rcd + T.cwl + T.burst + T.wtr_l + T.cl + T.burst


def test_two_banks_overlap_their_activations():
    two = end_cycle((0, 0, False), (0, LINES, False))  # bank 1 is in another group
    assert two == T.rrd_s + T.rcd + T.cl + T.burst


def test_a_fifth_activation_waits_for_the_window():
    five = [(0, b * LINES, False) for b in range(5)]
    assert end_cycle(*five) >= T.faw + T.rcd + T.cl + T.burst


def test_a_due_refresh_blocks_and_a_postponed_one_does_not():
    busy = [Request(i * 40, i % LINES, False) for i in range(400)]  # 16,000 cycles: one refresh interval ends inside
    strict, patient = (
        simulate(busy, replace(PLAIN, refresh_policy="AllBank", refresh_max_postponed=p, refresh_max_pulledin=1))
        for p in (1, 8)
    )
    free = simulate(busy, PLAIN)
    assert strict.latency_ns > patient.latency_ns >= free.latency_ns
    assert strict.power_w > free.power_w


def test_row_hits_first_helps_interleaved_rows():
    mixed = [Request(0, (i % 2) * ROW + i, False) for i in range(40)]
    fifo, hits = (simulate(mixed, replace(PLAIN, scheduler=s, request_buffer_size=64)) for s in ("Fifo", "FrFcfs"))
    assert hits.row_hit_share > 0.9
    assert hits.cycles < fifo.cycles / 3


def test_responses_in_order_wait_for_the_slow_one():
    # the hit to bank 0 overtakes the conflict before it, but may only leave after it
    requests = [(0, 0, False), (0, ROW, False), (0, 1, False)]
    design = replace(PLAIN, scheduler="FrFcfs")
    inorder, free = (
        simulate([Request(*r) for r in requests], replace(design, resp_queue=q)) for q in ("Fifo", "Reorder")
    )
    assert inorder.latency_ns > free.latency_ns
    assert inorder.cycles == free.cycles


def test_one_transaction_at_a_time_is_the_slowest():
    trace = synthetic("random", 200, gap=6.0)
    one, many = (simulate(trace, Controller(max_active_transactions=n)) for n in (1, 64))
    assert one.latency_ns > many.latency_ns


def test_energy_of_one_read_by_hand():
    p = Power()
    scale = p.vdd * p.chips * T.clock_ns * 1e-3
    act = (p.idd0_ma * 56 - p.idd3n_ma * 39 - p.idd2n_ma * 17) * scale
    read = (p.idd4r_ma - p.idd3n_ma) * 4 * scale
    standby = (p.idd2n_ma + (38 / (16 * 38)) * (p.idd3n_ma - p.idd2n_ma)) * 38 * scale
    got = simulate([Request(0, 0, False)], PLAIN)
    assert got.energy_uj == pytest.approx(1e-3 * (act + read + standby), rel=1e-9)
    assert got.power_w == pytest.approx(1e-6 * got.energy_uj / (38 * T.clock_ns * 1e-9), rel=1e-9)


@pytest.mark.parametrize("kind", ["stream", "random"])
def test_every_option_runs_and_serves_everything(kind):
    trace = synthetic(kind, 120)
    rng = np.random.default_rng(0)
    for _ in range(60):
        design = Controller(**{k: v[rng.integers(len(v))] for k, v in OPTIONS.items()})
        got = simulate(trace, design)
        assert got.latency_ns >= (T.cwl + T.burst) * T.clock_ns
        assert 0 <= got.row_hit_share <= 1
        assert got.cycles >= trace[-1].arrival


def test_streams_hit_rows_and_random_accesses_do_not():
    stream, random = (simulate(synthetic(k, 400), Controller()).row_hit_share for k in ("stream", "random"))
    assert stream > 0.9
    assert random < 0.1


def test_a_networks_trace_reads_and_writes_its_tensors():
    nn = pytest.importorskip("torch").nn
    from archwright.costs.kernels import kernels_of_module

    k = kernels_of_module(nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 3)), (3, 32, 32))
    trace = of_network(k, 500)
    writes = sum(r.write for r in trace) / len(trace)
    assert writes == pytest.approx(k.outputs.sum() / (k.inputs + k.weights + k.outputs).sum(), abs=0.1)
    assert simulate(trace, Controller()).row_hit_share > 0.5


def test_wrong_designs_and_traces_are_refused():
    with pytest.raises(ConfigurationError, match="did you mean 'FrFcfs'"):
        simulate([Request(0, 0, False)], Controller(scheduler="FrFcf"))
    with pytest.raises(ConfigurationError, match="ordered by arrival"):
        simulate([Request(5, 0, False), Request(0, 0, False)], Controller())
    with pytest.raises(ConfigurationError, match="gap > 0"):
        synthetic("stream", gap=0)
