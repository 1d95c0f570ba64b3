"""Kinds of heads as decisions (MPCViT): formulas, one mixture for all kinds, exact fractions, latency in the loss."""

import itertools

import numpy as np
import pytest
import torch

from archwright.costs import mpc
from archwright.costs.mpc_cost import Mpc
from archwright.errors import ConfigurationError, SpaceError
from archwright.gradient import GradientSearch
from archwright.gradient.method import Training
from archwright.gradient.penalties.cost import Budget, ExpectedCost
from archwright.gradient.recipes import recipe
from archwright.gradient.relaxations.base import Draw
from archwright.gradient.relaxations.simplex import Simplex, onto_simplex
from archwright.gradient.selections.top_share import TopShare
from archwright.nets import Supernet, build
from archwright.nets.mixing import Mixing, one_hot
from archwright.operators.headwise_attention import HeadwiseAttention
from archwright.spaces.mpcvit import mpcvit

IMAGE = (3, 8, 8)


def small(**changes):
    return mpcvit(IMAGE, 4, **({"layers": 2, "features": 8, "heads": 4, "hidden": 8, "patch": 2} | changes))


def explicit(net, x, rectified, alpha=None):
    """Head by head, as the publication writes it."""
    d, heads = net.head_dim, len(rectified)
    q, k, v = (part(x).unflatten(2, (heads, d)) for part in (net.query, net.key, net.value))
    out = []
    for h in range(heads):
        scores = q[:, :, h] @ k[:, :, h].transpose(1, 2) / d**0.5
        full, scaled = scores.relu() / (scores.relu().sum(2, keepdim=True) + 1e-5), scores / scores.shape[2]
        share = float(rectified[h]) if alpha is None else alpha[h]
        out.append((share * full + (1 - share) * scaled) @ v[:, :, h])
    return net.out(torch.cat(out, dim=2))


