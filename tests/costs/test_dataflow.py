import numpy as np
import pytest

from archwright.costs import dataflow, row_stationary
from archwright.costs.dataflow import Conv, Engine
from archwright.errors import ConfigurationError

WIDE = Engine(pes=64.0, noc_per_cycle=1e9, memory_per_cycle=1e9, l2_size=1e9)


def random_layers(seed, n=200):
    rng = np.random.default_rng(seed)
    return Conv(*(rng.integers(1, high, n).astype(float) for high in (300, 300, 6, 6, 60, 60, 3)))


def test_weight_stationary_by_hand():
    # 2 clusters of 4 channels; 6 filters, 8 channels, 3x3, 5x5 outputs: 25 positions x 3 folds x 2 folds, 9 cycles each
    laid = dataflow.nvdla_plan(Conv(6.0, 8.0, 3.0, 3.0, 5.0, 5.0), 8.0, 4.0)
    assert laid.steps * laid.step_cycles == 25 * 3 * 2 * 9
    assert laid.l2_weight_reads == 6 * 8 * 9
    assert laid.l2_output_writes == 6 * 25 * 2
    assert laid.l2_input_reads == 8 * 5 * 3 * 7 * 3  # five lines of windows over three rows of seven, for three folds


def test_output_stationary_by_hand():
    # 8 rows x 8 columns; 10x9 outputs: 2 x 2 tiles for every pair of filter and channel
    laid = dataflow.shidiannao_plan(Conv(2.0, 3.0, 3.0, 3.0, 10.0, 9.0), 64.0)
    assert laid.steps * laid.step_cycles == 2 * 3 * 4 * 9
    assert laid.l2_input_reads == 2 * 3 * 11 * (10 * 3 - 8 * 2)  # neighbours share two of three rows inside a tile


def test_an_image_is_unrolled_along_the_kernel_but_not_in_maestro():
    first = Conv(64.0, 3.0, 7.0, 7.0, 112.0, 112.0, 2.0)
    ours, theirs = (dataflow.nvdla_plan(first, 2048.0, compat=c) for c in (None, "maestro"))
    assert ours.steps * ours.step_cycles * 7 == theirs.steps * theirs.step_cycles


@pytest.mark.parametrize("template", dataflow.TEMPLATES)
def test_no_template_beats_its_multipliers(template):
    layer = random_layers(0)
    run = dataflow.run(layer, template, WIDE._replace(pes=168.0))
    assert (run.cycles * 168 >= layer.macs).all()
    assert (run.utilisation_share <= 1).all()


@pytest.mark.parametrize("template", dataflow.TEMPLATES)
@pytest.mark.parametrize("field", ["noc_per_cycle", "memory_per_cycle", "l2_size"])
def test_more_bandwidth_or_buffer_is_never_slower(template, field):
    layer = random_layers(1)
    small = Engine(168.0, 8.0, 4.0, 5e4)
    large = small._replace(**{field: 2 * getattr(small, field)})
    before, after = (dataflow.run(layer, template, e) for e in (small, large))
    assert (after.cycles <= before.cycles * (1 + 1e-12)).all()


@pytest.mark.parametrize("template", ["nvdla", "shidiannao"])
def test_more_multipliers_never_compute_longer(template):
    layer = random_layers(2)
    last = None
    for pes in (64.0, 128.0, 512.0, 4096.0):
        cycles = dataflow.run(layer, template, WIDE._replace(pes=pes)).cycles
        assert last is None or (cycles <= last * (1 + 1e-12) + 1e-3).all()
        last = cycles


def test_memory_traffic_by_hand():
    # weights 400, inputs 100, outputs 100; a quarter holds 100: four pieces of weights, or one of inputs
    layer = Conv(4.0, 100.0, 1.0, 1.0, 1.0, 1.0)
    assert dataflow.memory_traffic(layer, 400.0) == 400 + 100 + 4
    both_large = Conv(20.0, 20.0, 1.0, 1.0, 5.0, 4.0)  # 400 weights, 400 inputs, 400 outputs: four pieces either way
    assert dataflow.memory_traffic(both_large, 400.0) == 400 + 4 * 400 + 400


# Chen et al., JSSC 2017, table V: processing latency in ms, batch 4, 200 MHz (as recalled in the reference data)
ALEXNET = {
    "CONV1": (Conv(96.0, 3.0, 11.0, 11.0, 55.0, 55.0, 4.0, 1.0, 4.0), 16.5),
    "CONV3": (Conv(384.0, 256.0, 3.0, 3.0, 13.0, 13.0, 1.0, 1.0, 4.0), 21.8),
    "CONV5": (Conv(128.0, 192.0, 3.0, 3.0, 13.0, 13.0, 1.0, 2.0, 4.0), 10.0),
}


@pytest.mark.parametrize("name", ALEXNET)
def test_eyeriss_chip_latency_is_within_fifteen_percent(name):
    layer, published_ms = ALEXNET[name]
    got = float(row_stationary.row_stationary_cycles(layer, row_stationary.Chip())) / 200e3
    assert got == pytest.approx(published_ms, rel=0.15)


def test_eyeriss_mapping_of_conv3_is_the_published_one():
    m = row_stationary.map_layer(ALEXNET["CONV3"][0], row_stationary.Chip())
    assert (m.strip, m.sets, m.channels, m.images) == (13, 4, 4, 4)


def test_an_unknown_template_is_an_error_with_the_nearest_name():
    with pytest.raises(ConfigurationError, match="did you mean 'eyeriss'"):
        dataflow.run(random_layers(3), "eyeris", WIDE)
