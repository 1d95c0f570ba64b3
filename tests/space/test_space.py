from __future__ import annotations

import itertools
import math
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from space_trees import Block, MBConv, Net, Pool, ofa_tree, pairwise

from archwright.errors import SpaceError
from archwright.space import ABSENT, Architecture, Space, between, constraint, oneof, repeat, subset

OFA_SIZE = 3 * (9**2 + 9**3 + 9**4) ** 5


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def ofa() -> Space:
    return Space(ofa_tree())


def test_ofa_space_has_46_decisions_and_its_closed_form_size(ofa):
    assert len(ofa.decisions) == 46
    assert ofa.size() == OFA_SIZE == 65275966477717457553


def test_size_is_exact_far_beyond_64_bits():
    space = Space(tuple(oneof(*range(10)) for _ in range(100)))
    assert space.size() == 10**100
    capped = Space(
        tuple(oneof(*range(10), name=f"x{i}") for i in range(100)), constraint(lambda a, b: a < b, "x0", "x99")
    )
    assert capped.size() == 45 * 10**98


def test_paths_say_where_a_choice_stands():
    tree = {"parts": (1, 2, repeat(Block(oneof(3, 5), oneof(Block(oneof(1, 2)), None)), between(1, 2)))}
    paths = [d.path for d in Space(tree).decisions]
    assert paths == [
        "parts.2.times",
        "parts.2#0.kernel",
        "parts.2#0.body",
        "parts.2#0.body|0.kernel",
        "parts.2#1.kernel",
        "parts.2#1.body",
        "parts.2#1.body|0.kernel",
    ]


def test_inactive_decisions_are_minus_one_and_their_codes_do_not_count(ofa):
    space = Space(repeat(oneof("a", "b"), between(0, 2)))
    assert space.size() == 1 + 2 + 4
    assert space.canonical(np.array([[0, 1, 99], [1, 1, -7], [2, 1, 0]])).tolist() == [
        [0, -1, -1],
        [1, 1, -1],
        [2, 1, 0],
    ]
    assert space.is_member(np.array([[0, -1, -1], [0, 1, -1], [2, 1, -1], [3, 0, 0]])).tolist() == [
        True,
        False,
        False,
        False,
    ]


def test_a_named_choice_is_one_decision_wherever_it_stands():
    width = oneof(8, 16, name="width")
    space = Space((width, oneof(Block(width), "none"), Block(oneof(8, 16, name="width"))))
    assert [d.label for d in space.decisions] == ["width", "1"]
    tree = space.architecture({"width": 16, "1": Block(width)}).tree
    assert tree == (16, Block(16), Block(16))


def test_a_shared_choice_is_active_where_any_of_its_places_is():
    shared = oneof(1, 2, name="s")
    space = Space((oneof(Block(shared), "x"), oneof(Block(shared), "y")))
    assert space.size() == 2 + 2 + 2 + 1
    assert space.decision("s").path == "0|0.kernel"


def test_choices_of_one_name_must_agree():
    with pytest.raises(SpaceError, match=r"'k' must have the same options everywhere, but those at '0' and '1'"):
        Space((oneof(1, 2, name="k"), oneof(1, 3, name="k")))


def test_a_name_inside_itself_is_an_error():
    inner = oneof(1, 2, name="k")
    with pytest.raises(SpaceError, match="'k'"):
        Space(oneof(Block(inner), 3, name="k"))


def test_sites_are_places_in_the_space(ofa):
    space = Space({"parts": (0, repeat(oneof(MBConv(oneof(3, 5)), Block(1)), 2))})
    tree = space.architectures(np.array([[0, 1, 1, -1]]))[0].tree
    assert tree["parts"][1][0] == MBConv(5) and tree["parts"][1][0].site == "parts.1#0|0"
    assert tree["parts"][1][1].site == "parts.1#1|1"


def test_one_object_at_two_places_gets_two_sites():
    block = MBConv()
    first, second = Space((block, block)).smallest().tree
    assert (first.site, second.site, block.site) == ("0", "1", "")


def test_a_field_named_site_is_left_alone():
    @dataclass(frozen=True)
    class Plan:
        site: str = "north"

    assert Space((Plan(),)).smallest().tree[0].site == "north"


