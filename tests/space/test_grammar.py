from __future__ import annotations

import numpy as np
import pytest
from space_trees import Block

from archwright.errors import SpaceError
from archwright.space import Space, between, grammar, oneof, ref, repeat


def trees_of_depth(depth: int) -> int:
    """Binary trees with two kinds of leaves and at most `depth` levels."""
    return 0 if depth == 0 else 2 + trees_of_depth(depth - 1) ** 2


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_recursive_rule_has_as_many_trees_as_its_recursion_says(depth):
    space = Space(grammar("S", {"S": ("a", "b", (ref("S"), ref("S")))}, depth))
    assert space.size() == trees_of_depth(depth)
    if depth <= 3:
        assert len({a.digest for a in space.enumerate()}) == space.size()


def test_deep_grammars_are_counted_exactly_without_listing():
    space = Space(grammar("S", {"S": ("a", "b", (ref("S"), ref("S")))}, 8))
    assert space.size() == trees_of_depth(8) > 10**40
    sample = space.sample(200, np.random.default_rng(0))
    assert space.is_member(space.mutate(sample, np.random.default_rng(1)).codes).all()


def test_rules_may_stand_anywhere_and_refer_to_each_other():
    rules = {"net": (Block(oneof(3, 5), ref("tail")),), "tail": (None, repeat(ref("net"), between(1, 2)))}
    space = Space({"root": grammar("net", rules, 4)})
    assert space.size() == 2 * (1 + 2 + 4)  # one level of blocks inside the first; deeper tails must be None
    assert Space(grammar(Block(1, ref("net")), rules, 2)).size() == 2


def test_options_that_cannot_end_within_the_depth_are_left_out():
    rules = {"S": ("leaf", oneof(ref("T"), 7)), "T": (("t", ref("U")),), "U": ("u",)}
    assert Space(grammar("S", rules, 1)).size() == 2
    assert Space(grammar("S", rules, 3)).size() == 3


def test_rules_without_an_end_are_named():
    with pytest.raises(SpaceError, match="rule 'B' has no option that ends"):
        grammar("A", {"A": (ref("B"),), "B": ((ref("B"), 1),), "C": (1,)}, 5)
    with pytest.raises(SpaceError, match="cannot end within 1 nested references: rule 'A'"):
        grammar("A", {"A": (ref("B"),), "B": (1,)}, 1)
    with pytest.raises(SpaceError, match=r"no rule 'Aa'; did you mean 'A'"):
        grammar("A", {"A": (1, ref("Aa"))}, 3)
    with pytest.raises(SpaceError, match="depth >= 1"):
        grammar("A", {"A": (1,)}, 0)
