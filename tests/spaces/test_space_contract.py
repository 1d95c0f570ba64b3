"""Every registered space keeps the contract; its label `small` holds arguments for a size that runs in moments."""

import inspect

import numpy as np
import pytest
import torch

from archwright import registry
from archwright.nets import Supernet, build
from archwright.nets.build import program_of
from archwright.space import Architecture, Space

NAMES = registry.names("spaces")
SHAPES = {
    "images": [(3, 16, 16)],
    "series": [(2, 16)],
    "tables": [(7,)],
    "tokens": [(16,)],
    "graphs": [(6, 13)],
    "forecasts": [(5, 16)],
}
CASES = [
    pytest.param(name, shape, id=f"{name}-{kind}")
    for name in NAMES
    for kind in registry.entries("spaces")[name].labels["inputs"].split(", ")
    for shape in SHAPES[kind]
]


def given(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """What a network of `small` gives for two examples."""
    scale = registry.entries("spaces")[name].labels.get("enlarges")
    return (2, 5) if scale is None else (2, 5, *(scale * size for size in shape[1:]))


def small(name: str, shape: tuple[int, ...]) -> Space:
    return registry.get("spaces", name)(shape, 5, **registry.entries("spaces")[name].labels.get("small", {}))


@pytest.mark.parametrize("name", NAMES)
def test_space_function_takes_shape_and_outputs_and_documents_every_argument(name):
    function = registry.get("spaces", name)
    first, second, *others = inspect.signature(function).parameters.values()
    assert (first.name, second.name) == ("input_shape", "outputs")
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in others)
    assert all(
        f"\n        {p.name}:" in function.__doc__ for p in (first, second, *others) if "Args:" in function.__doc__
    )
    assert {"family", "inputs"} <= set(registry.entries("spaces")[name].labels)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_networks_of_the_space_run_and_have_the_counted_size(name, shape):
    space = small(name, shape)
    assert space.size() > 1
    x = torch.randn(2, *shape)
    for a in [space.smallest(), space.largest(), *space.sample(2, np.random.default_rng(0))]:
        net = build(a, shape, seed=0).eval()
        with torch.no_grad():
            assert net(x).shape == given(name, shape)
        steps = program_of(a, shape).steps
        assert sum(s.leaf.counts(*s.input_shapes).params for s in steps) == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_space_and_members_survive_json(name):
    shape = SHAPES[registry.entries("spaces")[name].labels["inputs"].split(", ")[0]][0]
    space = small(name, shape)
    assert Space.from_json(space.to_json()).digest == space.digest
    a = space.sample(1, np.random.default_rng(1))[0]
    assert Architecture.from_json(a.to_json(), space).digest == a.digest
    assert space.encode(a.tree).key == a.key


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_subnet_equals_its_extraction_bit_for_bit(name, shape):
    space = small(name, shape)
    torch.manual_seed(0)
    net = Supernet(space, shape).eval()
    for tensor in (*net.parameters(), *net.buffers()):  # no statistic or scale keeps its special starting value
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 1.5) if tensor.dim() == 1 else tensor.data.normal_(std=0.2)
    x, outputs = torch.randn(3, *shape), []
    for a in [space.smallest(), space.largest(), *space.sample(6, np.random.default_rng(2))]:
        with torch.no_grad():
            outputs.append(net(x, a))
            assert torch.equal(outputs[-1], net.extract(a)(x))
    assert not all(torch.equal(outputs[0], y) for y in outputs)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_reaches_weights_of_the_subnet_and_no_others(name):
    shape = SHAPES[registry.entries("spaces")[name].labels["inputs"].split(", ")[0]][0]
    space = small(name, shape)
    torch.manual_seed(0)
    net = Supernet(space, shape).train()
    a = space.sample(1, np.random.default_rng(3))[0]
    net(torch.randn(4, *shape), a).square().mean().backward()
    used = {id(p) for p in net.parameters_of(a)}
    graded = [p for p in net.parameters() if p.grad is not None]
    assert graded and {id(p) for p in graded} <= used  # states that nothing reads, and auxiliary heads, have none
    assert all(bool(torch.isfinite(p.grad).all()) for p in graded) and any(bool(p.grad.any()) for p in graded)