def test_lists_and_dicts_of_two_architectures_are_not_one_object():
    space = Space(([1, oneof(1, 2)], {"k": 3}))
    a, b = space.enumerate()
    assert a.tree[0] is not space.architectures(a.code[None])[0].tree[0]
    a.tree[1]["k"] = 99
    assert b.tree[1]["k"] == 3 and space.smallest().tree[1]["k"] == 3


@dataclass
class Thawed:
    x: int = 1


@dataclass(frozen=True, slots=True)
class Slotted:
    site: ClassVar[str] = ""
    x: int = 1


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (Thawed(), "must be a frozen dataclass"),
        (Slotted(), "cannot have slots"),
        ({"a.b": 1}, "keys of a dict"),
        ({1: 1}, "keys of a dict"),
        ((print,), "got <built-in function print>"),
        ((np.int64(3),), "of type int64"),
    ],
)
def test_a_tree_that_cannot_be_a_space_is_refused(tree, message):
    with pytest.raises(SpaceError, match=message):
        Space(tree)


def test_codes_that_are_no_members_are_refused_with_row_and_reason(ofa):
    space = Space(
        (oneof(1, 2, name="a"), oneof(1, 2, name="b")), constraint(lambda a, b: a <= b, "a", "b", message="a <= b")
    )
    with pytest.raises(SpaceError, match=r"row 1: 'b' is active and has codes 0 to 1, got 2"):
        space.architectures(np.array([[0, 0], [0, 2]]))
    with pytest.raises(SpaceError, match=r"row 0 breaks the constraint 'a <= b': {'a': 2, 'b': 1}"):
        space.architectures(np.array([[1, 0]]))
    with pytest.raises(SpaceError, match=r"shape \(n, 2\)"):
        space.architectures(np.array([[1.0, 0.0]]))
    with pytest.raises(SpaceError, match="another tree"):
        ofa.codes(space.enumerate())


def test_an_empty_space_names_the_constraint_that_empties_it():
    small = constraint(lambda d: d <= 2, "depth0", message="shallow")
    other = constraint(lambda d: d <= 3, "depth1", message="unrelated")
    large = constraint(lambda d, r: d >= 4 and r > 192, "depth0", "resolution", message="deep")
    with pytest.raises(SpaceError, match=r"'deep' together with \['shallow'\]"):
        Space(ofa_tree(), (small, other, large))
    with pytest.raises(SpaceError, match="keeps to the constraint 'never'; loosen"):
        Space(ofa_tree(), constraint(lambda d: False, "depth3", message="never"))


def test_constraints_that_cannot_be_tabulated_say_so():
    with pytest.raises(SpaceError, match="no decision 'depht1'; did you mean 'depth1'"):
        Space(ofa_tree(), constraint(lambda d: True, "depht1"))
    with pytest.raises(SpaceError, match="raised TypeError"):
        Space(ofa_tree(), constraint(lambda d: d < "x", "depth1", message="bad"))
    wide = tuple(oneof(*range(1100), name=f"x{i}") for i in range(2))
    with pytest.raises(SpaceError, match="1,210,000 combinations"):
        Space(wide, constraint(lambda a, b: a < b, "x0", "x1"))
    with pytest.raises(SpaceError, match="different names"):
        constraint(lambda a, b: True, "x", "x")
    with pytest.raises(SpaceError, match="takes constraints and functions"):
        Space(wide, 3)


def test_constraints_that_tie_everything_together_are_refused_in_words():
    names = [f"x{i}" for i in range(14)]
    tree = tuple(oneof(1, 2, 3, 4, name=n) for n in names)
    rules = [constraint(lambda a, b: a + b < 8, *pair) for pair in pairwise(names)]
    with pytest.raises(SpaceError, match="tie too many decisions together"):
        Space(tree, rules)


def test_constrained_size_of_ofa_has_a_closed_form(ofa):
    total = constraint(lambda *d: sum(d) <= 11, *(f"depth{i}" for i in range(5)), message="at most 11 blocks")
    space = ofa.where(total)
    two, three = 9**2, 9**3
    assert space.size() == 3 * (two**5 + 5 * two**4 * three)
    assert all(sum(len(s) for s in a.tree.parts) <= 11 for a in space.sample(50, np.random.default_rng(1)))
    largest = space.largest()
    assert [len(s) for s in largest.tree.parts] == [3, 2, 2, 2, 2]
    assert largest.tree.pool == 256 and largest.tree.parts[0][0] == MBConv(7, 6)


