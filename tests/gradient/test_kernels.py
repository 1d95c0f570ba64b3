"""Compiled kernels against float64, and the flow without them."""

import pytest
import torch
from torch.nn import functional as F

from archwright.nets import fast, kernels

needed = pytest.mark.skipif(not kernels.available(), reason="no C++ compiler here, so there are no compiled kernels")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def last(x):
    return x.contiguous(memory_format=torch.channels_last)


def close(found, exact, bound=3e-6):
    assert ((found.double() - exact).abs().max() / exact.abs().max()).item() < bound


@needed
@pytest.mark.parametrize("channels", [16, 20, 4, 6, 3])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_gradients(channels, kernel, dilation, stride):
    padding = dilation * (kernel // 2)
    x, w = torch.randn(3, channels, 11, 9), torch.randn(channels, 1, kernel, kernel)
    xd, wd = x.double().requires_grad_(), w.double().requires_grad_()
    y = F.conv2d(xd, wd, None, stride, padding, dilation, channels)
    g = torch.randn(y.shape)
    want_x, want_w = torch.autograd.grad(y, (xd, wd), g.double())
    close(kernels.weight_gradient(last(x), last(g), kernel, stride, padding, dilation), want_w)
    close(kernels.input_gradient(last(g), w, (11, 9), stride, padding, dilation), want_x)
    a, b = last(x).requires_grad_(), w.clone().requires_grad_()
    out = fast.depthwise(a, b, stride, padding, dilation)
    close(out.detach(), y.detach())
    got = torch.autograd.grad(out, (a, b), last(g))
    close(got[0], want_x)
    close(got[1], want_w)


@needed
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("channels", [16, 6])
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm(relu, channels, affine):
    norm = torch.nn.BatchNorm2d(channels, affine=affine).train()
    twin = torch.nn.BatchNorm2d(channels, affine=affine).double().train()
    if affine:
        with torch.no_grad():
            norm.weight.uniform_(0.5, 2.0)
            norm.bias.normal_()
            twin.load_state_dict(norm.state_dict())
    x = 3.0 * torch.randn(5, channels, 7, 6) + 10.0
    g, factor = torch.randn(x.shape), torch.tensor(0.7)
    a, s = last(x).requires_grad_(), factor.clone().requires_grad_()
    out = fast.normalised(a, [norm], s, relu=relu)
    ad, sd = x.double().requires_grad_(), factor.double().requires_grad_()
    exact = twin(ad) * sd
    exact = exact.relu() if relu else exact
    close(out.detach(), exact.detach(), 1e-5)
    got = torch.autograd.grad(out, [a, s, *norm.parameters()], last(g))
    want = torch.autograd.grad(exact, [ad, sd, *twin.parameters()], g.double())
    # the factor's gradient is a sum that may cancel: it may be off by one rounding of each term
    terms = (g.double() * exact.detach() / sd.detach()).abs().sum()
    assert (got[1].double() - want[1]).abs() <= torch.finfo(torch.float32).eps / 2 * terms
    for one, two in zip((got[0], *got[2:]), (want[0], *want[2:]), strict=True):
        close(one, two, 2e-5)
    close(norm.running_mean, twin.running_mean, 1e-5)
    close(norm.running_var, twin.running_var, 1e-5)
    assert norm.num_batches_tracked == twin.num_batches_tracked


def test_without_a_compiler_torch_is_used(monkeypatch):
    monkeypatch.setattr(kernels, "_library", lambda: None)
    assert not kernels.available() and not kernels.fits(last(torch.randn(2, 4, 5, 5)))
    x, w = last(torch.randn(2, 4, 6, 6)).requires_grad_(), torch.randn(4, 1, 3, 3, requires_grad=True)
    out = fast.depthwise(x, w, 2, 1, 1)
    assert torch.allclose(out, F.conv2d(x, w, None, 2, 1, 1, 4), atol=1e-6)
    out.sum().backward()
    assert x.grad is not None and w.grad is not None


def test_kernels_can_be_switched_off(monkeypatch):
    kernels._library.cache_clear()
    monkeypatch.setenv("ARCHWRIGHT_KERNELS", "off")
    assert not kernels.available()
    kernels._library.cache_clear()


def test_a_broken_compiler_is_silent(monkeypatch, tmp_path):
    kernels._library.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "/bin/false")
    assert not kernels.available()
    kernels._library.cache_clear()
