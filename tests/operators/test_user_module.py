"""Any module of the user's as an operator."""

from __future__ import annotations

import sys
import textwrap

import pytest
import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.nets import Supernet, build
from archwright.operators import Call, Classifier, Sequential, call
from archwright.space import Space, oneof

SOURCE = """
import torch
from torch import nn

class Scale(nn.Module):
    def __init__(self, in_channels, factor=1.0):
        super().__init__()
        self.weight = nn.Parameter(factor * torch.ones(in_channels, 1, 1))
    def forward(self, x):
        return x * self.weight

class Numbers(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.width = int(torch.linspace(1, 5, 3)[-1].item())   # needs numbers, fails on shapes alone
        self.linear = nn.Linear(inputs[0][0], self.width)
    def forward(self, x):
        return self.linear(x)

class Pair(nn.Module):
    def forward(self, x):
        return x, x

class Flat(nn.Module):
    def forward(self, x):
        return x.flatten()

def three(input_shape, depth=1):
    return nn.Sequential(*[nn.Conv2d(input_shape[0], input_shape[0], 3, padding=1) for _ in range(depth)])

def wrong():
    return 3
"""


@pytest.fixture
def blocks(tmp_path, monkeypatch):
    (tmp_path / "user_blocks_for_test.py").write_text(textwrap.dedent(SOURCE))
    monkeypatch.syspath_prepend(tmp_path)
    yield "user_blocks_for_test"
    sys.modules.pop("user_blocks_for_test", None)


def test_nothing_is_imported_until_a_module_is_asked_for(blocks):
    operator = call(f"{blocks}:Scale", factor=2.0)
    text = Space(Sequential((operator,))).to_json()
    Space.from_json(text, allow=(blocks,))
    assert blocks not in sys.modules
    operator.module((3, 4, 4))
    assert blocks in sys.modules


def test_parameters_named_after_the_input_are_filled(blocks):
    assert call(f"{blocks}:Scale").counts((5, 4, 4)).params == 5
    assert call(f"{blocks}:Scale", in_channels=5, factor=3.0).module((5, 4, 4)).weight[0].item() == 3.0
    assert call(f"{blocks}:three", depth=2).output((4, 6, 6)) == (4, 6, 6)


def test_module_that_needs_numbers_is_run_on_zeros(blocks):
    operator = call(f"{blocks}:Numbers")
    assert operator.output((4,)) == (5,)
    assert operator.counts((4,)).macs == 20


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("Pair", (4,), "must return one tensor, got tuple"),
        ("Flat", (4,), "keep the batch axis"),
        ("wrong", (4,), "must return an nn.Module, got int"),
        ("Scale", (4,), "keep the batch axis"),
        ("Missing", (4,), "cannot import"),
        ("three", (4, 6), "does not accept inputs of shape|Expected"),
    ],
)
def test_wrong_shapes_and_types_are_space_errors(blocks, name, shape, words):
    operator = call(f"{blocks}:{name}")
    with pytest.raises(SpaceError, match=words):
        operator.output(shape)


def test_constructor_that_raises_is_a_space_error(blocks):
    with pytest.raises(SpaceError, match="raised TypeError"):
        call(f"{blocks}:Scale", unknown=1).output((3, 4, 4))


def test_importable_class_may_be_given_itself():
    assert Call(nn.ReLU).target == "torch.nn.modules.activation:ReLU"
    assert Call(nn.ReLU) == Call("torch.nn.modules.activation:ReLU")
    assert hash(Call(nn.ReLU)) == hash(Call(nn.ReLU))


def test_local_class_is_refused():
    class Local(nn.Module): ...

    with pytest.raises(SpaceError, match="can be imported by its name"):
        Call(Local)


def test_choices_among_arguments_are_decisions_of_the_space():
    tree = Sequential((call("torch.nn:Conv2d", out_channels=oneof(4, 8), kernel_size=oneof(1, 3)), Classifier(3)))
    space = Space(tree)
    assert space.size() == 4
    supernet = Supernet(space, (3, 8, 8)).eval()
    x = torch.randn(2, 3, 8, 8)
    for architecture in space.enumerate():
        assert torch.equal(supernet(x, architecture), supernet.extract(architecture).eval()(x))
        assert build(architecture, (3, 8, 8))(x).shape == (2, 3)


@pytest.mark.parametrize("target", ["os:system", oneof("torch.nn:Identity", "os:system")])
def test_reading_a_tree_refuses_targets_that_are_not_allowed(target):
    text = Space(Sequential((Call(target, {"command": "true"}),))).to_json()
    with pytest.raises(SpaceError, match=r"allow=\['os:system'\]"):
        Space.from_json(text, allow=["torch"])
    assert Space.from_json(text, allow=["torch", "os:system"]).size() >= 1
