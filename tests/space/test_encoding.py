from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from space_trees import Block, MBConv, Net, Pool

from archwright.errors import SpaceError
from archwright.space import Space, between, graph, oneof, repeat


def test_one_hot_has_a_column_for_each_option_and_zeros_where_inactive():
    space = Space(repeat(oneof("a", "b", "c"), between(1, 2)))
    assert space.one_hot(np.array([[0, 2, -1], [1, 0, 1]])).tolist() == [
        [1, 0, 0, 0, 1, 0, 0, 0],
        [0, 1, 1, 0, 0, 0, 1, 0],
    ]
    assert space.one_hot(np.zeros((0, 3), dtype=int)).shape == (0, 8)
    with pytest.raises(SpaceError, match="shape"):
        space.one_hot(np.array([1, 2]))


def test_a_graph_has_the_parts_of_a_sequence_in_a_row():
    g = graph(Net((MBConv(3), (MBConv(5), MBConv(7))), Pool.MEAN))
    assert [n.type for n in g.nodes] == ["Net", "MBConv", "MBConv", "MBConv"]
    assert [n.path for n in g.nodes] == ["", "parts.0", "parts.1.0", "parts.1.1"]
    assert g.nodes[2].fields == {"kernel": 5, "expand": 6}
    assert g.nodes[0].fields == {"pool": Pool.MEAN}
    assert g.edges == ((0, 1), (1, 2), (2, 3))
    assert g.adjacency.dtype == np.uint8 and g.adjacency.sum() == 3 and g.adjacency[2, 3] == 1


def test_a_graph_points_to_what_stands_in_separate_fields():
    g = graph(Block(Block(1), Block(2, (Block(3), Block(4)))))
    assert set(g.edges) == {(0, 1), (0, 2), (2, 3), (3, 4)}


@dataclass(frozen=True)
class Cell:
    ops: Any

    def edges(self):
        return [(-1, 0), (-1, 1), (0, 2), (1, 2)]


def test_a_class_may_name_its_own_edges():
    g = graph(Net((Cell((MBConv(3), MBConv(5), MBConv(7))), Block())))
    assert set(g.edges) == {(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (1, 5)}


def test_nodes_carry_the_site_of_the_space():
    space = Space({"parts": repeat(MBConv(oneof(3, 5)), 2)})
    assert [n.site for n in space.graph(space.smallest()).nodes] == ["parts#0", "parts#1"]
