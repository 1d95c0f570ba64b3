import itertools
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from export_networks import cell_space, operator_examples, sample, space, token_space, trained
from torch.utils.flop_counter import FlopCounterMode

from archwright.nets.build import build
from archwright.operators.activation import Activation
from archwright.operators.attention import Attention
from archwright.operators.conv import Conv
from archwright.operators.ffn import FFN
from archwright.operators.linear import Linear
from archwright.operators.norm import Norm
from archwright.operators.pool import MaxPool
from archwright.operators.sequential import Sequential
from archwright.report.axes import actions
from archwright.report.diagram import as_text, describe
from archwright.report.drawing import _edges, _lanes, draw, grouped

SPACES = {"stages": (space, (1, 8, 8)), "cells": (cell_space, (3, 8, 8)), "tokens": (token_space, (3, 8, 8))}


def traced_shapes(net, shape):
    """Shape of every step's output in a real forward pass, in order."""
    shapes = []
    for layer in net.layers.values():
        layer.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        net.eval()(torch.randn(1, *shape))
    return shapes


@pytest.mark.parametrize("name", SPACES)
def test_described_shapes_equal_a_traced_forward_pass_for_100_random_architectures(name):
    make, shape = SPACES[name]
    for architecture in make().sample(100, np.random.default_rng(0)):
        description = describe(architecture, shape)
        said = [tuple(axis.size for axis in step.axes_out) for step in description.steps]
        net = build(architecture, shape)
        assert said == traced_shapes(net, shape)
        assert description.params == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("name", SPACES)
def test_inputs_of_each_step_are_the_outputs_of_the_steps_named(name):
    make, shape = SPACES[name]
    for architecture in make().sample(20, np.random.default_rng(1)):
        description = describe(architecture, shape)
        axes = dict(enumerate(description.inputs)) | {s.output: s.axes_out for s in description.steps}
        for step in description.steps:
            assert step.axes_in[: len(step.inputs)] == tuple(axes[n] for n in step.inputs)


def test_macs_equal_the_count_of_torch_for_a_network_without_attention():
    net = trained(sample(space(), 1), (1, 8, 8))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.randn(1, 1, 8, 8))
    assert describe(net).macs == counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("operator", "shape", "expected"),
    [
        (Conv(6, kernel=1), (4, 5, 5), (None, "broadcast", "broadcast")),
        (Conv(4, kernel=1), (4, 5, 5), ("mixed", "broadcast", "broadcast")),
        (Conv(4, kernel=3), (4, 5, 5), ("mixed", "mixed", "mixed")),
        (Conv(4, kernel=3, groups=4), (4, 5, 5), ("separate", "mixed", "mixed")),
        (Activation("relu"), (4, 5, 5), ("broadcast", "broadcast", "broadcast")),
        (MaxPool(3, stride=1), (4, 5, 5), ("broadcast", "mixed", "mixed")),
        (Norm(), (4, 5, 5), ("separate", "broadcast", "broadcast")),
        (FFN(hidden=8), (5, 6), ("broadcast", "mixed")),
        (Attention(heads=2, head_dim=3), (5, 6), ("mixed", "mixed")),
        (Linear(6), (5, 6), ("broadcast", "mixed")),
    ],
)
def test_broadcast_axes_are_those_of_the_mathematics(operator, shape, expected):
    assert actions(operator, (shape,)) == expected


def test_axes_of_series_and_tokens_are_told_apart():
    series = describe(Sequential((Norm(first=True), Conv(4), MaxPool(2, stride=2))), (3, 16))
    assert [a.name for a in series.inputs[0]] == ["channels", "length"]
    assert all([a.name for a in s.axes_out] == ["channels", "length"] for s in series.steps)
    tokens = describe(sample(token_space()), (3, 8, 8))
    assert [a.name for a in tokens.steps[0].axes_in[0]] == ["channels", "height", "width"]
    assert [a.name for a in tokens.steps[0].axes_out] == ["tokens", "features"]
    assert [a.name for a in tokens.steps[-1].axes_out] == ["features"]


def test_every_registered_operator_can_be_described_and_drawn():
    for name, operator, shapes in operator_examples():
        description = describe(operator, *shapes)
        assert description.steps or name.startswith(("sequential", "residual")), name
        ElementTree.fromstring(draw(description))


def test_text_names_every_layer_and_the_totals():
    description = describe(sample(space(), 2), (1, 8, 8))
    lines = as_text(description).splitlines()
    assert len(lines) == len(description.steps) + 3
    assert "channels 1 × height 8 × width 8" in lines[2] and lines[-1].startswith("total")
    assert all(len(line) <= 60 for line in as_text(description, width=60).splitlines())


def test_drawing_is_xml_with_each_row_and_totals():
    description = describe(sample(cell_space(), 3), (3, 8, 8))
    root = ElementTree.fromstring(draw(description))
    text = "".join(root.itertext())
    assert text.count("broadcast over:") == len(grouped(description.steps))
    assert "channels 8 × height 8 × width 8" in text and "input" in text and "output" in text


def test_equal_blocks_are_drawn_once_and_their_numbers_added():
    architecture = next(
        a
        for a in space().sample(50, np.random.default_rng(0))
        if a.tree.parts[-2] and len([s for s in describe(a, (1, 8, 8)).steps if s.stage == 2]) == 3
    )
    description = describe(architecture, (1, 8, 8))
    rows = grouped(description.steps)
    assert [row.times for row in rows if row.step.stage == 2] in ([3], [1, 2])
    assert sum(row.times for row in rows) == len(description.steps)
    assert sum(row.step.params * row.times for row in rows) == description.params


def test_arcs_that_share_a_lane_never_overlap():
    for architecture in cell_space().sample(30, np.random.default_rng(2)):
        description = describe(architecture, (3, 8, 8))
        lanes, count = _lanes(_edges(description, grouped(description.steps)))
        for lane in range(count):
            spans = sorted(edge for edge, own in lanes.items() if own == lane)
            assert all(b <= c for (_, b), (c, _) in itertools.pairwise(spans))
