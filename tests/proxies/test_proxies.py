"""Proxies against what they are by hand, on every kind of network, and their evaluator."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from probe_nets import Alike, Attending, Recurrent
from torch import nn
from torch.nn import functional as F

from archwright import registry, tasks
from archwright.errors import ConfigurationError, EvaluationError
from archwright.evaluators.zero_cost import ProxyEvaluator
from archwright.nets.build import build
from archwright.proxies import score
from archwright.proxies.correlation import correlation_score
from archwright.proxies.probe import Probe
from archwright.space import Architectures
from archwright.spaces.flexibert import OPERATORS, flexibert
from archwright.spaces.mlp import mlp
from archwright.spaces.nasbench201 import from_string, nasbench201

ALL = registry.names("proxies")
SEQUENCE = ("attention_confidence", "head_confidence", "head_importance", "synaptic_diversity", "synaptic_saliency")
ONLY_SEQUENCES = (*SEQUENCE, "hidden_cov")


def batch(*shape: int, classes: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw), torch.arange(shape[0]) % classes


def small_cells() -> tuple[Architectures, tuple[int, int, int]]:
    space = nasbench201((3, 8, 8), 10, channels=(4,), cells=1)
    conv = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|"
    dead = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_3x3~1|none~2|"
    return space.architectures(np.stack([from_string(conv), from_string(dead)])), (3, 8, 8)


@pytest.mark.parametrize("name", ALL)
def test_proxy_is_a_number_on_a_cell_and_nan_only_where_it_cannot_say(name):
    architectures, shape = small_cells()
    x, y = batch(8, *shape)
    value = score(build(architectures[0], shape, seed=0), x, y, [name])[name]
    assert math.isnan(value) if name in ONLY_SEQUENCES else math.isfinite(value)


@pytest.mark.parametrize("name", ALL)
def test_proxy_gives_the_same_number_for_the_same_seed(name):
    x, y = batch(8, 5, 8)
    torch.manual_seed(3)
    net = Attending()
    first, second = (score(net, x, y, [name], seed=5)[name] for _ in range(2))
    assert first == second or (math.isnan(first) and math.isnan(second))


@pytest.mark.parametrize("name", [n for n in ALL if n != "zen"])
def test_proxy_works_on_transformers(name):
    x, y = batch(8, 5, 8)
    assert math.isfinite(score(Attending(), x, y, [name])[name])


@pytest.mark.parametrize(
    "name", [n for n in ALL if n not in (*SEQUENCE, "synflow", "logsynflow", "activation_distance")]
)
def test_proxy_works_on_recurrent_networks_that_read_tokens(name):
    torch.manual_seed(0)
    x = torch.randint(0, 20, (8, 7))
    value = score(Recurrent(), x, torch.arange(8) % 3, [name])[name]
    known_nan = {"naswot", "zen"}  # gates inside an LSTM are no modules, and tokens take no noise
    assert math.isnan(value) if name in known_nan else math.isfinite(value)


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_proxy_works_on_encoders_of_every_mixer(operator):
    small = {"widths": (8,), "depths": (2,), "heads": (2,), "feed_forward": (8,), "stacks": (1,), "embedding": 6}
    space = flexibert((5,), 3, operators=(operator,), vocabulary=20, **small)
    x = torch.randint(0, 20, (8, 5), generator=torch.Generator().manual_seed(0))
    found = score(build(space.largest(), (5,), seed=0), x, torch.arange(8) % 3, ALL)
    unknown = {n for n, v in found.items() if math.isnan(v)} - {"logsynflow"}  # unknown for flows below -1
    assert unknown == {"zen"} | (set(SEQUENCE) if operator.startswith("LT") else set())


def test_scores_leave_the_network_as_it_is():
    x, y = batch(8, 3, 8, 8)
    architectures, shape = small_cells()
    net = build(architectures[0], shape, seed=0).eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    score(net, x, y, ALL)
    assert not net.training and all(p.grad is None for p in net.parameters())
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_gradient_scores_of_one_layer_are_those_computed_by_hand():
    net, (x, _) = Alike(), batch(4, 3)
    y = torch.tensor([0, 1, 1, 0])
    found = score(net, x, y, ["grad_norm", "snip", "plain", "l2_norm", "fisher"])
    w = net.linear.weight.detach()
    outputs = x @ w.T
    push = (outputs.softmax(1) - F.one_hot(y, 2)) / 4  # (4, 2) gradient of the mean cross entropy
    gradient = push.T @ x
    assert found["grad_norm"] == pytest.approx(float(gradient.norm()), rel=1e-5)
    assert found["snip"] == pytest.approx(float((gradient * w).abs().sum()), rel=1e-5)
    assert found["plain"] == pytest.approx(float((gradient * w).sum()), rel=1e-4)
    assert found["l2_norm"] == pytest.approx(float(w.norm()), rel=1e-6)
    channel = 0.5 * (outputs * push).square().mean(0)  # (2,), each channel has 3 weights
    assert found["fisher"] == pytest.approx(3 * float(channel.sum()), rel=1e-5)


def test_grasp_is_minus_hessian_gradient_weight():
    net, (x, _) = Alike(), batch(4, 3)
    y = torch.tensor([0, 1, 1, 0])
    w = net.linear.weight.detach().clone()

    def loss(flat: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(x @ flat.view(2, 3).T, y)

    hessian = torch.autograd.functional.hessian(loss, w.flatten())
    gradient = torch.autograd.functional.jacobian(loss, w.flatten())
    value = score(net, x, y, ["grasp"])["grasp"]
    assert value == pytest.approx(-float(w.flatten() @ (hessian @ gradient)), rel=1e-4)


def test_synflow_of_one_layer_is_the_sum_of_its_weights_sizes():
    x, y = batch(4, 3, classes=2)
    found = score(Alike(), x, y, ["synflow", "logsynflow"])
    total = 1 + 2 + 3 + 0.5 + 0 + 1.0
    assert found["synflow"] == pytest.approx(math.log(total))  # input 1: each gradient is 1
    assert found["logsynflow"] == pytest.approx(total * math.log(2.0))


def test_naswot_counts_the_units_on_which_samples_agree():
    net = nn.Sequential(nn.ReLU())
    x = torch.tensor([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, 1.0, 1.0], [-1.0, -1.0, 1.0, 1.0]])
    probe = Probe(net, [x], torch.zeros(3), F.cross_entropy)
    expected = torch.tensor([[4.0, 2.0, 2.0], [2.0, 4.0, 2.0], [2.0, 2.0, 4.0]]).double()
    assert torch.equal(probe.similarity, expected)
    assert score(net, x, torch.zeros(3), ["naswot"])["naswot"] == pytest.approx(float(torch.logdet(expected)))
    assert score(net, x, torch.zeros(3), ["activation_distance"])["activation_distance"] == 24.0


def test_correlation_score_is_best_for_uncorrelated_samples():
    k = 1e-5
    rows = torch.tensor([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0], [1.0, -1.0, -1.0, 1.0]])
    best = -3 * (math.log(1 + k) + 1 / (1 + k))
    assert correlation_score(rows) == pytest.approx(best)
    alike = rows + 5 * torch.tensor([0.0, 1.0, 0.0, -1.0])
    assert correlation_score(alike) < best
    assert math.isnan(correlation_score(torch.ones(2, 4)))


def test_jacobian_of_a_linear_map_is_the_sum_of_its_rows():
    net, (x, y) = Alike(), batch(4, 3, classes=2)
    probe = Probe(net, [x], y, F.cross_entropy)
    expected = net.linear.weight.detach().sum(0).double().expand(4, 3)
    assert torch.allclose(probe.jacobian, expected)
    assert score(net, x, y, ["jacob_cov"])["jacob_cov"] == pytest.approx(-1e5 * 3, rel=0.01)  # all samples alike


def test_attention_confidence_is_that_of_the_softmax_in_torch():
    torch.manual_seed(1)
    net, (x, y) = Attending(1), batch(6, 5, 8)
    inner = net.attention
    normed = net.norm(x).detach()
    q, k = (f(normed).detach().unflatten(2, (-1, 4)).transpose(1, 2) for f in (inner.query, inner.key))
    identity = torch.eye(5).expand(6, 2, 5, 5)
    weights = F.scaled_dot_product_attention(q, k, identity)  # attention of the identity: the probabilities themselves
    expected = float(weights.amax(-1).mean())
    found = score(net, x, y, ["attention_confidence"])["attention_confidence"]
    assert found == pytest.approx(expected, rel=1e-5)
    assert 1 / 5 < found <= 1.0


def test_dead_cell_has_no_flow_and_samples_are_not_told_apart():
    architectures, shape = small_cells()
    x, y = batch(8, *shape)
    found = score(build(architectures[1], shape, seed=0), x, y, ["synflow", "jacob_cov", "snip"])
    assert math.isnan(found["synflow"]) and math.isnan(found["jacob_cov"])
    assert found["snip"] < 1e-6 or found["snip"] < score(build(architectures[0], shape, seed=0), x, y, ["snip"])["snip"]


def test_network_without_weights_has_no_gradient_scores():
    x, y = batch(4, 3)
    with pytest.raises(EvaluationError, match="depends on no weight"):
        score(nn.Identity(), x, y, ["snip"])


def test_macs_and_params_of_a_network_are_those_of_its_modules():
    architectures, shape = small_cells()
    net = build(architectures[0], shape, seed=0)
    x, y = batch(4, *shape)
    by_program = score(net, x, y, ["macs", "params"])
    by_modules = score(nn.Sequential(net), x, y, ["macs", "params"])
    assert by_program["params"] == by_modules["params"]
    assert by_program["macs"] == pytest.approx(by_modules["macs"], rel=0.01)


def test_evaluator_gives_columns_and_ignores_the_seed_of_the_trial():
    task = tasks.load("digits")
    space = mlp((64,), 10) if len(task.input_shape) == 1 else nasbench201(task.input_shape, 10, channels=(4,), cells=1)
    sampled = space.sample(3, np.random.default_rng(0))
    evaluator = ProxyEvaluator(task, ["snip", "synflow", "params", "hidden_cov"], batch=8, repeats=2)
    first, second = (evaluator.evaluate(sampled, seed=s) for s in (0, 9))
    assert set(first) == set(evaluator.metrics) == {f"{p}_score" for p in ("snip", "synflow", "params", "hidden_cov")}
    assert all(first[m].shape == (3,) and first[m].dtype == np.float64 for m in first)
    assert all(np.array_equal(first[m], second[m], equal_nan=True) for m in first)
    other = ProxyEvaluator(task, ["snip"], batch=8, seed=1).evaluate(sampled)
    assert not np.array_equal(first["snip_score"], other["snip_score"])


def test_evaluator_scores_regression_networks():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 6)).astype(np.float32)
    task = tasks.load((x, x[:, :1] * 2.0), kind="regression")
    sampled = mlp((6,), 1).sample(2, rng)
    proxies = ("snip", "grasp", "naswot", "jacob_cov", "synflow", "epe_nas")
    found = ProxyEvaluator(task, proxies, batch=16).evaluate(sampled)
    assert all(np.isfinite(found[f"{p}_score"]).all() for p in proxies)


def test_evaluator_refuses_unknown_proxies_and_single_samples():
    task = tasks.load("digits")
    with pytest.raises(ConfigurationError, match="synflow"):
        ProxyEvaluator(task, ["sinflow"])
    with pytest.raises(ConfigurationError, match="batch >= 2"):
        ProxyEvaluator(task, ["synflow"], batch=1)
    with pytest.raises(ConfigurationError, match="at least one proxy"):
        ProxyEvaluator(task, [])
