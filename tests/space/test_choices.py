from __future__ import annotations

import itertools
import math

import pytest
from space_trees import Block, MBConv

from archwright.errors import SpaceError
from archwright.space import Choice, Repeat, Space, between, geometric, holds_choice, oneof, repeat, subset


def options(choice) -> tuple:
    assert isinstance(choice, Choice)
    return choice.options


def test_increasing_numbers_are_ordered_and_others_are_not():
    assert oneof(3, 5, 7).ordered and oneof(0.5, 1).ordered
    assert not oneof(5, 3).ordered
    assert not oneof("a", "b").ordered
    assert not oneof(False, True).ordered


def test_between_includes_both_ends_and_stops_below_high():
    assert options(between(2, 4)) == (2, 3, 4)
    assert options(between(16, 64, 20)) == (16, 36, 56)
    assert options(between(0.1, 0.3, 0.1)) == (0.1, 0.2, pytest.approx(0.3))
    assert all(type(v) is int for v in options(between(2, 4)))


def test_geometric_has_equal_ratios_and_exact_ends():
    assert options(geometric(8, 128, 5)) == (8, 16, 32, 64, 128)
    floats = options(geometric(1e-4, 1e-1, 4))
    assert floats[0] == 1e-4 and floats[-1] == 1e-1
    assert all(math.isclose(b / a, 10) for a, b in itertools.pairwise(floats))


def test_geometric_says_when_rounding_makes_values_equal():
    with pytest.raises(SpaceError, match="only 4 different ints"):
        geometric(1, 4, 8)


def test_subset_is_one_decision_over_combinations_in_their_order():
    assert options(subset(["a", "b", "c"], 2)) == (("a", "b"), ("a", "c"), ("b", "c"))
    assert options(subset([1, 2], between(0, 2))) == ((), (1,), (2,), (1, 2))
    assert options(subset([1, 2, 3], (1, 3))) == ((1,), (2,), (3,), (1, 2, 3))
    assert Space((subset(range(10), 5),)).size() == math.comb(10, 5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: oneof(), "1 to 32767 options"),
        (lambda: oneof(3, 5, 3), "options 0 and 2 are both 3"),
        (lambda: oneof(Block(1), Block(1), name="op"), "'op' must differ"),
        (lambda: oneof(1, name=""), "non-empty string"),
        (lambda: between(4, 2), "low <= high"),
        (lambda: between(1, 2, 0), "step > 0"),
        (lambda: between(0, 1, 1e-6), "1000001 values"),
        (lambda: geometric(0, 8, 3), "0 < low < high"),
        (lambda: subset([1, 2], 3), "sizes from 0 to 2"),
        (lambda: subset([1, oneof(2, 3)], 1), "hold no choices"),
        (lambda: subset(range(30), 15), "155117520 combinations"),
        (lambda: repeat(1, -1), "int from 0 to 10000"),
        (lambda: repeat(1, oneof("two", "three")), "int from 0 to 10000"),
        (lambda: repeat(1, oneof(3, 2)), "ordered choice"),
        (lambda: oneof({1, 2}), "got {1, 2} of type set"),
    ],
)
def test_a_wrong_choice_says_what_is_wrong(make, message):
    with pytest.raises(SpaceError, match=message):
        make()


def test_equal_numbers_of_different_types_are_different_options():
    assert Space((oneof(1, 1.0, True),)).size() == 3


def test_choices_are_found_anywhere_in_a_tree():
    assert holds_choice({"a": [Block(body=(1, oneof(1, 2)))]})
    assert holds_choice(repeat(1, 2))
    assert not holds_choice(Block(body=(1, 2)))


def test_markers_read_like_the_calls_that_made_them():
    assert repr(oneof(3, 5, name="k")) == "oneof(3, 5, name='k')"
    assert repr(repeat(MBConv(), between(1, 2))) == "repeat(MBConv(kernel=3, expand=6), oneof(1, 2))"
    assert repr(between(0, 99)) == "oneof(0, 1, 2, ... 100 options)"
    assert isinstance(repeat(1, 2), Repeat)
