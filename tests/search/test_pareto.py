import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from archwright.search.pareto import (
    crowding_by_rank,
    crowding_distance,
    deb_ranks,
    dominates,
    front_mask,
    hypervolume,
    hypervolume_history,
    knee,
    nondominated_ranks,
)

grids = st.integers(1, 4).flatmap(
    lambda m: hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.just(m)), elements=st.integers(0, 6).map(float))
)


def plain_ranks(losses):
    left, ranks, rank = set(range(len(losses))), np.zeros(len(losses), int), 0
    while left:
        front = [
            i for i in left
            if not any((losses[j] <= losses[i]).all() and (losses[j] < losses[i]).any() for j in left)
        ]  # fmt: skip
        ranks[front] = rank
        left -= set(front)
        rank += 1
    return ranks


@given(grids)
@settings(max_examples=60, deadline=None)
def test_ranks_equal_peeling_fronts_one_by_one(losses):
    assert nondominated_ranks(losses).tolist() == plain_ranks(losses).tolist()


@given(grids)
@settings(max_examples=60, deadline=None)
def test_front_holds_each_nondominated_value_once(losses):
    mask = front_mask(losses)
    truth = {tuple(r) for r in losses[plain_ranks(losses) == 0]}
    assert sorted(map(tuple, losses[mask])) == sorted(truth)


def test_front_leaves_out_rows_with_nan():
    losses = np.array([[np.nan, 0.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0]])
    assert front_mask(losses).tolist() == [False, True, True, False]
    assert not front_mask(np.full((3, 2), np.nan)).any()


@pytest.mark.parametrize("goals", [2, 3, 5])
def test_ranks_equal_pymoo(goals):
    nds = pytest.importorskip("pymoo.util.nds.non_dominated_sorting")
    losses = np.random.default_rng(goals).integers(0, 12, (300, goals)).astype(float)
    theirs = np.empty(300, int)
    for rank, rows in enumerate(nds.NonDominatedSorting().do(losses)):
        theirs[rows] = rank
    assert nondominated_ranks(losses).tolist() == theirs.tolist()


def test_crowding_equals_pymoo_on_a_front_without_ties():
    metrics = pytest.importorskip("pymoo.operators.survival.rank_and_crowding.metrics")
    rng = np.random.default_rng(0)
    x = np.sort(rng.random(50))
    front = np.stack([x, 1 - x**2, rng.random(50)], axis=1)
    theirs = metrics.calc_crowding_distance(front)  # pymoo divides by the number of goals
    finite = np.isfinite(theirs)
    ours = crowding_distance(front)
    assert np.array_equal(finite, np.isfinite(ours))
    assert np.allclose(ours[finite], theirs[finite] * 3)


def test_crowding_of_four_points_by_hand():
    front = np.array([[0.0, 4.0], [1.0, 2.0], [3.0, 1.0], [4.0, 0.0]])
    assert crowding_distance(front).tolist() == [np.inf, 3 / 4 + 3 / 4, 3 / 4 + 2 / 4, np.inf]
    both = crowding_by_rank(np.vstack([front, front + 10]), np.array([0] * 4 + [1] * 4))
    assert both.tolist() == crowding_distance(front).tolist() * 2


def test_deb_puts_feasible_first_then_less_violation_then_failed():
    losses = np.array([[5.0, 5.0], [1.0, 1.0], [4.0, 6.0], [np.nan, np.nan], [0.0, 0.0], [6.0, 6.0]])
    violation = np.array([0.0, 0.5, 0.0, np.inf, 0.1, 0.0])
    assert deb_ranks(losses, violation).tolist() == [0, 3, 0, 4, 2, 1]
    assert deb_ranks(losses[:0], violation[:0]).tolist() == []
    assert deb_ranks(losses[[1, 4]], violation[[1, 4]]).tolist() == [1, 0]


def test_domination_by_hand():
    a = np.array([[1.0, 1.0], [1.0, 2.0]])
    assert dominates(a, a).tolist() == [[False, True], [False, False]]


def test_hypervolume_of_one_point_is_a_rectangle():
    assert hypervolume(np.array([[1.0, 2.0]]), np.array([3.0, 5.0])) == 6.0


def test_hypervolume_by_hand():
    assert hypervolume(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [9.0, 0.0]]), np.array([3.0, 3.0])) == 3.0
    assert hypervolume(np.array([[1.0], [2.0]]), np.array([5.0])) == 4.0
    assert hypervolume(np.zeros((0, 3)), np.ones(3)) == 0.0
    cube = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    assert hypervolume(cube, np.full(3, 2.0)) == 7.0  # the 2-cube without one corner of side 1


@pytest.mark.parametrize("goals, points", [(2, 200), (3, 60), (4, 30), (5, 15)])
def test_hypervolume_equals_pymoo(goals, points):
    indicator = pytest.importorskip("pymoo.indicators.hv")
    losses = np.random.default_rng(goals).random((points, goals))
    reference = np.full(goals, 0.9)
    theirs = indicator.HV(ref_point=reference)(losses)
    assert hypervolume(losses, reference) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("goals", [1, 2, 3])
def test_hypervolume_history_ends_with_the_hypervolume_and_never_falls(goals):
    losses = np.random.default_rng(goals).random((60, goals))
    losses[5], losses[9] = np.nan, 7.0
    history = hypervolume_history(losses, np.ones(goals))
    whole = np.delete(losses, 5, axis=0)
    assert (np.diff(history) >= 0).all()
    assert history[-1] == pytest.approx(hypervolume(whole, np.ones(goals)), rel=1e-12)
    assert history[30] == pytest.approx(hypervolume(whole[:30], np.ones(goals)), rel=1e-12)


def test_hypervolume_refuses_nan_and_wrong_shapes():
    with pytest.raises(ValueError, match="finite"):
        hypervolume(np.array([[np.nan, 0.0]]), np.ones(2))
    with pytest.raises(ValueError, match="fit"):
        hypervolume(np.zeros((1, 2)), np.ones(3))


def test_knee_is_the_bend():
    assert knee(np.array([[0.0, 100.0], [1.0, 10.0], [10.0, 0.0]])) == 1
