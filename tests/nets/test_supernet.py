"""The laws of weight sharing, on spaces of convolutions, tokens and tables."""

import copy
import pickle

import numpy as np
import pytest
import torch

from archwright.errors import SpaceError
from archwright.nets import Supernet, build
from archwright.nets.supernet import SharedLayer
from archwright.operators import Classifier, Conv, MBConv, Sequential
from archwright.space import Space, oneof


def supernet_of(made, seed=0):
    space, shape = made
    torch.manual_seed(seed)
    net = Supernet(space, shape)
    for tensor in (*net.parameters(), *net.buffers()):  # no statistic or scale keeps its special starting value
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 1.5) if tensor.dim() == 1 else tensor.data.normal_(std=0.2)
    return net, torch.randn(3, *shape)


def test_a_subnet_equals_its_extraction_bit_for_bit(made):
    net, x = supernet_of(made)
    net.eval()
    for a in net.space.sample(25, np.random.default_rng(0)):
        with torch.no_grad():
            assert torch.equal(net(x, a), net.extract(a)(x))


def test_the_equality_holds_in_channels_last(made):
    net, x = supernet_of(made)
    net.eval().to(memory_format=torch.channels_last)
    for a in net.space.sample(10, np.random.default_rng(1)):
        with torch.no_grad():
            assert torch.equal(net(x, a), net.extract(a)(x))


def test_the_equality_holds_while_weights_move_and_layers_are_reused(made):
    net, x = supernet_of(made)
    archs = net.space.sample(4, np.random.default_rng(2))
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4)
    for _ in range(3):
        net.train()
        for a in archs:
            optimizer.zero_grad()
            net(x, a).square().mean().backward()
            optimizer.step()
        net.eval()
        for a in archs:
            with torch.no_grad():
                assert torch.equal(net(x, a), net.extract(a)(x))


def index_sets(net, architecture, rng):
    """A random index set for every axis of the architecture's sites that can have one."""
    indices, out_sites = {}, set()
    for step in net.program(architecture).steps:
        if not step.leaf.site or step.leaf.site in out_sites:
            continue
        _, large, leaf = net._large(step.leaf)
        small = step.leaf.module(*step.input_shapes)
        sizes = dict(small.named_parameters())
        for name, tensor in large.named_parameters():
            for axis, big, little in zip(
                leaf.axes_of(name, tensor.dim()), tensor.shape, sizes[name].shape, strict=True
            ):
                if axis == "hidden" and big > little:
                    indices[f"{step.leaf.site}:hidden"] = torch.as_tensor(rng.permutation(big)[:little].copy())
    return indices


def test_the_equality_holds_for_arbitrary_index_sets(made):
    net, x = supernet_of(made)
    net.eval()
    rng, tried = np.random.default_rng(3), 0
    for a in net.space.sample(25, rng):
        indices = index_sets(net, a, rng)
        tried += len(indices)
        with torch.no_grad():
            chosen = net(x, a, indices)
            assert torch.equal(chosen, net.extract(a, indices)(x))
            if indices:
                assert not torch.equal(chosen, net(x, a))
    assert tried > 0 or not any("hidden" in d.path or "expand" in d.path for d in net.space.decisions)


def test_output_index_sets_follow_the_channels_into_the_next_layer():
    space = Space(Sequential((Conv(oneof(3, 6)), Conv(4), Classifier(2))))
    net = Supernet(space, (2, 5, 5)).eval()
    small = space.smallest()
    chosen = torch.tensor([5, 1, 3])
    got = net.extract(small, {"parts.0:out": chosen})
    first, second = net.large["parts_0"], net.large["parts_1"]
    assert torch.equal(got.layers["parts_0"].conv.weight, first.conv.weight[chosen])
    assert torch.equal(got.layers["parts_1"].conv.weight, second.conv.weight[:, chosen])
    x = torch.randn(2, 2, 5, 5)
    with torch.no_grad():
        assert torch.equal(got(x), net(x, small, {"parts.0:out": chosen}))


def test_head_index_sets_keep_queries_with_their_keys():
    from archwright.operators import Attention

    space = Space(Sequential((Attention(heads=oneof(1, 2, 4), head_dim=3), Classifier(2))))
    net = Supernet(space, (5, 8)).eval()
    small = space.smallest()
    names = {axis for t in net.large["parts_0"].state_dict() for axis in net.sites["parts.0"].node.axes_of(t, 1)}
    heads = sorted({part for name in names if name for part in name.split("*")} - {"head_dim", "in", "out"})
    assert heads, names
    x = torch.randn(2, 5, 8)
    for axis in heads:
        index = {f"parts.0:{axis}": torch.tensor([2])}
        try:
            with torch.no_grad():
                assert torch.equal(net(x, small, index), net.extract(small, index)(x))
                assert not torch.equal(net(x, small, index), net(x, small))
        except SpaceError as error:
            assert "index set" in str(error)


def test_kernels_are_cropped_around_their_centre():
    space = Space(Sequential((Conv(4, kernel=oneof(3, 7)), Classifier(2))))
    net = Supernet(space, (2, 9, 9))
    small = net.extract(space.smallest()).layers["parts_0"].conv.weight
    assert torch.equal(small, net.large["parts_0"].conv.weight[:, :, 2:5, 2:5])