def test_samples_under_constraints_follow_the_conditional_distribution(rng):
    tree = (oneof("x", oneof(1, 2, 3, name="k"), name="c"), oneof(1, 2, 3, name="m"))
    space = Space(tree, constraint(lambda k, m: k < m, "k", "m"))
    sample = Counter(map(tuple, space.sample(60_000, rng).codes.tolist()))
    prior = {(0, -1, m): 1 / 2 / 3 for m in range(3)}
    prior |= {(1, k, m): 1 / 2 / 9 for k in range(3) for m in range(3) if k < m}
    mass = sum(prior.values())
    assert set(sample) == set(prior)
    for code, p in prior.items():
        expected = 60_000 * p / mass
        assert abs(sample[code] - expected) < 5 * expected**0.5


def test_uniform_samples_give_every_member_the_same_chance(rng):
    space = Space(oneof("x", repeat(oneof(1, 2, 3), between(0, 2))))
    sample = Counter(map(tuple, space.sample(28_000, rng, uniform=True).codes.tolist()))
    assert len(sample) == space.size() == 14
    assert all(abs(n - 2000) < 5 * 2000**0.5 for n in sample.values())


def test_mutants_of_tied_decisions_change_together(rng):
    space = Space(
        tuple(oneof(1, 2, 3, name=n) for n in "ab"), constraint(lambda a, b: a == b, "a", "b", message="equal")
    )
    parents = space.sample(50, rng)
    mutants = space.mutate(parents, rng)
    assert space.is_member(mutants.codes).all()
    assert (mutants.codes != parents.codes).any(axis=1).all()
    assert len(space.neighbours(parents[0])) == 0


def test_what_a_mutation_brings_onto_the_tree_is_drawn(rng):
    space = Space(oneof("none", oneof(*range(20))))
    parents = space.architectures(np.tile([[0, -1]], (400, 1)))
    assert len(np.unique(space.mutate(parents, rng).codes[:, 1])) == 20


def test_mutation_chooses_evenly_among_active_decisions(rng):
    space = Space((oneof(1, 2), oneof(1, 2), oneof(*range(30)), oneof("only")))
    parents = space.architectures(np.zeros((9000, 4), dtype=int))
    changed = (space.mutate(parents, rng).codes != 0).sum(axis=0)
    assert changed[3] == 0 and changed.sum() == 9000
    assert (abs(changed[:3] - 3000) < 250).all()


def test_more_changes_change_more_decisions(rng, ofa):
    parents = ofa.sample(200, rng)
    differ = lambda m: ((m.codes != parents.codes) & (m.codes >= 0) & (parents.codes >= 0)).sum(axis=1)  # noqa: E731
    assert (differ(ofa.mutate(parents, rng)) == 1).all()
    assert differ(ofa.mutate(parents, rng, changes=8)).mean() > 6
    with pytest.raises(SpaceError, match="changes=0"):
        ofa.mutate(parents, rng, changes=0)


def test_crossover_wants_pairs(rng, ofa):
    with pytest.raises(SpaceError, match="got 2 and 3"):
        ofa.crossover(ofa.sample(2, rng), ofa.sample(3, rng), rng)


def test_the_same_seed_gives_the_same_members(ofa):
    a, b = (ofa.sample(20, np.random.default_rng(7)) for _ in range(2))
    assert a == b
    assert ofa.mutate(a, np.random.default_rng(8)) == ofa.mutate(b, np.random.default_rng(8))


def narrow(tree) -> bool:
    """Exactly one member in 3**6 starts and ends alike."""
    return tree[0] == tree[-1]


def rare(tree) -> bool:
    return tree == (3,) * 8


def test_predicates_on_the_tree_hold_for_samples_mutants_children_and_neighbours(rng):
    space = Space(tuple(oneof(1, 2, 3) for _ in range(6)), where=narrow)
    assert space.size() == 3**5
    a, b = space.sample(40, rng), space.sample(40, rng)
    for batch in (a, space.mutate(a, rng), space.crossover(a, b, rng), space.neighbours(a[0]), space.enumerate()):
        assert all(narrow(x.tree) for x in batch) and len(batch)
    assert (space.mutate(a, rng).codes != a.codes).any(axis=1).all()
    with pytest.raises(SpaceError, match="row 0 breaks the predicate 'narrow'"):
        space.architectures(np.array([[0, 0, 0, 0, 0, 1]]))


