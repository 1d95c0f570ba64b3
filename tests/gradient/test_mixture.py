"""Laws of mixtures: one-hot weights give a subnet, rewritings change nothing, superposed weights sum outputs."""

import copy

import numpy as np
import pytest
import torch

from archwright.errors import ConfigurationError, SpaceError
from archwright.nets import Supernet
from archwright.nets.flow import Weights
from archwright.nets.mixing import Mixing, one_hot
from archwright.operators.activation import Activation
from archwright.operators.attention import Attention
from archwright.operators.branches import Concat
from archwright.operators.conv import Conv
from archwright.operators.ffn import FFN
from archwright.operators.head import Classifier
from archwright.operators.linear import Linear
from archwright.operators.mbconv import MBConv
from archwright.operators.norm import Norm
from archwright.operators.sequential import Sequential
from archwright.operators.tokens import PatchEmbed
from archwright.operators.transformer import TransformerBlock
from archwright.space import Space, oneof, repeat
from archwright.spaces.convnet import convnet
from archwright.spaces.darts import darts

IMAGE = (3, 8, 8)


def transformer_space():
    block = TransformerBlock(Attention(oneof(1, 2, 3), head_dim=4), FFN(ratio=oneof(2.0, 3.0)))
    parts = (PatchEmbed(oneof(12, 16, 24, name="width"), patch=4), repeat(block, times=oneof(1, 2, 3)))
    return Space(Sequential((*parts, Norm("layer"), Classifier(3, pool="token_avg"))))


SPACES = {
    "operators": lambda: Space(
        Sequential((Conv(8), oneof(Conv(8), MBConv(8), Conv(8, kernel=5)), Conv(oneof(4, 6)), Classifier(3)))
    ),
    "elastic convolutions": lambda: convnet(
        IMAGE, 3, stem=(4, 8), widths=((4, 6), (6, 8)), expansions=(2, 3), depths=(0, 1)
    ),
    "norms on a part of the channels": lambda: Space(
        Sequential(
            (
                Conv(oneof(4, 6, 8, name="width"), norm="none"),
                Norm("batch"),
                Activation("sigmoid"),
                Conv(oneof(4, 6), norm="layer"),
                Classifier(3),
            )
        )
    ),
    "transformer": transformer_space,
    "darts": lambda: darts(IMAGE, 3, channels=4, cells=3, nodes=1),
}


def filled(supernet, seed=0):
    """Random weights and statistics, in float64."""
    supernet.double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in supernet.parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64) + (0.5 if p.dim() == 1 else 0))
        for name, b in supernet.named_buffers():
            if "running_mean" in name:
                b.copy_(0.1 * torch.randn(b.shape, generator=generator))
            if "running_var" in name:
                b.copy_(torch.rand(b.shape, generator=generator) + 0.5)
    return supernet


@pytest.mark.parametrize("entangled", [True, False], ids=["superposed", "separate"])
@pytest.mark.parametrize("name", SPACES)
def test_one_hot_weights_give_the_subnet(name, entangled):
    space = SPACES[name]()
    supernet = filled(Supernet(space, IMAGE)).eval()
    x = torch.randn(3, *IMAGE, dtype=torch.float64)
    for a in space.sample(4, np.random.default_rng(0)):
        for optimised in (True, False):
            mixed = supernet.mixture(x, one_hot(a), Mixing(entangled, optimised))
            torch.testing.assert_close(mixed, supernet(x, a), rtol=1e-10, atol=1e-10)


def random_weights(space, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        d.path: torch.randn(d.size, generator=generator, dtype=torch.float64).softmax(0).requires_grad_()
        for d in space.decisions
    }


def outputs_gradients_statistics(supernet, x, optimised):
    twin = copy.deepcopy(supernet).train()
    weights = random_weights(twin.space)
    out = twin.mixture(x, weights, Mixing(True, optimised))
    wanted = [*twin.parameters(), *weights.values()]
    grads = torch.autograd.grad(out.square().sum(), wanted, allow_unused=True)
    return out, grads, dict(twin.named_buffers())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "channels_last"])
