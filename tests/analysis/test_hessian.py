"""Lanczos against the dense Hessian."""

import numpy as np
import pytest
import torch
from torch import nn

from archwright.analysis.hessian import HessianProduct, hessian_top, lanczos, spectrum, top_eigenvalues
from archwright.errors import ConfigurationError
from archwright.tasks import load


def small_net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 10), nn.Tanh(), nn.Linear(10, 3)).double()
    assert 480 < sum(p.numel() for p in net.parameters()) < 520
    x = torch.randn(60, 12, dtype=torch.float64)
    y = torch.arange(60) % 3
    return net, [(x[:30] + y[:30, None], y[:30]), (x[30:] + y[30:, None], y[30:])]


def test_the_largest_eigenvalues_are_those_of_the_dense_hessian():
    net, batches = small_net()
    loss = nn.functional.cross_entropy
    product = HessianProduct(lambda x, y: loss(net(x), y), batches, list(net.parameters()))
    dense = product.dense()
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    flat = torch.nn.utils.parameters_to_vector(net.parameters()).detach()

    def whole(v):
        shapes, offset, given = {}, 0, {}
        for name, p in net.named_parameters():
            given[name] = v[offset : offset + p.numel()].view(p.shape)
            offset += p.numel()
        return loss(torch.func.functional_call(net, given | shapes, (x,)), y)

    exact = torch.autograd.functional.hessian(whole, flat).numpy()
    np.testing.assert_allclose(dense, exact, atol=1e-10)
    want = np.linalg.eigvalsh(exact)[::-1][:5]
    got = hessian_top(net, loss, batches, 5, steps=80)
    np.testing.assert_allclose(got, want, rtol=1e-3)


def test_lanczos_is_exact_on_a_known_spectrum():
    values = np.concatenate([np.linspace(-1, 1, 80), [5.0, 9.0]])
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(82, 82)))
    matrix = torch.from_numpy(rotation @ np.diag(values) @ rotation.T)
    np.testing.assert_allclose(top_eigenvalues(lambda v: matrix @ v, 82, 2, steps=40), [9.0, 5.0], rtol=1e-8)
    diagonal, beside = lanczos(lambda v: matrix @ v, 82, 82)
    full = np.linalg.eigvalsh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    np.testing.assert_allclose(full, np.sort(values), atol=1e-8)


def test_the_density_shows_bulk_and_outliers():
    values = torch.cat([torch.zeros(95), torch.tensor([4.0, 4.0, 8.0, 8.0, 8.0])]).double()
    found = spectrum(lambda v: values * v, 100, k=2, steps=10, starts=8)
    assert found.top[0] == pytest.approx(8.0)
    step = found.grid[1] - found.grid[0]
    assert found.density.sum() * step == pytest.approx(1.0, abs=0.02)
    assert found.density[np.abs(found.grid) < 1].sum() * step == pytest.approx(0.95, abs=0.05)


def test_too_many_eigenvalues_are_refused():
    with pytest.raises(ConfigurationError, match="raise steps"):
        top_eigenvalues(lambda v: v, 10, 11)


def test_a_trained_network_has_a_bulk_at_zero_and_one_outlier_less_than_classes():
    """Sagun et al., 2017, on the digits: ten classes, nine outliers."""
    task = load("digits")
    x, y = task.train.x[:600].flatten(1).double(), task.train.y[:600]
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)).double()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    product = HessianProduct(lambda a, b: nn.functional.cross_entropy(net(a), b), [(x, y)], list(net.parameters()))
    found = spectrum(product, product.size, k=15, steps=50, starts=2)
    assert found.outliers == 9 and found.bulk_share > 0.9
    assert "9 outliers" in str(found) and "around zero" in str(found)