def test_a_predicate_that_hardly_anything_keeps_to_is_named(rng):
    space = Space(tuple(oneof(1, 2, 3) for _ in range(8)), where=rare)
    with pytest.raises(SpaceError, match=r"\d+ of 20 samples could not .* \['rare'\]"):
        space.sample(20, rng)
    assert space.size() == 1
    assert space.largest().tree == (3,) * 8
    with pytest.raises(SpaceError, match="no other architecture"):
        space.mutate(space.enumerate(), rng)


def test_a_large_space_with_a_predicate_cannot_be_counted_and_says_what_to_do():
    with pytest.raises(SpaceError, match="say it as constraint"):
        Space(ofa_tree(), where=lambda tree: True).size()


def test_a_space_too_large_to_list_says_what_to_do(ofa):
    with pytest.raises(SpaceError, match="use `batches`"):
        ofa.enumerate()
    first = next(ofa.batches(100))
    assert len(first.unique()) == 100


def test_restricted_spaces_keep_the_meaning_of_codes(ofa, rng):
    small = ofa.restrict({"depth0": (2, 3), "resolution": (192,), "parts.1#0.kernel": [3]})
    assert small.size() == OFA_SIZE // 3 * (81 + 729) // (81 + 729 + 6561) // 3
    sample = small.sample(100, rng)
    assert ofa.is_member(sample.codes).all()
    assert set(sample.codes[:, ofa.decision("depth0").index].tolist()) == {0, 1}
    assert len(ofa.codes(sample)) == 100
    assert ofa.fix({"resolution": 224}).smallest().tree.pool == 224
    with pytest.raises(SpaceError, match="has no option 9"):
        ofa.fix({"depth0": 9})


def test_batches_index_slice_and_join_like_arrays(ofa, rng):
    batch = ofa.sample(5, rng)
    assert isinstance(batch[2], Architecture) and batch[2].key == batch.codes[2].tobytes()
    assert len(batch[1:3]) == 2 and batch[[0, 4]][1] == batch[4] and len(batch[batch.codes[:, 0] >= 0]) == 5
    assert (batch[:2] + batch[2:]) == batch
    assert len((batch + batch).unique()) == 5
    with pytest.raises(ValueError, match="read-only"):
        batch.codes[0, 0] = 1
    assert len({*batch, *batch}) == 5


def test_architectures_of_two_spaces_are_not_equal(ofa):
    other = Space((oneof(1, 2),))
    assert Space((oneof(1, 3),)).smallest() != other.smallest()
    assert Space((oneof(1, 2),)).smallest() == other.smallest()
    with pytest.raises(SpaceError, match="different spaces"):
        Space((oneof(1, 3),)).enumerate() + other.enumerate()


def test_spaces_and_architectures_survive_pickling(rng):
    space = Space(ofa_tree(), constraint(lambda d: d > 2, "depth0"))
    batch = pickle.loads(pickle.dumps(space.sample(3, rng)))
    assert batch.space == space and pickle.loads(pickle.dumps(batch[1])) == batch[1]


def test_differences_are_named_by_their_place(ofa):
    space = Space(Net(repeat(MBConv(oneof(3, 5)), between(1, 2)), oneof(Pool.MAX, Pool.MEAN)))
    a, b = space.smallest(), space.largest()
    assert a.diff(b) == [("parts.0.kernel", 3, 5), ("parts.1", ABSENT, MBConv(5)), ("pool", Pool.MAX, Pool.MEAN)]
    assert str(a) == "Net(parts=(MBConv()))" and str(b) == "Net(parts=(2 x MBConv(kernel=5)), pool=MEAN)"
    assert a.options() == {"parts.times": 1, "parts#0.kernel": 3, "pool": Pool.MAX}


def test_options_are_read_by_name_or_path(ofa):
    assert ofa.option_value("depth0", 2) == 4 and ofa.option_value("parts.0#1.kernel", -1) is None
    with pytest.raises(SpaceError, match="codes 0 to 2"):
        ofa.option_value("depth0", 3)


def test_empty_batches_are_batches(ofa, rng):
    none = ofa.sample(0, rng)
    for batch in (none, ofa.mutate(none, rng), ofa.crossover(none, none, rng), ofa.architectures(none.codes)):
        assert batch.codes.shape == (0, 46)
    assert Space((1, 2)).sample(3, rng).codes.shape == (3, 0)
    assert Space((1, 2)).size() == 1


