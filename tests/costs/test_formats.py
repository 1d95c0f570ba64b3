from dataclasses import replace

import numpy as np
import pytest

from archwright.costs import energy
from archwright.errors import ConfigurationError
from archwright.formats import (
    FORMATS,
    block_scales,
    hadamard,
    nearest_values,
    number_format,
    qsnr_db,
    quantize,
    to_shifts,
)

GAUSS = np.random.default_rng(0).normal(size=(256, 256))


def test_every_value_of_e2m1_is_listed():
    assert FORMATS["mxfp4"].grid.tolist() == [-6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6]


def test_e2m3_and_e4m3_end_where_the_standards_say():
    assert (FORMATS["mxfp6"].largest, FORMATS["mxfp6"].grid[32]) == (7.5, 0.125)
    assert (FORMATS["mxfp8"].largest, len(FORMATS["mxfp8"].grid)) == (448.0, 253)


@pytest.mark.parametrize("name", FORMATS)
def test_every_code_point_is_listed_once_with_its_value(name):
    f = FORMATS[name]
    codes = f.code_points
    assert len(codes) == 2**f.bits
    sign = 2 ** (f.bits - 1)
    for code, value in enumerate(codes.tolist()):
        magnitude, negative = code % sign, code >= sign
        if f.exponent == 0:
            expected = code - 2 * sign if negative else code
            unused = code == sign  # clipped to [-127, 127] and alike
        else:
            e, m, bias = magnitude >> f.mantissa, magnitude % 2**f.mantissa, 2 ** (f.exponent - 1) - 1
            expected = (m if e == 0 else m + 2**f.mantissa) * 2.0 ** (max(e, 1) - bias - f.mantissa)
            expected = -expected if negative else expected
            unused = (f.exponent, f.mantissa, magnitude) == (4, 3, 127)
        assert np.isnan(value) if unused else value == expected, (code, value)
    assert np.array_equal(np.unique(codes[~np.isnan(codes)]), f.grid)


def test_codes_of_e4m3_equal_torch():
    torch = pytest.importorskip("torch")
    theirs = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).double().numpy()
    assert np.array_equal(theirs, FORMATS["mxfp8"].code_points, equal_nan=True)


@pytest.mark.parametrize("name", ["mxint8", "mxint6", "mxint4"])
def test_symmetric_clipping_is_an_option_and_removes_the_bias(name):
    clipped, full = FORMATS[name], replace(FORMATS[name], symmetric=False)
    top = 2 ** (clipped.bits - 1) - 1
    assert (clipped.grid[0], clipped.grid[-1]) == (-top, top)
    assert (full.grid[0], full.grid[-1]) == (-top - 1, top)
    assert np.array_equal(quantize(-GAUSS, clipped), -quantize(GAUSS, clipped))
    worst = np.concatenate([np.full(32, 0.999), np.full(32, -0.999)])
    assert quantize(worst, clipped).mean() == 0.0
    assert quantize(worst, full).mean() < 0.0  # -1 has a code, +1 has none


@pytest.mark.parametrize(
    ("name", "bits"), [("mxint8", 8.25), ("mxfp4", 4.25), ("nvfp4", 4.5), ("nvint4", 4.5), ("int8", 8)]
)
def test_effective_bits_count_the_shared_scale(name, bits):
    assert FORMATS[name].effective_bits == bits


def test_rounding_to_e4m3_equals_torch():
    torch = pytest.importorskip("torch")
    x = torch.randn(20000, generator=torch.Generator().manual_seed(0)) * 100
    ours = nearest_values(x.double().numpy(), FORMATS["fp8_e4m3"].grid)
    assert np.array_equal(ours, x.clamp(-448, 448).to(torch.float8_e4m3fn).double().numpy())


@pytest.mark.parametrize("name", FORMATS)
def test_quantized_values_lie_on_the_scaled_grid_and_are_fixed_points(name):
    f, values = number_format(name), GAUSS[:24]
    q = quantize(values, f)
    blocks = q.reshape(1, -1) if not f.block else q.reshape(-1, f.block)
    original = values.reshape(blocks.shape)
    scaled = blocks / block_scales(original, f)
    distance = np.abs(scaled[..., None] - f.grid).min(axis=-1)
    assert distance.max() < 1e-9
    assert np.abs(q - values).max() <= np.abs(values).max()


def test_a_ragged_last_block_is_quantized_on_its_own():
    x = np.concatenate([np.full(32, 100.0), [1.0, 2.0]])
    assert quantize(x, FORMATS["mxint8"])[-1] == 2.0


def test_integers_win_at_eight_bits_and_rotation_decides_at_four():
    assert qsnr_db(GAUSS, FORMATS["mxint8"]) > qsnr_db(GAUSS, FORMATS["mxfp8"]) + 5
    assert qsnr_db(GAUSS, FORMATS["mxfp4"]) > qsnr_db(GAUSS, FORMATS["mxint4"])
    outliers = GAUSS.copy()
    outliers[:, ::23] *= 30
    assert qsnr_db(outliers, FORMATS["nvfp4"]) > qsnr_db(outliers, FORMATS["nvint4"])
    assert qsnr_db(hadamard(outliers), FORMATS["nvint4"]) > qsnr_db(outliers, FORMATS["nvfp4"])


def test_the_rotation_keeps_lengths_and_undoes_itself():
    assert np.allclose(np.square(hadamard(GAUSS)).sum(), np.square(GAUSS).sum())
    assert np.allclose(hadamard(hadamard(GAUSS)), GAUSS)
    with pytest.raises(ConfigurationError, match="power of two"):
        hadamard(GAUSS, 12)


def test_shift_weights_are_signed_powers_of_two():
    w = to_shifts(np.array([0.0, 0.3, -0.7, 1.0, -0.09]))
    assert w.tolist() == [0.0, 0.25, -0.5, 1.0, -0.125]


def test_shift_and_add_blocks_save_at_least_thirty_percent():
    # ShiftAddViT: additions in attention, half of the tokens through shift experts (a DeiT-tiny block)
    dense = sum(energy.transformer_block_pj(197, 192, 768).values())
    mixed = sum(energy.transformer_block_pj(197, 192, 768, attention="add", ffn="moe", shift_share=0.5).values())
    assert 1 - mixed / dense >= 0.3
    assert sum(energy.transformer_block_pj(197, 192, 768, attention="add", ffn="shift").values()) < mixed


def test_a_shift_costs_less_than_a_product_and_wider_costs_more():
    assert energy.shift_pj(8.0) < energy.int_mul_pj(8.0, 8.0)
    assert energy.format_mac(FORMATS["mxint4"]).pj < energy.format_mac(FORMATS["mxint8"]).pj
    assert energy.format_mac(FORMATS["mxint8"]).um2 < energy.format_mac(FORMATS["mxfp8"]).um2