def test_what_is_not_used_gets_no_gradient(made):
    net, x = supernet_of(made)
    net.train()
    for a in net.space.sample(8, np.random.default_rng(4)):
        net.zero_grad(set_to_none=True)
        net.reset_active()
        net(x, a).square().sum().backward()
        active = net.active_since_reset()
        for parameter in net.parameters():
            if parameter not in active:
                assert parameter.grad is None
            elif active[parameter] is not None:
                assert not parameter.grad[~active[parameter]].any()
        assert {id(p) for p in active} == {id(p) for p in net.parameters_of(a)}


def test_some_weights_of_a_small_subnet_are_masked():
    space = Space(Sequential((Conv(oneof(2, 4)), Classifier(2))))
    net = Supernet(space, (1, 4, 4)).train()
    net(torch.randn(2, 1, 4, 4), space.smallest()).sum().backward()
    mask = net.active_since_reset()[net.large["parts_0"].conv.weight]
    assert mask[:2].all() and not mask[2:].any()
    net(torch.randn(2, 1, 4, 4), space.largest())
    assert net.active_since_reset()[net.large["parts_0"].conv.weight] is None


def test_training_moves_the_statistics_of_the_largest_weight():
    space = Space(Sequential((Conv(oneof(2, 4)), Classifier(2))))
    net = Supernet(space, (1, 4, 4)).train()
    net(torch.randn(8, 1, 4, 4), space.smallest())
    mean = net.large["parts_0"].norm.running_mean
    assert mean[:2].abs().min() > 0 and not mean[2:].any()


def test_mode_follows_the_supernet_even_for_layers_in_the_cache(made):
    net, x = supernet_of(made)
    a, b = net.space.largest(), net.space.smallest()
    net.train()
    net(x, a), net(x, b)
    net.eval()
    net(x, b)
    net.train()
    for arch in (a, b):
        layers = [m for m in net.subnet(arch).modules() if isinstance(m, SharedLayer)]
        assert layers and all(m.training for layer in layers for m in layer.modules())


def test_options_of_one_choice_do_not_share_and_copies_do(made):
    space = Space(Sequential((oneof(Conv(4), Conv(4, kernel=5)), Classifier(2))))
    net = Supernet(space, (1, 6, 6))
    assert sorted(net.large) == ["parts_0_0", "parts_0_1", "parts_1"]


def test_a_field_that_is_not_elastic_has_weights_for_each_setting():
    space = Space(Sequential((Conv(oneof(2, 4), activation=oneof("relu", "silu")), Classifier(2))))
    net = Supernet(space, (1, 6, 6))
    assert sorted(net.large) == ["parts_0_variant0", "parts_0_variant1", "parts_1"]


def test_copies_and_pickles_work_after_use(made):
    net, x = supernet_of(made)
    net.eval()
    a = net.space.largest()
    with torch.no_grad():
        expected = net(x, a)
        assert torch.equal(copy.deepcopy(net)(x, a), expected)
        assert torch.equal(pickle.loads(pickle.dumps(net))(x, a), expected)
        twin = net.extract(a)
        assert torch.equal(copy.deepcopy(twin)(x), expected)


def test_state_dict_moves_between_supernets(made):
    net, x = supernet_of(made)
    other, _ = supernet_of(made, seed=1)
    other.load_state_dict(net.state_dict())
    a = net.space.smallest()
    with torch.no_grad():
        assert torch.equal(net.eval()(x, a), other.eval()(x, a))


def test_an_architecture_of_another_space_is_refused():
    net = Supernet(Space(Sequential((Conv(oneof(2, 4)), Classifier(2)))), (1, 4, 4))
    other = Space(Sequential((Conv(oneof(2, 8)), Classifier(2))))
    with pytest.raises(SpaceError, match="holds the space"):
        net(torch.randn(1, 1, 4, 4), other.largest())


def test_expansion_of_one_among_the_choices_is_refused_with_a_reason():
    space = Space(Sequential((MBConv(8, expand=oneof(1, 3)), Classifier(2))))
    net = Supernet(space, (4, 6, 6))
    x = torch.randn(1, 4, 6, 6)
    net(x, space.largest())


def test_build_takes_trees_and_architectures_and_seeds():
    tree = Sequential((Conv(4), Conv(4), Classifier(2)))
    a, b = build(tree, (1, 6, 6), seed=1), build(tree, (1, 6, 6), seed=1)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)
    first, second, *_ = a.layers.values()
    assert not torch.equal(first.conv.weight[:, :1], second.conv.weight[:, :1])


def test_equal_parts_of_a_plain_tree_have_weights_of_their_own():
    net = build(Sequential((Conv(4),) * 3 + (Classifier(2),)), (4, 6, 6))
    assert len(net.layers) == 4


def test_build_says_which_shape_it_expects():
    with pytest.raises(SpaceError, match="without the batch axis"):
        build(Sequential((Conv(4), Classifier(2))), 3)
    with pytest.raises(SpaceError):
        build(Sequential((Conv(4), Classifier(2))), (3,))