def test_a_chain_of_constraints_over_many_decisions_is_counted_and_sampled_exactly(rng):
    names = [f"w{i}" for i in range(40)]
    tree = tuple(oneof(*range(8), name=n) for n in names)
    rules = [constraint(lambda a, b: a <= b, a, b, message=f"{a} <= {b}") for a, b in itertools.pairwise(names)]
    space = Space(tree, rules)
    assert space.size() == math.comb(47, 7)  # multisets of 40 out of 8
    codes = space.mutate(space.sample(500, rng), rng).codes
    assert (np.diff(codes, axis=1) >= 0).all()
    assert (np.diff(space.crossover(space.sample(100, rng), space.sample(100, rng), rng).codes) >= 0).all()
    assert space.smallest().code.max() == 0 and space.largest().code.min() == 7


@pytest.mark.parametrize("uniform", [False, True])
def test_members_too_rare_for_floats_are_still_drawn(rng, uniform):
    huge = tuple(oneof(1, 2, 3, name=f"x{i}") for i in range(700))  # 3**700 is more than 1e308
    rules = [constraint(lambda c: c is None, "c"), *(constraint(lambda x: x < 9, f"x{i}") for i in range(700))]
    space = Space((oneof(None, huge, name="c"), oneof(1, 2, name="k")), rules)
    assert space.size() == 2
    sample = space.sample(50, rng, uniform=uniform)
    assert space.is_member(sample.codes).all() and len(sample.unique()) == 2
    full = Space((oneof(None, huge, name="c"), oneof(1, 2, name="k")), rules[1:])
    assert full.size() == 2 * (1 + 3**700)
    assert full.is_member(full.sample(50, rng, uniform=uniform).codes).all()


def test_importing_spaces_imports_neither_torch_nor_operators():
    script = "import archwright.space, sys; print([m for m in ('torch', 'archwright.operators') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_published_spaces_have_their_published_sizes():
    operations = [f"op{i}" for i in range(7)]
    nasbench201 = Space(tuple(oneof(*operations[:5]) for _ in range(6)))
    assert nasbench201.size() == 15_625 == len(nasbench201.enumerate())  # Dong and Yang, 2020
    node = [(subset(range(k), 2), oneof(*operations), oneof(*operations)) for k in range(2, 6)]
    darts = Space({"normal": tuple(node), "reduce": tuple(node)})
    assert darts.size() == (1 * 3 * 6 * 10 * 7**8) ** 2  # about 10**18, Liu et al., 2019, appendix A.1
    assert 1e18 < darts.size() < 1.1e18


def test_a_space_reads_as_its_decisions_and_rules():
    rule = constraint(lambda a, b: a < b, "a", "b", message="a < b")
    space = Space((oneof(1, 2, name="a"), between(0, 20, name="b"), oneof(MBConv(5), None)), rule)
    assert str(space).splitlines() == [
        "a: 1 | 2",
        "b: 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 ... 21 options",
        "2: MBConv(kernel=5) | None",
        "where a < b",
    ]


@pytest.mark.parametrize("turned", [False, True])
def test_a_lone_heavy_member_mutates_into_the_rare_other_one(rng, turned):
    chain = tuple(oneof(*range(10), name=f"x{i}") for i in range(15))
    tie = constraint(lambda a, b: (a == "x") == (b == "short"), "a", "b")
    zeros = [constraint(lambda x: x == 0, f"x{i}") for i in range(15)]
    a, b = ["x", chain], ["short", "long"]
    tree = (
        (oneof(*a[::-1], name="a"), oneof(*b[::-1], name="b")) if turned else (oneof(*a, name="a"), oneof(*b, name="b"))
    )
    space = Space(tree, [tie, *zeros])
    assert space.size() == 2
    parent = space.architecture({"b": "short"})
    assert (space.sample(200, rng).codes == parent.code).all()  # the other has a chance of 1e-15
    assert space.mutate(space.architectures(parent.code[None]), rng)[0].tree == ((0,) * 15, "long")


def test_a_neighbour_may_lose_a_shared_decision_with_what_the_change_brings():
    shared = oneof(1, 2, name="e")
    tree = oneof(Block(shared), oneof(Block(shared), "none", name="n"), name="d")
    space = Space(tree, [constraint(lambda n: n == "none", "n"), constraint(lambda e: e > 1, "e")])
    assert [a.tree for a in space.neighbours(space.architecture({"e": 2, "d": Block(shared)}))] == ["none"]