@pytest.mark.parametrize("name", ["operators", "elastic convolutions", "transformer", "darts"])
def test_rewriting_changes_neither_outputs_nor_gradients_nor_statistics(name, layout):
    supernet = filled(Supernet(SPACES[name](), IMAGE)).to(memory_format=layout)
    x = torch.randn(4, *IMAGE, dtype=torch.float64).contiguous(memory_format=layout)
    plain, plain_grads, plain_buffers = outputs_gradients_statistics(supernet, x, False)
    fast, fast_grads, fast_buffers = outputs_gradients_statistics(supernet, x, True)
    torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-10)
    largest = max(float(g.abs().max()) for g in plain_grads if g is not None)
    for a, b in zip(plain_grads, fast_grads, strict=True):
        a = torch.zeros(()) if a is None else a
        b = torch.zeros(()) if b is None else b
        assert float((a - b).abs().max()) <= 1e-10 * largest
    for key, value in plain_buffers.items():
        torch.testing.assert_close(fast_buffers[key], value, rtol=1e-10, atol=1e-10)


def test_in_float32_the_rewriting_is_as_near_to_float64_as_the_plain_flow():
    supernet = Supernet(SPACES["darts"](), IMAGE)
    x = torch.randn(8, *IMAGE, dtype=torch.float64)
    exact = outputs_gradients_statistics(copy.deepcopy(supernet).double(), x, False)[1]

    def error(optimised):
        twin = copy.deepcopy(supernet).float().to(memory_format=torch.channels_last).train()
        weights = {k: w.detach().float().requires_grad_() for k, w in random_weights(twin.space).items()}
        image = x.float().contiguous(memory_format=torch.channels_last)
        out = twin.mixture(image, weights, Mixing(True, optimised))
        found = torch.autograd.grad(out.square().sum(), [*twin.parameters(), *weights.values()], allow_unused=True)
        pairs = [(a, b) for a, b in zip(exact, found, strict=True) if a is not None and b is not None]
        wrong = sum(float((a - b.double()).square().sum()) for a, b in pairs)
        return (wrong / sum(float(a.square().sum()) for a, _ in pairs)) ** 0.5

    assert error(True) <= 3.0 * error(False) + 1e-6


def test_superposed_weights_are_the_sum_of_outputs_for_linear_operators():
    space = Space(Sequential((Linear(oneof(4, 6, 10), bias=True), Linear(oneof(3, 5)), Linear(2))))
    supernet = filled(Supernet(space, (7,)))
    x, weights = torch.randn(5, 7, dtype=torch.float64), random_weights(space)
    one = supernet.mixture(x, weights, Mixing(True))
    each = supernet.mixture(x, weights, Mixing(False))
    torch.testing.assert_close(one, each, rtol=1e-10, atol=1e-12)


def test_superposition_of_kernels_is_the_sum_of_their_outputs():
    conv = Conv(oneof(2, 4), kernel=oneof(1, 3, 5), norm="none", activation="identity")
    space = Space(Sequential((conv, Classifier(2))))
    supernet = filled(Supernet(space, IMAGE))
    x, weights = torch.randn(2, *IMAGE, dtype=torch.float64), random_weights(space)
    by_hand = 0.0
    for a in space.enumerate():
        share = 1.0
        for d in space.decisions:
            share = share * weights[d.path][int(a.code[d.index])]
        by_hand = by_hand + share * supernet(x, a)
    torch.testing.assert_close(supernet.mixture(x, weights), by_hand, rtol=1e-10, atol=1e-12)


def test_a_superposed_operator_is_one_call_whatever_the_number_of_choices(monkeypatch):
    calls = []
    plain = torch.nn.functional.conv2d
    monkeypatch.setattr(torch.nn.functional, "conv2d", lambda *a, **k: calls.append(1) or plain(*a, **k))
    counts = []
    for widths in ((4, 8), (1, 2, 3, 4, 5, 6, 7, 8)):
        space = Space(Sequential((Conv(oneof(*widths), kernel=oneof(1, 3, 5, 7)), Classifier(2))))
        supernet = Supernet(space, IMAGE)
        weights = {k: w.float().detach() for k, w in random_weights(space).items()}
        supernet.mixture(torch.randn(2, *IMAGE), weights)  # writes the flow down
        calls.clear()
        supernet.mixture(torch.randn(2, *IMAGE), weights)
        counts.append(len(calls))
    assert counts == [1, 1]


def test_only_active_options_are_run():
    space = Space(Sequential((Conv(4), oneof(Conv(4), Conv(4, kernel=5), Conv(4, kernel=1)), Classifier(2))))
    supernet = Supernet(space, IMAGE)
    (path,) = (d.path for d in space.decisions)
    weights = Weights({path: torch.tensor([0.0, 1.0, 0.0])}, {path: (1,)})
    supernet.mixture(torch.randn(4, *IMAGE), weights).sum().backward()
    used = {n for n, p in supernet.named_parameters() if p.grad is not None}
    assert any("parts_1_1" in n for n in used)
    assert not any("parts_1_0" in n or "parts_1_2" in n for n in used)


