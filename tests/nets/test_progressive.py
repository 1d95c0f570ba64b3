"""Kernel transforms and sorted channels: what they start as, what they learn, and that extraction stays exact."""

import itertools

import numpy as np
import pytest
import torch

from archwright import tasks
from archwright.errors import SpaceError
from archwright.nets import Supernet
from archwright.nets.active import ActiveUpdate
from archwright.nets.checkpoint import restore_net
from archwright.nets.mixing import one_hot
from archwright.nets.progressive import Phase, codes_of, shrink_progressively
from archwright.nets.recipe import Recipe
from archwright.nets.sorting import sort_channels
from archwright.operators import Classifier, Conv, MBConv, Sequential
from archwright.space import Space, oneof

torch.set_num_threads(1)
KERNELS = (3, 5, 7)


def space():
    block = MBConv(8, kernel=oneof(*KERNELS, name="kernel"), expand=oneof(2, 3, 4, name="expand"), se=0.25)
    return Space(Sequential((Conv(oneof(6, 8), stride=2), block, Conv(4, kernel=oneof(1, 3)), Classifier(10))))


def made(transforms=True, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Supernet(space(), (1, 8, 8))
    if transforms:
        net.transform_kernels()
    return net


def shaken(net, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return net


def largest_with(space, kernel):
    code = space.largest().code.copy()
    code[space.decision("kernel").index] = KERNELS.index(kernel)
    return space.architectures(code[None])[0]


def block_weight(net):
    (found,) = [p for n, p in net.large.named_parameters() if n.endswith("depthwise.0.weight")]
    return found


def x(n=4):
    return torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def test_at_first_a_small_kernel_is_the_centre_of_the_large_one():
    plain, learned = made(False).eval(), made().eval()
    for architecture in plain.space.enumerate():
        assert torch.equal(plain(x(), architecture), learned(x(), architecture))
    assert len(learned.transforms) == 2  # of the block and of the last convolution


@pytest.mark.parametrize("mode", [True, False])
def test_extractions_equal_subnets_bit_for_bit_and_have_no_matrices(mode):
    net = shaken(made())
    for architecture in net.space.enumerate():
        alone = net.extract(architecture).train(mode)
        assert not any("transform" in n for n, _ in alone.named_parameters())
        assert torch.equal(alone(x()), net.train(mode)(x(), architecture))


def test_a_kernel_of_three_is_made_of_that_of_five():
    net = shaken(made())
    five, three = net.transforms[next(k for k in net.transforms if "depthwise" in k)].matrices
    small = net.extract(largest_with(net.space, 3))
    (found,) = [p for n, p in small.named_parameters() if n.endswith("depthwise.0.weight")]
    w = block_weight(net)[:, :, 1:6, 1:6].reshape(-1, 25) @ five.T
    wanted = w.reshape(-1, 5, 5)[:, 1:4, 1:4].reshape(-1, 9) @ three.T
    torch.testing.assert_close(found, wanted.reshape(found.shape))


def test_matrices_learn_only_where_a_drawn_kernel_goes_through_them():
    net, task = made(), tasks.load("digits")
    transform = net.transforms[next(k for k in net.transforms if "depthwise" in k)]
    optimizer = Recipe(optimizer="sgd", lr=0.1, weight_decay=0.1).optimizer_for(net)
    for kernel, moved in ((7, (False, False)), (5, (True, False)), (3, (True, True))):
        before = [p.detach().clone() for p in transform.matrices]
        weight = block_weight(net).detach().clone()
        net.reset_active()
        optimizer.zero_grad(set_to_none=True)
        architecture = largest_with(net.space, kernel)
        task.loss(net(task.train.x[:32], architecture), task.train.y[:32]).backward()
        ActiveUpdate(net)(optimizer)
        assert tuple(not torch.equal(a, b) for a, b in zip(before, transform.matrices, strict=True)) == moved
        changed = (block_weight(net) != weight).flatten(0, 1).any(0)
        size = max(kernel, 5)  # the kernel of three reads the centre of five
        edge = (7 - size) // 2
        assert changed[edge : 7 - edge, edge : 7 - edge].all() and int(changed.sum()) == size**2


def test_a_saved_state_brings_its_matrices_along():
    net, fresh = shaken(made()), made(False, seed=5)
    restore_net(fresh, net.state_dict(), "supernet")
    architecture = net.space.smallest()
    assert torch.equal(net.eval()(x(), architecture), fresh.eval()(x(), architecture))


def test_one_call_for_all_kernels_is_refused():
    net = made()
    with pytest.raises(SpaceError, match="transforms"):
        net.mixture(x(), one_hot(net.space.largest()))


def hidden_importance(net):
    (w,) = [p for n, p in net.large.named_parameters() if n.endswith("project.0.weight")]
    return w.detach().abs().sum((0, 2, 3))


def test_sorting_keeps_the_largest_network_and_orders_its_channels():
    net = shaken(made())
    with torch.no_grad():
        for _ in range(40):  # statistics that differ between channels
            net.train()(x(32), net.space.largest())
    before, importance = net.eval()(x(), net.space.largest()), hidden_importance(net)
    assert before.std(0).max() > 0.01
    assert sort_channels(net) == 1
    torch.testing.assert_close(net(x(), net.space.largest()), before, rtol=1e-4, atol=1e-5)
    assert torch.equal(hidden_importance(net), importance.sort(descending=True).values)
    assert not torch.equal(hidden_importance(net), importance)


def test_sorting_leaves_trained_widths_with_their_channels():
    net = shaken(made())
    importance, expand = hidden_importance(net), net.space.decision("expand")
    channels = 8  # the block's widest input
    sort_channels(net, {expand.index: {1, 2}})  # expansions 3 and 4 were trained
    now = hidden_importance(net)
    first = 3 * channels
    assert torch.equal(now[:first], importance[:first].sort(descending=True).values)
    assert torch.equal(now[first:], importance[first:].sort(descending=True).values)


def test_shrinking_sorts_before_each_phase_that_frees_widths(monkeypatch):
    import archwright.nets.progressive as module

    calls = []
    monkeypatch.setattr(module, "sort_channels", lambda net, trained: calls.append(trained))
    phases = [Phase("full", share=1)]
    phases += [Phase("kernel", {"kernel": None}, share=1)]
    phases += [Phase(f"width {n}", {"kernel": None, "width": n}, share=1) for n in (2, None)]
    net, task = made(False), tasks.load("digits")
    shrink_progressively(net, task, Recipe(epochs=4, lr=0.01), phases=phases)
    index = net.space.decision("expand").index
    assert [c[index] for c in calls] == [{2}, {1, 2}]
    assert codes_of(net.space, phases[-1])[index] == {0, 1, 2}
    assert any(not torch.equal(p, torch.eye(len(p))) for t in net.transforms.values() for p in t.matrices)
    for architecture in itertools.islice(net.space.sample(20, np.random.default_rng(0)), 5):
        assert torch.equal(net.eval()(x(), architecture), net.extract(architecture).eval()(x()))
