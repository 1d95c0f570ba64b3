"""Graph cells of NAS-Bench-101: published sizes, one normal code per graph, channels and pruning."""

import numpy as np
import pytest
import torch

from archwright.errors import SpaceError
from archwright.nets import Supernet, build
from archwright.predictors.encoding import encoder_of, whole_space
from archwright.spaces.nasbench101 import (
    OPERATORS,
    from_graph,
    matrix_of,
    nasbench101,
    normal_codes,
    to_graph,
    widths_of,
)

CIFAR = (3, 32, 32)


def graph(rows, *operators, vertices=5):
    """Code of a graph given as lists of the vertices that each vertex leads to."""
    matrix = np.zeros((len(rows) + 1,) * 2, int)
    for v, ends in enumerate(rows):
        matrix[v, ends] = 1
    return from_graph(matrix, [OPERATORS.index(o) for o in operators], vertices)


@pytest.mark.parametrize(("vertices", "graphs"), [(4, 91), (5, 2532)])
def test_there_are_as_many_networks_as_published(vertices, graphs):
    space = nasbench101(vertices=vertices)
    codes = space.enumerate().codes
    normal = normal_codes(codes, vertices)
    assert len(np.unique(normal, axis=0)) == graphs and space.is_member(normal).all()
    assert (normal_codes(normal, vertices) == normal).all()


def test_codes_of_one_normal_code_have_equal_size_and_prune_to_equally_many_operators():
    space = nasbench101(CIFAR, channels=12, stacks=1, cells=1)
    codes = space.sample(400, np.random.default_rng(0)).codes
    normal = normal_codes(codes, 5)
    for code, same in zip(codes[:60], normal[:60], strict=True):
        nets = [build(space.architectures(c[None])[0], (3, 8, 8)) for c in (code, same)]
        assert len({sum(p.numel() for p in net.parameters()) for net in nets}) == 1
        names = [sorted(to_graph(c, 5)["module_operations"]) for c in (code, same)]
        assert names[0] == names[1]


def test_order_of_equal_roles_does_not_matter_but_their_operators_do():
    both = [[1, 2], [3], [3]]
    a = graph(both, "conv1x1", "conv3x3")
    b = graph(both, "conv3x3", "conv1x1")
    c = graph(both, "conv3x3", "conv3x3")
    same = normal_codes(np.stack([a, b, c]), 5)
    assert (same[0] == same[1]).all() and (same[0] != same[2]).any()


def test_a_vertex_that_leads_nowhere_is_no_part_of_the_network():
    dead = graph([[1, 2], [3], []], "conv3x3", "conv3x3")
    assert to_graph(dead, 5)["module_operations"] == ["input", "conv3x3", "output"]
    alone = graph([[1], [2]], "conv3x3")
    assert (normal_codes(dead[None], 5) == normal_codes(alone[None], 5)).all()


def test_vertices_before_the_output_share_its_channels():
    chain = matrix_of((True, True, True, False, False, True, False, True, False, True), 5)  # 1 and 2 -> 3 -> 4
    assert widths_of(chain, 128)[1:4] == [128, 128, 128]
    three = matrix_of((True, True, True, False, False, False, True, False, True, True), 5)
    assert widths_of(three, 128)[1:4] == [43, 43, 42]


def test_an_edge_from_input_to_output_is_a_projection_that_is_added():
    space = nasbench101(CIFAR, vertices=3, channels=8, stacks=1, cells=1)
    code = np.array([[1, 1, 1, 1]])
    net = build(space.architectures(code)[0], (3, 8, 8))
    convs = [tuple(m.weight.shape) for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert sorted(convs) == sorted([(8, 3, 3, 3), (8, 8, 1, 1), (8, 8, 1, 1), (8, 8, 3, 3)])


def test_a_supernet_of_graphs_takes_a_step():
    space = nasbench101(CIFAR, vertices=4, channels=6, stacks=2, cells=1)
    net = Supernet(space, (3, 8, 8)).train()
    for a in space.sample(3, np.random.default_rng(1)):
        loss = net(torch.randn(4, 3, 8, 8), a).square().mean()
        loss.backward()
        assert torch.isfinite(loss)


def test_predictors_see_equal_networks_as_one():
    space = nasbench101(vertices=4)
    whole = whole_space(space)
    assert len(np.unique(whole.encoded.keys())) == 91
    codes = space.enumerate().codes
    encoded = encoder_of(space).encode(space.architectures(codes[:40]))
    for name, block in encoded.blocks.items():
        assert np.allclose(block, whole.encode(codes[:40]).blocks[name])


def test_strings_of_graphs_round_trip():
    space = nasbench101()
    for code in normal_codes(space.sample(50, np.random.default_rng(2)).codes, 5):
        published = to_graph(code, 5)
        operators = [OPERATORS.index(o) for o in published["module_operations"][1:-1]]
        assert (normal_codes(from_graph(np.array(published["module_adjacency"]), operators, 5)[None], 5) == code).all()


def test_what_is_no_graph_is_refused():
    with pytest.raises(SpaceError, match="upper triangular"):
        from_graph(np.ones((3, 3), int), [0], 5)
    with pytest.raises(SpaceError, match="3 to 7"):
        nasbench101(vertices=8)
    with pytest.raises(SpaceError, match="images"):
        nasbench101((7,))
    cut = nasbench101(vertices=3)
    assert not cut.is_member(np.array([[1, 0, 0, 0]])).any()  # only the edge from the input to vertex 1


def test_seven_vertices_are_searched_by_trying():
    space = nasbench101(vertices=7)
    codes = space.sample(5, np.random.default_rng(3)).codes
    assert (codes[:, :21].sum(axis=1) <= 9).all()
