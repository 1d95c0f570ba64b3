"""Every registered space has mixtures: one-hot weights give the subnet, soft ones the same with and without rewritings.

Sizes are the spaces' own `small` ones; what is too large to be mixed says why.
"""

import numpy as np
import pytest
import torch

from archwright import registry
from archwright.errors import SpaceError
from archwright.nets import Supernet
from archwright.nets.mixing import Mixing, one_hot

SHAPES = {
    "images": (3, 16, 16),
    "series": (2, 16),
    "tables": (7,),
    "tokens": (16,),
    "graphs": (6, 13),
    "forecasts": (5, 16),
}
CASES = [
    pytest.param(name, kind, id=f"{name}-{kind}")
    for name in registry.names("spaces")
    for kind in registry.entries("spaces")[name].labels["inputs"].split(", ")
    if registry.entries("spaces")[name].labels.get("mixed", True)
]


def supernet_of(name, shape):
    arguments = dict(registry.entries("spaces")[name].labels.get("small", {}))
    if name == "darts_evaluation":
        arguments["drop_path"] = 0.0  # what it drops is random
    space = registry.get("spaces", name)(shape, 5, **arguments)
    torch.manual_seed(0)
    net = Supernet(space, shape).double()
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):  # no statistic or scale keeps its special starting value
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5) if tensor.dim() == 1 else tensor.normal_(std=0.2)
    return net


def soft(space):
    generator = torch.Generator().manual_seed(1)
    return {d.path: torch.randn(d.size, generator=generator, dtype=torch.float64).softmax(0) for d in space.decisions}


@pytest.mark.slow
@pytest.mark.parametrize("entangled", [True, False], ids=["superposed", "separate"])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_mixtures_of_the_space_follow_the_laws(name, kind, entangled):
    shape = SHAPES[kind]
    net = supernet_of(name, shape).eval()
    x = torch.randn(2, *shape, dtype=torch.float64)
    with torch.no_grad():
        for a in [net.space.largest(), *net.space.sample(3, np.random.default_rng(0))]:
            want = net(x, a)
            for optimised in (True, False):
                got = net.mixture(x, one_hot(a, dtype=torch.float64), Mixing(entangled, optimised))
                assert float((got - want).abs().max()) <= 1e-10 * max(1.0, float(want.abs().max()))
        net.train(not registry.entries("spaces")[name].labels.get("noisy"))
        plain, fast = (net.mixture(x, soft(net.space), Mixing(entangled, o)) for o in (False, True))
    assert bool(torch.isfinite(plain).all())
    assert float((plain - fast).abs().max()) <= 1e-9 * max(1.0, float(plain.abs().max()))


@pytest.mark.parametrize("name", ["mnasnet", "nasnet"])
def test_a_space_with_sizes_that_depend_on_its_decisions_is_mixed(name):
    shape = (3, 8, 8)
    few = {"stages": ((4, 1, 1),), "stem": 4, "head": 8, "widths": (1.0, 2.0), "operators": ("conv_se", "sep")}
    less = {"channels": 2, "cells": 0, "blocks": 2, "operators": ("identity", "max_pool_3x3")}
    space = registry.get("spaces", name)(shape, 3, **(few if name == "mnasnet" else less))
    net = Supernet(space, shape).double().eval()
    x = torch.randn(2, *shape, dtype=torch.float64)
    with torch.no_grad():
        for a in space.sample(6, np.random.default_rng(0)):
            torch.testing.assert_close(net.mixture(x, one_hot(a, dtype=torch.float64)), net(x, a))


def test_a_space_whose_operators_depend_on_too_much_says_why():
    space = registry.get("spaces", "nasnet")((3, 8, 8), 3, channels=2, cells=0, operators=("identity", "conv_1x1"))
    with pytest.raises(SpaceError, match="sampled paths"):
        Supernet(space, (3, 8, 8)).mixture(torch.randn(2, 3, 8, 8), soft(space))


def test_a_space_whose_heads_grow_with_its_width_says_why():
    net = supernet_of("flexibert", (16,))
    with pytest.raises(SpaceError, match="head_dim that changes with a decision"):
        net.mixture(torch.randn(2, 16, dtype=torch.float64), soft(net.space))


def test_a_space_whose_options_put_out_different_sizes_says_why():
    net = supernet_of("resnet_pooling", (3, 16, 16))
    with pytest.raises(SpaceError, match="their positions differ"):
        net.mixture(torch.randn(2, 3, 16, 16, dtype=torch.float64), soft(net.space))