@pytest.mark.parametrize("rectified", [(1, 1, 1), (0, 0, 0), (1, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 1)])
def test_every_head_is_of_its_kind(rectified):
    torch.manual_seed(0)
    net, x = HeadwiseAttention(rectified, 4).module((7, 8)), torch.randn(2, 7, 8)
    torch.testing.assert_close(net(x), explicit(net, x, rectified), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rectified", [(), (2, 1), (1, 0.5)])
def test_other_kinds_are_refused(rectified):
    with pytest.raises(SpaceError, match="rectified of HeadwiseAttention"):
        HeadwiseAttention(rectified).output((4, 8))


def test_a_mixture_weighs_both_kinds_of_a_head_with_one_set_of_weights():
    torch.manual_seed(0)
    space = small(layers=1)
    net = Supernet(space, IMAGE)
    plain = build(space.smallest(), IMAGE)
    assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in plain.parameters())
    alpha = torch.tensor([0.2, 1.0, 0.0, 0.7])
    weights = {d.path: torch.stack([1 - a, a]) for d, a in zip(space.decisions, alpha, strict=True)}
    found = []
    site = net.large["parts_1_attention"]
    handle = net.large["parts_1_attention_norm"].register_forward_hook(lambda *a: found.append(a[2]))
    x = torch.randn(2, *IMAGE)
    one_call = net.mixture(x, weights, Mixing(entangled=True, optimised=False))
    torch.testing.assert_close(one_call, net.mixture(x, weights, Mixing(entangled=False)), rtol=1e-5, atol=1e-5)
    handle.remove()
    wanted = explicit(site, found[0], (1,) * 4, alpha)
    mixed = HeadwiseAttention((1,) * 4, 2).module((16, 8))
    mixed.load_state_dict(site.state_dict())
    mixed.mixed = tuple(((0, 1), torch.stack([1 - a, a])) for a in alpha)
    torch.testing.assert_close(mixed(found[0]), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("entangled", [True, False])
def test_with_one_hot_weights_a_mixture_is_the_network(entangled):
    torch.manual_seed(0)
    space, x = small(), torch.randn(2, *IMAGE)
    net = Supernet(space, IMAGE).eval()
    for a in space.sample(4, np.random.default_rng(0)):
        found = net.mixture(x, one_hot(a), Mixing(entangled=entangled))
        torch.testing.assert_close(found, net(x, a), rtol=1e-5, atol=1e-5)
        assert torch.equal(net.extract(a).eval()(x), net(x, a))


def test_the_nearest_weights_are_those_of_a_fine_grid():
    for values in torch.randn(5, 3, generator=torch.Generator().manual_seed(0)):
        found = onto_simplex(values)
        assert float(found.sum()) == pytest.approx(1.0, abs=1e-6) and bool((found >= 0).all())
        steps = np.linspace(0, 1, 101)
        grid = torch.tensor([(a, b, 1 - a - b) for a, b in itertools.product(steps, steps) if a + b <= 1]).float()
        assert float((found - values).norm()) <= float((grid - values).norm(dim=1).min()) + 1e-6
    for a in (-0.4, 0.0, 0.3, 1.0, 1.7):  # of two options the second's alpha is clipped
        torch.testing.assert_close(onto_simplex(torch.tensor([1 - a, a]))[1], torch.tensor(min(max(a, 0.0), 1.0)))


def test_alpha_starts_at_one_is_clipped_and_comes_back():
    relaxation, generator = Simplex("last"), torch.Generator()
    p = torch.nn.Parameter(relaxation.initial(2, generator))
    assert p.tolist() == [0.0, 1.0]
    for slope, alpha in ((-0.3, 1.0), (0.4, 0.6), (0.8, 0.0), (0.5, 0.0), (-0.25, 0.25)):  # of the loss by alpha
        value = relaxation.weights({"a": p}, Draw(generator)).values["a"]
        (gradient,) = torch.autograd.grad((value * torch.tensor([5.0, 5.0 + slope])).sum(), p)
        with torch.no_grad():
            p.sub_(2 * gradient)
        relaxation.settle({"a": p})
        assert float(p[1].detach()) == pytest.approx(alpha, abs=1e-6)


def test_removed_options_have_no_weight_and_no_gradient():
    p, blocked = torch.tensor([0.5, 0.3, 0.2], requires_grad=True), torch.tensor([True, False, False])
    weights = Simplex().probabilities(p, blocked)
    torch.testing.assert_close(weights.detach(), torch.tensor([0.0, 0.55, 0.45]))
    (gradient,) = torch.autograd.grad((weights * torch.tensor([7.0, 1.0, 2.0])).sum(), p)
    assert gradient.tolist() == [0.0, -0.5, 0.5]


def test_an_unknown_start_or_share_is_an_error():
    with pytest.raises(ConfigurationError, match="equal or last"):
        Simplex("first")
    with pytest.raises(ConfigurationError, match="lies in"):
        TopShare(1.2)


def search_of(task, space, **changes):
    few = {"epochs": 2, "batch": 8}
    return GradientSearch(space, task, recipe("mpcvit", **(few | changes)))


def set_alphas(search, alphas):
    with torch.no_grad():
        for p, a in zip(search.core.architecture_parameters(), alphas, strict=True):
            p.copy_(torch.tensor([1 - a, a]))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_the_fraction_of_heads_is_exact_and_has_the_largest_alphas(task, share):
    space = small(layers=5)
    search = search_of(task, space, selection=TopShare(share))
    alphas = np.random.default_rng(0).permutation(20) / 20
    set_alphas(search, alphas)
    code = np.asarray(search.method.selection.choose(search).code)
    assert code.sum() == round(20 * share) and code.mean() == pytest.approx(share)
    assert set(np.flatnonzero(code)) == set(np.argsort(-alphas)[: code.sum()])


def test_decisions_of_other_names_are_not_counted(task):
    space = small(plus=True)
    search = search_of(task, space, selection=TopShare(0.25, "head"))
    set_alphas(search, [{"h": 0.4, "g": 0.9}[d.name[0]] - 0.01 * d.index for d in space.decisions])
    code = search.method.selection.choose(search).code
    kinds = {d.name: int(k) for d, k in zip(space.decisions, code, strict=True)}
    assert sum(k for n, k in kinds.items() if n.startswith("head")) == 2
    assert kinds["gelu0"] == kinds["gelu1"] == 1  # likeliest
    with pytest.raises(ConfigurationError, match="begins with 'layer'"):
        TopShare(0.5, "layer").choose(search)


def test_a_share_beyond_a_hard_budget_is_an_error(task):
    space = small()
    cost = Mpc(space, IMAGE)
    least = float(cost.evaluate(space.smallest().code[None])["latency_ms"][0])
    search = search_of(task, space, penalties=(Budget(cost, "latency_ms", 1.01 * least),))
    with pytest.raises(ConfigurationError, match="hard budget"):
        TopShare(0.5).choose(search)


def test_private_inference_of_a_layer_by_hand():
    tokens, width, heads = 16.0, 8.0, 4.0
    space = small(layers=1)
    cost = Mpc(space, IMAGE)
    p = cost.protocol

    def found(code):
        of = space.architectures(np.array([code]))[0]
        (line,) = [line for line in cost.explain(of) if line["operator"] == "HeadwiseAttention"]
        return line["rounds_count"], 1e6 * line["sent_mb"]

    linear = mpc.linear(p, tokens, width, width)
    for full in (1, 2, 4):  # scores and weighted sum of all heads, the normaliser of some
        products = mpc.product(p, tokens * width, tokens * width, 0.0)
        products += mpc.product(p, heads * tokens * tokens, tokens * width, 0.0)
        wanted = linear + linear + linear + linear + products + mpc.normaliser(p, "relu_softmax", full * tokens, tokens)
        assert found([1] * full + [0] * (4 - full)) == pytest.approx((wanted.rounds, wanted.sent_b))
    products = mpc.product(p, tokens * width, tokens * width, 0.0) + mpc.product(p, tokens * width, width * 2, 0.0)
    wanted = linear + linear + linear + linear + products
    assert found([0, 0, 0, 0]) == pytest.approx((wanted.rounds, wanted.sent_b))


def test_each_head_that_is_scaled_saves_latency_and_expectations_are_exact():
    space = small()
    cost = Mpc(space, IMAGE, network=(375e6, 0.8e-3))
    codes = np.array([[1] * (8 - n) + [0] * n for n in range(9)])
    latency = cost.evaluate(codes)["latency_ms"]
    assert (np.diff(latency) < 0).all()
    chances = {d.path: torch.tensor([0.25, 0.75]) for d in space.decisions}
    every = space.enumerate()
    wanted = (cost.evaluate(every)["latency_ms"] * np.where(every.codes, 0.75, 0.25).prod(1)).sum()
    assert float(cost.expected(chances)["latency_ms"]) == pytest.approx(wanted, rel=1e-5)


def test_a_block_without_its_gelu_is_one_linear_map_and_costs_less():
    space = small(layers=1, plus=True)
    without, full = (space.architectures(np.array([[0, 0, 0, 0, k]]))[0] for k in (0, 1))
    cost = Mpc(space, IMAGE)
    found = {a.digest: {line["operator"] for line in cost.explain(a)} for a in (without, full)}
    assert found[full.digest] - found[without.digest] == {"FFN"} and "Linear" in found[without.digest]
    less, more = cost.evaluate(np.stack([without.code, full.code]))["rounds_count"]
    p = cost.protocol
    assert more - less == mpc.gelu(p, 1.0).rounds + 1.0  # the second product
    assert build(without, IMAGE)(torch.randn(2, *IMAGE)).shape == (2, 4)


def test_a_search_learns_alphas_and_latency_lowers_them(task):
    space = small()
    cost = Mpc(space, IMAGE, network=(375e6, 0.8e-3))
    changes = {"architecture": Training("adam", 0.05, None, clip=0.0)}
    means = []
    for strength in (0.0, 0.3):
        search = search_of(task, space, penalties=(ExpectedCost(cost, "latency_ms", strength=strength),), **changes)
        result = search.run(random=0)
        alphas = [float(p[1]) for p in search.core.probabilities(detach=True).values()]
        assert all(0.0 <= a <= 1.0 for a in alphas) and result.architecture.code.sum() == 4
        means.append(np.mean(alphas))
    assert means[1] < means[0] - 0.1