@pytest.mark.parametrize("optimised", [True, False])
def test_a_probed_option_gets_the_gradient_of_its_weight_without_being_kept(optimised):
    space = darts(IMAGE, 3, channels=4, cells=2, nodes=1)
    supernet = filled(Supernet(space, IMAGE)).train()
    for p in supernet.parameters():
        p.requires_grad_(False)
    x = torch.randn(4, *IMAGE, dtype=torch.float64)
    values = {d.path: torch.zeros(d.size, dtype=torch.float64) for d in space.decisions}
    for v in values.values():
        v[4] = 1.0
        v.requires_grad_()
    active = {d.path: (4,) for d in space.decisions}
    probed = {d.path: (6, 3) for d in space.decisions}
    out = supernet.mixture(x, Weights(values, active, probed), Mixing(False, optimised))
    got = torch.autograd.grad(out.square().sum(), list(values.values()))
    everything = {d.path: (3, 4, 6) for d in space.decisions}
    full = supernet.mixture(x, Weights(values, everything), Mixing(False, False))
    want = torch.autograd.grad(full.square().sum(), list(values.values()))
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
        assert float(a[6]) != 0.0


def test_missing_weights_are_named():
    space = SPACES["operators"]()
    with pytest.raises(ConfigurationError, match="no weights for the decision"):
        Supernet(space, IMAGE).mixture(torch.randn(2, *IMAGE), {})


@pytest.mark.parametrize("entangled", [True, False], ids=["superposed", "separate"])
def test_what_follows_an_elastic_part_of_a_concatenation_keeps_its_weights(entangled):
    branches = Concat((Conv(oneof(2, 4)), Conv(oneof(1, 2, 3))))
    space = Space(Sequential((branches, Conv(4), Classifier(2))))
    supernet = filled(Supernet(space, IMAGE)).eval()
    x = torch.randn(2, *IMAGE, dtype=torch.float64)
    for a in space.enumerate():
        mixed = supernet.mixture(x, one_hot(a), Mixing(entangled))
        torch.testing.assert_close(mixed, supernet(x, a), rtol=1e-10, atol=1e-10)


def test_a_concatenation_of_too_many_layouts_is_refused():
    widths = tuple(range(1, 10))
    space = Space(Sequential((Concat((Conv(oneof(*widths)), Conv(oneof(*widths)))), Conv(4), Classifier(2))))
    with pytest.raises(SpaceError, match="81 layouts"):
        weights = {d.path: torch.ones(d.size) / d.size for d in space.decisions}
        Supernet(space, IMAGE).mixture(torch.randn(2, *IMAGE), weights)


def test_options_of_different_sizes_are_refused():
    space = Space(Sequential((oneof(Conv(4), Conv(4, stride=2)), Classifier(2))))
    weights = {d.path: torch.ones(d.size) / d.size for d in space.decisions}
    with pytest.raises(SpaceError, match="positions differ"):
        Supernet(space, IMAGE).mixture(torch.randn(2, *IMAGE), weights)


@pytest.mark.parametrize("nodes", [1, 2])
def test_wide_chains_change_neither_outputs_nor_gradients_nor_statistics(nodes):
    from archwright.nets.widen import WideChain

    supernet = filled(Supernet(darts(IMAGE, 3, channels=4, cells=3, nodes=nodes), IMAGE))
    x = torch.randn(4, *IMAGE, dtype=torch.float64)
    twin = copy.deepcopy(supernet).train()
    twin.mixture(x, random_weights(twin.space), Mixing(True))
    wide = [n for n in twin._mixtures[Mixing(True)]._wide.nodes if isinstance(n, WideChain)]
    assert any(n.copies for n in wide) == (nodes > 1)  # what leaves a state that two nodes read
    plain, plain_grads, plain_buffers = outputs_gradients_statistics(supernet, x, False)
    fast, fast_grads, fast_buffers = outputs_gradients_statistics(supernet, x, True)
    torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-10)
    largest = max(float(g.abs().max()) for g in plain_grads if g is not None)
    for a, b in zip(plain_grads, fast_grads, strict=True):
        a, b = (torch.zeros(()) if g is None else g for g in (a, b))
        assert float((a - b).abs().max()) <= 1e-10 * largest
    for key, value in plain_buffers.items():
        torch.testing.assert_close(fast_buffers[key], value, rtol=1e-10, atol=1e-10)
