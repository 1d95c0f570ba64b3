import numpy as np

from archwright.costs import tiles
from archwright.costs.decoder import Decoder, decoder
from archwright.platforms import load

MI300X = load("mi300x").tiles


def time_of(rows, cols, depth):
    return tiles.slowdown(rows, cols, depth, MI300X) * rows * cols * depth


def test_time_never_falls_when_a_dimension_grows():
    widths = np.arange(1, 3000, 7).astype(float)
    for at in range(3):
        shape = [1000.0, 1000.0, 1000.0]
        shape[at] = widths
        times = time_of(*shape)
        assert (np.diff(times) >= -1e-9 * times[1:]).all()


def test_a_whole_tile_is_more_efficient_than_one_column_more():
    # 16 x 19 tiles of 256 x 256 fill the 304 units exactly once; one column more needs a second wave or smaller tiles
    fits, over = tiles.slowdown(4096.0, 4864.0, 4096.0, MI300X), tiles.slowdown(4096.0, 4865.0, 4096.0, MI300X)
    assert 1 == fits < over


def test_published_models_are_well_sized_and_crooked_ones_are_named():
    assert tiles.well_sized(decoder("llama-3.1-8b"), MI300X)
    crooked = Decoder(4000, 32, 32, 8, 125, 11000, 2, 50257)
    broken = [rule for rule, off in tiles.badly_sized(crooked, MI300X).items() if off]
    assert broken == [
        "head_dim is not a multiple of 64", "hidden is not a multiple of 64",
        "ffn per device is not a multiple of 64", "vocab is not a multiple of 64",
    ]  # fmt: skip
    many = Decoder(np.array([4096, 4000]), 32, 32, 8, 128, 14336, 2, 128256)
    assert tiles.well_sized(many, MI300X).tolist() == [True, False]


def test_efficiency_is_read_in_whole_tiles_and_rises_with_them():
    # 304 units, tiles from 256 x 256 down: as many as fill the device, and whole multiples of them, are never worse
    sizes = 256.0 * 2 ** np.arange(8)
    efficiency = 1 / tiles.slowdown(sizes, sizes, sizes, MI300X)
    assert (np.diff(efficiency) >= 0).all() and efficiency[-1] > 0.8
    small = np.arange(1.0, 65.0)  # within the narrowest tile the time is one constant: a step, not a slope
    assert len(np.unique(time_of(small, 4096.0, 4096.0).round(3))) <= 2
    steps = np.unique(time_of(np.arange(1.0, 4097.0), 4096.0, 4096.0).round(3))
    assert len(steps) < 64
