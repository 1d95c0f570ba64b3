import pytest
import torch
from torch import nn

from archwright.analysis.activation_range import (
    ActivationRange,
    activation_ranges,
    quantization_error,
    range_statistic_db,
)
from archwright.errors import ConfigurationError


def chain(spike=1.0, seed=0):
    """Three linear layers; one channel of the first is `spike` times as large, and as much smaller to the second."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(32, 64), nn.Linear(64, 64), nn.Linear(64, 8))
    with torch.no_grad():
        net[0].weight[0] *= spike
        net[0].bias[0] *= spike
        net[1].weight[:, 0] /= spike
    return net


X = torch.randn(512, 32, generator=torch.Generator().manual_seed(1))


def test_ranges_by_hand():
    net = nn.Sequential(nn.Flatten(), nn.Identity())
    (found,) = activation_ranges(net, torch.tensor([[3.0, -4.0]]))
    assert found == ActivationRange("0", 4.0, pytest.approx(12.5**0.5))
    assert found.predicted_error(8) == pytest.approx((4 / 127) ** 2 / 12 / 12.5)


def test_the_predicted_error_of_a_tensor_is_that_of_rounding_it():
    for bits in (4, 6, 8):
        (found,) = activation_ranges(nn.Sequential(nn.Flatten()), X)
        step = found.peak / (2 ** (bits - 1) - 1)
        measured = ((X / step).round() * step - X).square().sum() / X.square().sum()
        assert found.predicted_error(bits) == pytest.approx(float(measured), rel=0.05)


def test_the_statistic_ranks_networks_of_one_function_by_what_integers_lose():
    plain, spiky, worst = (chain(s) for s in (1.0, 10.0, 100.0))
    torch.testing.assert_close(worst(X), plain(X), rtol=1e-3, atol=1e-4)  # the same function, other ranges
    statistics = [range_statistic_db(activation_ranges(n, X)) for n in (plain, spiky, worst)]
    errors = [quantization_error(n, X, X) for n in (plain, spiky, worst)]
    assert statistics == sorted(statistics) and statistics[2] > statistics[0] + 3
    assert errors == sorted(errors) and errors[2] > 10 * errors[0]


def test_fewer_bits_lose_more_and_hooks_are_gone_afterwards():
    net = chain()
    before = net(X)
    errors = [quantization_error(net, X, X, bits) for bits in (10, 8, 6, 4)]
    assert errors == sorted(errors)
    assert torch.equal(net(X), before)


def test_a_network_without_outputs_is_refused():
    with pytest.raises(ConfigurationError, match="not all zero"):
        activation_ranges(nn.Sequential(nn.Flatten()), torch.zeros(2, 3))
