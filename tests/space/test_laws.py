"""Laws that hold for every space: checked on random trees against a plain enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from space_trees import code_of, constrained, members, one_change, spaces

from archwright.errors import SpaceError
from archwright.space import Architecture, Space
from archwright.space.canonical import canonical_text

slow_to_draw = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
few = settings(max_examples=80, deadline=None, suppress_health_check=slow_to_draw, derandomize=True)
ALLOW = ["space_trees"]


def drawn(pair) -> tuple[Space, list]:
    """A space with its rules, and its members by plain enumeration; only spaces that are not empty."""
    free, rules = pair
    expected = members(free, rules)
    assume(expected)
    return constrained(free, rules), expected


@few
@given(spaces())
def test_size_and_enumeration_equal_the_plain_enumeration(pair):
    free, rules = pair
    expected = members(free, rules)
    if not expected:
        with pytest.raises(SpaceError, match="no architecture keeps to"):
            constrained(free, rules)
        return
    space = constrained(free, rules)
    listed = space.enumerate()
    assert space.size() == len(expected) == len(listed)
    assert {tuple(c) for c in listed.codes.tolist()} == {code_of(space, chosen) for _, chosen in expected}
    assert [len(b) for b in space.batches(7)] == [7] * (len(listed) // 7) + [len(listed) % 7] * (len(listed) % 7 > 0)
    assert space.is_member(listed.codes).all()


@few
@given(spaces(300))
def test_trees_and_digests_are_those_of_the_plain_enumeration(pair):
    space, expected = drawn(pair)
    by_code = {code_of(space, chosen): tree for tree, chosen in expected}
    for a in space.enumerate():
        assert canonical_text(a.tree) == canonical_text(by_code[tuple(a.code.tolist())])
        assert space.canonical_text(a.code) == canonical_text(a.tree)
        assert Space(a.tree).enumerate()[0].digest == a.digest


@few
@given(spaces(), st.integers(0, 2**32))
def test_codes_and_architectures_are_each_others_inverse(pair, seed):
    space, _ = drawn(pair)
    rng = np.random.default_rng(seed)
    sample = space.sample(20, rng)
    assert space.architectures(sample.codes) == sample
    assert np.array_equal(space.codes(list(sample)), sample.codes)
    noisy = np.where(sample.codes < 0, rng.integers(-50, 50, sample.codes.shape), sample.codes)
    assert np.array_equal(space.canonical(noisy), sample.codes)
    for a in sample[:5]:
        assert Architecture.from_json(a.to_json(), space) == a
        alone = Architecture.from_json(a.to_json(), allow=ALLOW)
        assert alone.digest == a.digest
        found = space.encode(a.tree)
        assert found.digest == a.digest and space.is_member(found.code[None])[0]


@few
@given(spaces(), st.integers(0, 2**32), st.booleans())
def test_every_sample_is_a_member_and_reaches_all_of_a_small_space(pair, seed, uniform):
    space, expected = drawn(pair)
    sample = space.sample(200, np.random.default_rng(seed), uniform=uniform)
    legal = {code_of(space, chosen) for _, chosen in expected}
    seen = {tuple(c) for c in sample.codes.tolist()}
    assert seen <= legal
    if uniform and len(legal) <= 6:
        assert seen == legal


@few
@given(spaces(), st.integers(0, 2**32), st.integers(1, 3))
def test_every_mutant_is_a_member_and_differs_from_its_parent(pair, seed, changes):
    space, expected = drawn(pair)
    rng = np.random.default_rng(seed)
    parents = space.sample(30, rng)
    if len(expected) == 1:
        with pytest.raises(SpaceError, match="one architecture only"):
            space.mutate(parents, rng)
        return
    mutants = space.mutate(parents, rng, changes)
    legal = {code_of(space, chosen) for _, chosen in expected}
    assert {tuple(c) for c in mutants.codes.tolist()} <= legal
    assert (mutants.codes != parents.codes).any(axis=1).all()


@few
@given(spaces(), st.integers(0, 2**32))
def test_one_change_without_constraints_is_one_change(pair, seed):
    free, _ = pair
    assume(free.size() > 1)
    rng = np.random.default_rng(seed)
    parents = free.sample(20, rng)
    mutants = free.mutate(parents, rng)
    for parent, mutant in zip(parents.codes.tolist(), mutants.codes.tolist(), strict=True):
        assert one_change(tuple(parent), tuple(mutant)) is not None


@few
@given(spaces(), st.integers(0, 2**32))
def test_every_child_is_a_member_and_takes_after_its_parents(pair, seed):
    space, expected = drawn(pair)
    rng = np.random.default_rng(seed)
    a, b = space.sample(30, rng), space.sample(30, rng)
    child = space.crossover(a, b, rng).codes
    legal = {code_of(space, chosen) for _, chosen in expected}
    assert {tuple(c) for c in child.tolist()} <= legal
    inherited = (child == a.codes) | (child == b.codes) | ((a.codes < 0) & (b.codes < 0))
    assert (inherited | (child < 0)).all()


@few
@given(spaces(300), st.integers(0, 2**32))
def test_neighbours_are_all_single_changes(pair, seed):
    space, expected = drawn(pair)
    parent = space.sample(1, np.random.default_rng(seed))[0]
    code = tuple(parent.code.tolist())
    found = [one_change(code, tuple(c)) for c in space.neighbours(parent).codes.tolist()]
    possible = {one_change(code, code_of(space, chosen)) for _, chosen in expected} - {None}
    assert None not in found
    assert len(found) == len(set(found))
    assert set(found) == possible
    assert space.is_member(space.neighbours(parent).codes).all()


@few
@given(spaces())
def test_json_keeps_the_space(pair):
    space, expected = drawn(pair)
    again = Space.from_json(space.to_json(), allow=ALLOW)
    assert again == space and again.digest == space.digest
    assert again.size() == len(expected)
    assert [d.label for d in again.decisions] == [d.label for d in space.decisions]


@few
@given(spaces())
def test_without_constraints_every_option_is_reached_and_one_hot_says_which(pair):
    free, _ = pair
    codes = free.enumerate().codes
    hot = free.one_hot(codes)
    assert hot.shape == (len(codes), sum(d.size for d in free.decisions))
    assert (hot.sum(axis=1) == (codes >= 0).sum(axis=1)).all()
    assert hot.any(axis=0).all()


@few
@given(spaces())
def test_smallest_and_largest_are_members_at_the_ends(pair):
    space, _ = drawn(pair)
    free, _ = pair
    for end, last in ((space.smallest(), False), (space.largest(), True)):
        assert space.is_member(end.code[None])[0]
        ideal = [d.size - 1 if last else 0 for d in free.decisions]
        masked = free.canonical(np.array([ideal]))
        if space.is_member(masked)[0]:
            assert np.array_equal(end.code, masked[0])


@few
@given(spaces(), st.integers(0, 2**32))
def test_the_nearest_member_of_any_codes_is_a_member_and_of_a_member_itself(pair, seed):
    space, _ = drawn(pair)
    rng = np.random.default_rng(seed)
    wild = rng.integers(-5, 9, (10, len(space.decisions)))
    assert space.is_member(space.nearest(wild).codes).all()
    sample = space.sample(10, rng)
    assert space.nearest(sample.codes) == sample


@few
@given(spaces(), st.data())
def test_damaged_json_is_refused_or_read_but_never_anything_else(pair, data):
    space, _ = drawn(pair)
    for read, text in (
        (lambda t: Space.from_json(t, allow=ALLOW), space.to_json()),
        (lambda t: Architecture.from_json(t, space, allow=ALLOW), space.smallest().to_json()),
        (lambda t: Architecture.from_json(t, allow=ALLOW), space.smallest().to_json()),
    ):
        start = data.draw(st.integers(0, len(text) - 1))
        stop = start + data.draw(st.integers(0, 12))
        damage = data.draw(
            st.sampled_from(["", "null", "-1", "9", "[]", "{}", '"', "]", '"$oneof"', "1e999", "true", "$"])
        )
        try:
            read(text[:start] + damage + text[stop:])
        except SpaceError as error:
            assert str(error)


@few
@given(spaces(300), st.integers(0, 2**32))
def test_differences_are_none_only_between_equal_trees(pair, seed):
    space, _ = drawn(pair)
    a, b = space.sample(2, np.random.default_rng(seed))
    assert a.diff(a) == []
    assert (a.diff(b) == []) == (a.digest == b.digest)
    assert isinstance(str(a), str) and len(space.graph(a).nodes) == len(space.graph(a).adjacency)
