"""Bits as decisions (QuantNAS): noise in one call, shared weights, bit operations in the loss."""

import math

import numpy as np
import pytest
import torch

from archwright.costs.bit_policy import BitPolicy
from archwright.errors import ConfigurationError
from archwright.gradient import GradientSearch
from archwright.gradient.method import Training
from archwright.gradient.penalties.cost import Budget, ExpectedCost
from archwright.gradient.penalties.regularisers import Entropy
from archwright.gradient.recipes import recipe
from archwright.nets import Supernet, build
from archwright.nets.mixing import Mixing, one_hot
from archwright.operators.head import Classifier
from archwright.operators.quantized_conv import QuantizedConv, QuantizedConvNormAct
from archwright.operators.sequential import Sequential
from archwright.space import Space, oneof
from archwright.spaces.quantnas import quantnas
from archwright.tasks import load

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


def test_noise_is_uniform_everywhere_and_laid_out_as_the_values():
    net, x = QuantizedConvNormAct(3, 4, 3), torch.randn(4, 3, 64, 80).contiguous(memory_format=torch.channels_last)
    torch.manual_seed(0)
    noise = net.noise(x)
    assert noise.stride() == x.stride() and float(noise.abs().max()) < 0.5
    lanes = noise.permute(0, 2, 3, 1).reshape(-1, 8)  # of the random words
    assert float(lanes.mean(0).abs().max()) < 0.02
    assert lanes.var(0).tolist() == pytest.approx([1 / 12] * 8, rel=0.05)


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


# ---- super-resolution ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    axis = np.linspace(0.0, 9.0, 48)
    waves = [np.sin(rng.uniform(0.5, 3) * axis[:, None] + rng.uniform(0.5, 3) * axis) for _ in range(24)]
    return load("super_resolution", high=(0.5 + 0.5 * np.stack(waves)).reshape(8, 3, 48, 48), patch=8)


@pytest.fixture(scope="module")
def enlarging(pictures):
    few = {"head": ("simple_3x3",), "upsample": ("simple_3x3",), "tail": ("simple_1x1", "simple_3x3")}
    return quantnas(pictures.input_shape, 3, channels=8, cells=1, depth=2, body=("simple_1x1", "growth1_3x3"), **few)


def test_the_temperature_is_that_of_the_public_code():
    penalty = Entropy(1e-3, start=9 / 20)
    epochs, warmup = 20, 9
    wait = (epochs - warmup) // 4
    for k in range(epochs - warmup):
        first = k / (epochs - 1 - warmup)
        second = math.log(k - wait + 2, epochs - wait - warmup + 1) if k >= wait else 0.0
        progress = 9 / 20 + 11 / 20 * k / (epochs - 1 - warmup)  # its last epoch is our end
        assert penalty.temperature(progress) == pytest.approx(1e-3 * first * second, abs=1e-12)
    assert Entropy(2.0, growing=False).temperature(0.1) == 2.0
    with pytest.raises(ConfigurationError, match="share of the search"):
        Entropy(start=1.0)


def test_the_loss_is_the_tasks_and_expected_bit_operations_and_the_entropy(pictures, enlarging):
    cost = BitPolicy(enlarging, pictures.input_shape)
    penalties = (recipe("quantnas").penalties[0], ExpectedCost(cost, "bit_operations_gbops", "linear", 0.01, scale=2.0))
    search = GradientSearch(enlarging, pictures, recipe("quantnas", batch=16, penalties=penalties))
    stepper, batch = search.stepper, next(search.data.batches(0))[1]
    stepper.progress = 0.8
    stepper.evaluate(batch, "architecture")  # the first makes modules, which draws numbers
    torch.manual_seed(3)  # of the noise
    plain = stepper.evaluate(batch, "architecture", penalised=False)
    torch.manual_seed(3)
    whole = stepper.evaluate(batch, "architecture")
    chances = search.core.probabilities(detach=True)
    nats = sum(-float((p * p.log()).sum()) for p in chances.values())
    bits = float(cost.expected(chances)["bit_operations_gbops"])
    t = (0.8 - 0.45) / 0.55
    want = 1e-3 * t * (1 + math.log10(t)) * nats + 0.01 * bits / 2.0
    assert float((whole - plain).detach()) == pytest.approx(want, rel=1e-3) and want > 0.005


def test_operators_and_bits_of_super_resolution_are_searched_together(pictures, enlarging):
    cost = BitPolicy(enlarging, pictures.input_shape)
    reach = cost.evaluate(enlarging.sample(300, np.random.default_rng(0)))["bit_operations_gbops"]
    limit = float(np.quantile(reach, 0.5))
    penalties = (Entropy(0.3, start=9 / 20, total=True), Budget(cost, "bit_operations_gbops", limit))
    alpha = Training("adam", 0.1, None, betas=(0.5, 0.999), weight_decay=0.0, clip=0.0)
    method = recipe("quantnas", epochs=12, batch=4, penalties=penalties, architecture=alpha, keep="last")
    search = GradientSearch(enlarging, pictures, method, seed=0)
    result = search.run(random=3)
    assert cost.evaluate(result.architecture.code[None])["bit_operations_gbops"][0] <= limit
    learned = [r["entropy"] for r in result.history[method.warmup :]]
    assert learned[-1] < 0.2 < 0.9 < learned[0] and learned[-1] == min(learned)
    assert min(float(p.max()) for p in search.core.probabilities(detach=True).values()) > 0.9
    assert result.history[-1]["psnr_db"] > result.history[0]["psnr_db"]
    assert set(result.random) == {"mean", "best", "count"}


def test_the_mixture_of_bits_is_one_call_a_convolution_also_for_super_resolution(pictures, enlarging, monkeypatch):
    net = Supernet(enlarging, pictures.input_shape)
    plain, calls = torch.nn.functional.conv2d, []
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda *a, **k: calls.append(1) or plain(*a, **k))
    weights = {d.path: torch.full((d.size,), 1 / d.size) for d in enlarging.decisions}
    counts = []
    for entangled in (True, False):
        net.mixture(torch.randn(2, *pictures.input_shape), weights, Mixing(entangled))  # which prepares
        calls.clear()
        net.mixture(torch.randn(2, *pictures.input_shape), weights, Mixing(entangled))
        counts.append(len(calls))
    noise = 1 + 3 + 3 + 3 + 1 + 3 + 1 + 2  # head, body, skip, last body, join, trunk, up-sampling, tail
    assert counts == [noise, 2 * noise]
