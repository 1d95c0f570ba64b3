import numpy as np
import pytest

from archwright.environments.tables import cells_of, fit_tables, grouped, weights_of

SIZES = np.array([4, 3, 5, 2, 3])
RNG = np.random.default_rng(0)
CODES = np.stack([RNG.integers(0, s, 4000) for s in SIZES], axis=1).astype(np.int16)


def test_cells_are_numbered_with_a_place_for_inactive_decisions():
    group = np.array([1, 3])
    weight = weights_of(SIZES[group])
    assert weight.tolist() == [3, 1]
    codes = np.array([[0, -1, 0, -1, 0], [0, 0, 0, -1, 0], [0, 2, 0, 1, 0]])
    assert cells_of(codes, group, weight).tolist() == [0, 3, 11]  # of (3 + 1) * (2 + 1) cells


def test_decisions_that_interact_share_a_table():
    xor = (CODES[:, 0] % 2) ^ (CODES[:, 4] % 2)
    values = (xor + 0.1 * CODES[:, 2])[:, None].astype(float)
    groups = grouped(CODES, values, SIZES, cells=24)
    assert any({0, 4} <= set(g.tolist()) for g in groups)
    assert sorted(d for g in groups for d in g.tolist()) == [0, 1, 2, 3, 4]
    assert all(SIZES[g].prod() <= 24 for g in groups)


def test_a_sum_of_products_is_recovered_where_it_was_not_seen():
    left, right = RNG.normal(size=(2, 4, 3)), RNG.normal(size=(2, 5, 2, 3))

    def truth(codes):
        a, b = left[:, codes[:, 0], codes[:, 1]], right[:, codes[:, 2], codes[:, 3], codes[:, 4]]
        return np.stack([(a * b).sum(axis=0), 5.0 + 3 * (a * b).sum(axis=0)], axis=1)

    tables = fit_tables(CODES[:2000], truth(CODES[:2000]), SIZES, rank=6, cells=60, seed=0)
    unseen = CODES[2000:]
    assert tables(unseen).shape == (2000, 2)
    error = np.sqrt(((tables(unseen) - truth(unseen)) ** 2).mean(axis=0)) / truth(unseen).std(axis=0)
    assert (error < 0.1).all()


def test_a_constant_metric_is_given_as_it_is():
    tables = fit_tables(CODES, np.full((len(CODES), 1), 7.0), SIZES, rank=2, cells=60, seed=0)
    assert tables(CODES[:5]) == pytest.approx(np.full((5, 1), 7.0))
