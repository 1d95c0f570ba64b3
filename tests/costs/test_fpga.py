from pathlib import Path

import numpy as np
import pytest

from archwright.costs import fpga
from archwright.costs.dataflow import Conv
from archwright.costs.fpga_cost import build_of
from archwright.errors import ConfigurationError
from archwright.platforms import load

BUILD = fpga.Build(pe=2.0, vec=4.0, reuse=3.0, frequency_hz=100.0, ddr_b_per_s=1000.0)
LAYER = Conv(3.0, 8.0, 1.0, 1.0, 2.0, 7.0)


def test_one_layer_by_hand():
    # two groups of filters x 2 rows x 3 column steps x 2 channel steps = 24 cycles at 100 Hz
    got = fpga.latency(LAYER, BUILD)
    assert got.compute_s == 24 / 100
    assert got.memory_s == (2 * 8 * 14 + 24 + 3 * 14) * 4 / 1000  # inputs once a group, weights, outputs
    assert got.total_s == max(got.compute_s, got.memory_s)


def test_short_reads_of_the_maps_are_slower_and_packed_weights_are_smaller():
    got = fpga.latency(LAYER, BUILD._replace(efficiency=0.5, weight_b=1.0))
    assert got.memory_s == (2 * 8 * 14 * 4 / 0.5 + 24 * 1 + 3 * 14 * 4) / 1000


def test_calibration_meets_its_own_measurement():
    build = fpga.calibrate(LAYER, BUILD, 5.0)
    assert fpga.latency(LAYER, build).total_s == pytest.approx(5.0)
    with pytest.raises(ConfigurationError, match=r"at full bandwidth the layers take 1.16 s; got 1 s"):
        fpga.calibrate(LAYER, BUILD, 1.0)


@pytest.mark.parametrize("board", ["arria10", "stratix10"])
def test_platforms_hold_the_efficiency_calibrated_on_resnet50(board, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    from fpga_networks import BOARDS, PUBLISHED_MS
    from networks import systolic_cnn

    layers, _ = systolic_cnn()["ResNet-50"]
    build = build_of(load(board))
    known = fpga.calibrate(layers, build, PUBLISHED_MS["ResNet-50"][BOARDS.index(board)] / 1e3)
    assert build.efficiency == pytest.approx(known.efficiency, abs=5e-4)


def test_exploration_finds_the_same_as_trying_everything():
    layers = Conv(*(np.array(v, dtype=float) for v in ([64, 256], [3, 64], [7, 1], [7, 1], [56, 28], [56, 28], [2, 1])))
    board = fpga.Board(dsp_blocks=600, memory_b=2e6, ddr_b_per_s=2e9)
    best, seconds = fpga.best_build(layers, board, 2e8)
    tried = [
        float(fpga.latency(layers, fpga.Build(p, v, r, 2e8, 2e9)).total_s.sum())
        for p in (4, 8, 16, 32, 64) for v in (4, 8, 16, 32) for r in range(1, 9)
        if p * v * r <= 600 and fpga.memory_b(fpga.Build(p, v, r, 2e8, 2e9), 147.0) <= 2e6
    ]  # fmt: skip
    assert seconds == pytest.approx(min(tried))
    assert fpga.dsp_blocks(best) <= 600
    with pytest.raises(ConfigurationError, match="no build fits"):
        fpga.best_build(layers, fpga.Board(10, 2e6, 2e9), 2e8)


def test_the_roof_is_below_every_latency():
    layer = Conv(*(np.random.default_rng(0).integers(1, 64, (7, 50)).astype(float)))
    assert (fpga.roof_s(layer, BUILD) <= fpga.latency(layer, BUILD).total_s * (1 + 1e-12)).all()
