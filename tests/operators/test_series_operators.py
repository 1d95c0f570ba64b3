"""Operators of forecasting networks against plain formulas, and the Transformer that the space calls default."""

import numpy as np
import pytest
import torch

from archwright.errors import SpaceError
from archwright.nets import build
from archwright.nets.build import program_of
from archwright.operators.linear import Linear
from archwright.operators.positional_encoding import PositionalEncoding
from archwright.operators.reshape import Reshape
from archwright.operators.sequential import Sequential
from archwright.operators.window_norm import WindowNorm
from archwright.spaces.autoformer_ts import autoformer_ts, default


def test_forecasts_move_and_grow_with_the_window():
    net = build(WindowNorm(Linear(5)), (3, 12), seed=0).double()
    x = torch.randn(4, 3, 12, dtype=torch.float64)
    shift, scale = torch.randn(4, 3, 1).double(), 0.5 + torch.rand(4, 3, 1).double()
    torch.testing.assert_close(net(scale * x + shift), scale * net(x) + shift, rtol=1e-4, atol=1e-4)  # up to 1e-5
    body = next(m for m in net.modules() if isinstance(m, torch.nn.Linear))
    mean, std = x.mean(2, keepdim=True), (x.var(2, keepdim=True, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(net(x), body((x - mean) / std) * std + mean)


def test_reshaped_series_are_patches_one_series_after_the_other():
    net = build(Sequential((Reshape((6, 4)),)), (2, 12), seed=0)
    x = torch.randn(3, 2, 12)
    tokens = net(x)
    for series in range(2):
        for patch in range(3):
            assert torch.equal(tokens[:, 3 * series + patch], x[:, series, 4 * patch : 4 * patch + 4])


def test_waves_are_those_of_the_transformer_and_begin_anew_with_each_run():
    module = PositionalEncoding("waves", 5).module((10, 6))
    got = module(torch.zeros(1, 10, 6))[0]
    for position in range(10):
        for channel in range(6):
            angle = (position % 5) / 10000 ** (2 * (channel // 2) / 6)  # Vaswani et al., 2017, section 3.5
            want = np.sin(angle) if channel % 2 == 0 else np.cos(angle)
            assert float(got[position, channel]) == pytest.approx(want, abs=1e-6)


def test_a_convolution_of_positions_never_looks_into_another_run():
    module = PositionalEncoding("conv", 4).module((8, 3)).eval()
    x = torch.randn(2, 8, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(module(x)[:, 3].sum(), x)
    assert bool(gradient[:, 2:4].any()) and not bool(gradient[:, 4:].any()) and not bool(gradient[:, :2].any())


def test_what_does_not_fit_is_named():
    with pytest.raises(SpaceError, match=r"got \(2, 12\), which has not as many values as its size \(5, 5\)"):
        Reshape((5, 5)).output((2, 12))
    with pytest.raises(SpaceError, match="must divide the 10 tokens, got 4"):
        PositionalEncoding("waves", 4).output((10, 6))
    with pytest.raises(SpaceError, match="must divide the 96 rows"):
        autoformer_ts((7, 96), 7 * 24, patch=25)
    with pytest.raises(SpaceError, match=r"got \(7, 96\), 24 outputs and horizon=0; search data of `forecast:`"):
        autoformer_ts((7, 96), 24)
    with pytest.raises(SpaceError, match=r"8 outputs and horizon=0"):
        autoformer_ts((1, 28, 28), 8)


def test_the_default_network_is_a_plain_transformer_over_patches():
    space = autoformer_ts((7, 96), 7 * 24, patch=24)
    assert space.size() == 80**2
    leaves = [s.leaf for s in program_of(default(space), (7, 96)).steps]
    names = [type(leaf).__name__ for leaf in leaves]
    encodings = [leaf.kind for leaf in leaves if type(leaf).__name__ == "PositionalEncoding"]
    assert encodings == ["waves", "none"] and names.count("Attention") == 2
    assert [leaf.activation for leaf in leaves if type(leaf).__name__ == "FFN"] == ["gelu", "gelu"]
    assert names.index("PositionalEncoding") < names.index("Attention")
    assert build(default(space), (7, 96))(torch.randn(2, 7, 96)).shape == (2, 7 * 24)


def test_fewer_forecasts_than_series_are_those_of_the_first():
    space = autoformer_ts((3, 24), 2 * 6, horizon=6, features=8, heads=2)
    net = build(default(space), (3, 24), seed=0).eval()
    x = torch.randn(4, 3, 24)
    y = net(x).unflatten(1, (2, 6))
    moved = net(x + torch.tensor([5.0, 0.0, 9.0])[None, :, None]).unflatten(1, (2, 6))
    torch.testing.assert_close(moved, y + torch.tensor([5.0, 0.0])[None, :, None], rtol=1e-4, atol=1e-4)
    other = torch.cat([x[:, :2], torch.randn(4, 1, 24)], dim=1)
    assert not torch.allclose(net(other).unflatten(1, (2, 6)), y)  # the third series is read all the same
