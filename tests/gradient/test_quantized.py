"""Bits as decisions (QuantNAS): noise in one call, shared weights, bit operations in the loss."""

import numpy as np
import pytest
import torch

from archwright.costs.bit_policy import BitPolicy
from archwright.gradient import GradientSearch
from archwright.gradient.penalties.cost import Budget
from archwright.gradient.recipes import recipe
from archwright.nets import Supernet, build
from archwright.nets.mixing import Mixing, one_hot
from archwright.operators.head import Classifier
from archwright.operators.quantized_conv import QuantizedConv, QuantizedConvNormAct
from archwright.operators.sequential import Sequential
from archwright.space import Space, oneof

IMAGE = (3, 8, 8)


def bits_space(outputs=4):
    layers = (QuantizedConv(6, bits=oneof(2, 4, 8, name="first")), QuantizedConv(6, bits=oneof(2, 4, 8, name="second")))
    return Space(Sequential((*layers, Classifier(outputs))))


def test_values_lie_on_the_grid_of_their_bits():
    net = QuantizedConvNormAct(3, 4, 3, bits=3)
    x = torch.randn(1, 3, 5, 5)
    found = net.rounded(x).detach()
    assert len(found.unique()) <= 2**3 - 1
    assert float((found - x).abs().max()) <= float(net.step(x, 3)) / 2 + 1e-6
    assert float((net.rounded(x) - x).abs().max()) > float(
        (QuantizedConvNormAct(3, 4, 3, bits=8).rounded(x) - x).abs().max()
    )


def test_noise_of_a_mixture_has_the_weighted_step_and_a_gradient_to_the_shares():
    net = QuantizedConvNormAct(3, 4, 3).train()
    shares = torch.tensor([0.25, 0.75], requires_grad=True)
    net.mixed = ((2, 8), shares)
    x = torch.randn(1, 3, 256, 256)
    noise = net.rounded(x) - x
    step = 0.25 * net.step(x, 2) + 0.75 * net.step(x, 8)
    assert float(noise.detach().abs().max()) <= float(step) / 2 + 1e-6
    assert float(noise.detach().std()) == pytest.approx(float(step) / 12**0.5, rel=0.02)
    (gradient,) = torch.autograd.grad(noise.abs().mean(), shares)
    assert float(gradient[0]) > float(gradient[1]) > 0.0


def test_a_choice_of_bits_shares_weights_and_is_one_call(monkeypatch):
    space = bits_space()
    net = Supernet(space, IMAGE)
    assert sum(p.numel() for p in net.parameters()) == sum(
        p.numel() for p in build(space.largest(), IMAGE).parameters()
    )
    plain, calls = torch.nn.functional.conv2d, []
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda *a, **k: calls.append(1) or plain(*a, **k))
    weights = {d.path: torch.full((3,), 1 / 3) for d in space.decisions}
    counts = []
    for entangled in (True, False):
        net.mixture(torch.randn(2, *IMAGE), weights, Mixing(entangled))
        calls.clear()
        net.mixture(torch.randn(2, *IMAGE), weights, Mixing(entangled))
        counts.append(len(calls))
    assert counts == [2, 6]


def test_one_hot_shares_round_as_the_network_does():
    space = bits_space()
    net = Supernet(space, IMAGE).eval()
    x = torch.randn(2, *IMAGE)
    for a in space.sample(4, np.random.default_rng(0)):
        torch.testing.assert_close(net.mixture(x, one_hot(a), Mixing(True)), net(x, a), rtol=1e-5, atol=1e-5)


def test_bit_operations_by_hand():
    space = bits_space()
    cost = BitPolicy(space, IMAGE, bits=8)
    a = space.architecture({"first": 2, "second": 4})
    macs = 6 * 3 * 9 * 64 * 2**2 + 6 * 6 * 9 * 64 * 4**2 + 6 * 4 * 8**2
    assert cost.evaluate(a.code[None])["bit_operations_gbops"][0] == pytest.approx(macs / 1e9)


def test_a_budget_of_bit_operations_is_kept(task):
    space = bits_space()
    cost = BitPolicy(space, task.input_shape)
    limit = float(np.quantile(cost.evaluate(space.enumerate())["bit_operations_gbops"], 0.4))
    budget = Budget(cost, "bit_operations_gbops", limit)
    result = GradientSearch(space, task, recipe("quantnas", epochs=3, batch=16, penalties=(budget,)), seed=0).run(
        random=0
    )
    assert cost.evaluate(result.architecture.code[None])["bit_operations_gbops"][0] <= limit
