"""Operators of super-resolution networks, by hand."""

import pytest
import torch

from archwright.errors import SpaceError
from archwright.nets import build
from archwright.operators.conv import Conv
from archwright.operators.deviation_residual import DeviationResidual, RescaledShortcut
from archwright.operators.pixel_shuffle import PixelShuffle
from archwright.operators.quantized_conv import QuantizedConvNormAct


def test_pixel_shuffle_puts_neighbouring_channels_into_squares():
    x = torch.arange(8.0).reshape(1, 8, 1, 1)
    y = PixelShuffle(2).module((8, 1, 1))(x)
    assert y.tolist() == [[[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0], [6.0, 7.0]]]]


def test_pixel_shuffle_says_how_many_channels_it_needs():
    with pytest.raises(SpaceError, match="divisible by 9, got 12"):
        PixelShuffle(3).output((12, 4, 4))


def test_a_rescaled_shortcut_multiplies_by_the_deviation_of_each_example():
    join = RescaledShortcut().module((2, 4, 4), (2, 4, 4))
    x, y = torch.randn(3, 2, 4, 4) * torch.tensor([0.1, 1.0, 7.0]).reshape(3, 1, 1, 1), torch.randn(3, 2, 4, 4)
    deviation = x.std(dim=(1, 2, 3), unbiased=False).reshape(3, 1, 1, 1)
    torch.testing.assert_close(join(y, x), 1.5 * deviation * y + x, rtol=1e-4, atol=1e-5)


def test_a_constant_image_has_a_finite_gradient():
    join, x = RescaledShortcut().module((2, 4, 4), (2, 4, 4)), torch.ones(1, 2, 4, 4, requires_grad=True)
    join(torch.randn(1, 2, 4, 4), x).sum().backward()
    assert bool(torch.isfinite(x.grad).all())


def test_the_rescaled_residual_keeps_the_scale_of_its_input_where_batch_norm_alone_loses_it():
    torch.manual_seed(0)
    net = build(DeviationResidual(Conv(4, norm="none", activation="identity", bias=False)), (4, 8, 8)).train()
    x = torch.randn(4, 4, 8, 8)
    torch.testing.assert_close(net(10.0 * x), 10.0 * net(x), rtol=1e-3, atol=1e-3)


def test_a_quantized_convolution_without_norm_is_that_of_rounded_values():
    module = QuantizedConvNormAct(4, 6, 3, padding=1, bits=4, groups=2, norm="none", activation_first=True)
    x = torch.randn(2, 4, 5, 5)
    inputs, weight = module.rounded(x.relu()), module.rounded(module.conv.weight)
    want = torch.nn.functional.conv2d(inputs, weight, module.conv.bias, padding=1, groups=2)
    torch.testing.assert_close(module(x), want)
    assert len(inputs[0].unique()) <= 2**3  # zero and seven positive steps
