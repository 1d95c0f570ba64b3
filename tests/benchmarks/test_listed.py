"""The rows of a table as a space: everything that is drawn, changed or snapped is a row."""

import numpy as np
import pytest
from test_protocol import Column

from archwright.benchmarks.listed import Listed, searched_space
from archwright.benchmarks.protocol import Setting, maker, play
from archwright.benchmarks.table import TableBenchmark
from archwright.space import Architecture, Space, oneof


def sparse(count=30, decisions=8):
    """30 of 65,536 codes; accuracy falls with the distance from one of them."""
    space = Space({f"d{i}": oneof(*"abcd", name=f"d{i}") for i in range(decisions)})
    codes = space.sample(count, np.random.default_rng(0)).codes
    truth = 90.0 - (codes != codes[7]).sum(axis=1)
    return TableBenchmark(
        name="sparse",
        make_space=lambda: space,
        listed=lambda: codes,
        observed={"accuracy_percent": Column(truth)},
        goal="accuracy_percent",
    )


def test_members_are_the_rows_and_whatever_is_made_is_one():
    table = sparse()
    space, rng = searched_space(table), np.random.default_rng(1)
    assert isinstance(space, Listed) and space.size() == len(space.enumerate()) == 30
    assert sum(len(b) for b in space.batches(7)) == 30
    drawn, anything = space.sample(50, rng), rng.integers(0, 4, (50, 8))
    made = {
        "sample": drawn,
        "mutate": space.mutate(drawn, rng, 2),
        "crossover": space.crossover(drawn, space.sample(50, rng), rng),
        "nearest": space.nearest(anything),
        "neighbours": space.neighbours(drawn[0]),
    }
    for name, batch in made.items():
        assert space.is_member(batch.codes).all() and (table.rows(batch.codes) >= 0).all(), name
    assert not space.is_member(anything).all()
    assert (made["mutate"].codes != drawn.codes).any(axis=1).all()
    assert drawn[0].key not in [a.key for a in made["neighbours"]]


def test_the_nearest_row_differs_in_the_fewest_decisions():
    table = sparse()
    space, anything = Listed(table), np.random.default_rng(2).integers(0, 4, (20, 8))
    apart = (anything[:, None] != table.codes[None]).sum(axis=2)
    found = (space.nearest(anything).codes != anything).sum(axis=1)
    assert found.tolist() == apart.min(axis=1).tolist()


def test_a_table_that_lists_a_good_part_of_its_space_is_searched_as_a_whole():
    whole = Space({"a": oneof(*"abcd"), "b": oneof(*"abcd")})
    table = TableBenchmark(
        "half", lambda: whole, lambda: whole.enumerate().codes[::2], {"accuracy_percent": Column(np.arange(8.0))},
        "accuracy_percent",
    )  # fmt: skip
    assert searched_space(table) is whole
    assert Architecture(whole, whole.enumerate().codes[1]).key


@pytest.mark.parametrize(
    "strategy", ["random", "regularized_evolution(population=5, sample=2)", "local_search", "boshnas"]
)
def test_strategies_ask_only_for_rows_and_each_once_where_they_remember(strategy):
    setting = Setting(sparse(), 20)
    played = play(setting, maker(strategy, 20), 0)
    assert np.isfinite(played.observed).all() and len(played.observed) == 20
