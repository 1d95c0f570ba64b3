"""The front that cheap evaluators promise, before any trial."""

import numpy as np
import pytest

from archwright.costs.counts import Counts
from archwright.search.pareto import front_mask, hypervolume
from archwright.search.problem import Objective, Problem
from archwright.spaces.convnet import convnet
from archwright.strategies.nsga2 import NSGA2
from archwright.strategies.prior import Prior, spread

SHAPE = (1, 8, 8)


class Learned:
    """Stands for a training: nothing may call it before a trial."""

    metrics = ("accuracy_percent",)
    deterministic = True

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        raise AssertionError("a prior trains nothing")


def problem_of(*objectives):
    space = convnet(SHAPE, 10)
    return Problem(space, objectives, (Counts(space, SHAPE), Learned()))


@pytest.fixture(scope="module")
def two():
    return problem_of(Objective("accuracy_percent", "maximize"), Objective("params_m"))


def columns(problem, architectures):
    values = problem.evaluators[0].evaluate(architectures)
    return np.stack([-np.log(values["macs_m"]), np.log(values["params_m"])], axis=1)


def test_the_front_is_far_ahead_of_random_members(two):
    front = columns(two, Prior(two).front(32, np.random.default_rng(0)))
    random = columns(two, two.space.sample(2000, np.random.default_rng(1)))
    reference = random.max(axis=0)
    assert front_mask(front).mean() > 0.9
    assert hypervolume(front, reference) > hypervolume(random, reference)  # with 32 against 2000
    assert hypervolume(front, reference) > 1.1 * hypervolume(random[:32], reference)


def test_the_front_reaches_from_end_to_end(two):
    front = columns(two, Prior(two).front(32, np.random.default_rng(0)))
    ends = columns(two, two.space.architectures(np.stack([two.space.smallest().code, two.space.largest().code])))
    share = np.ptp(front, axis=0) / np.ptp(ends, axis=0)
    assert len(front) == 32 and (share > 0.6).all()


def test_limits_are_kept():
    bounded = problem_of(Objective("accuracy_percent", "maximize"), Objective("params_m", at_most=0.02))
    found = Prior(bounded).front(16, np.random.default_rng(0))
    assert (bounded.evaluators[0].evaluate(found)["params_m"] <= 0.02).all()


def test_with_one_goal_the_most_computation_within_the_limits_comes_first():
    single = problem_of(Objective("accuracy_percent", "maximize"), Objective("params_m", "limit", at_most=0.02))
    found = single.evaluators[0].evaluate(Prior(single).front(8, np.random.default_rng(0)))
    drawn = single.evaluators[0].evaluate(single.space.sample(2000, np.random.default_rng(1)))
    assert (found["params_m"] <= 0.02).all()
    assert found["macs_m"].min() >= drawn["macs_m"][drawn["params_m"] <= 0.02].max()


def test_nothing_is_known_without_macs_or_scores():
    space = convnet(SHAPE, 10)
    assert not Prior(Problem(space, (Objective("accuracy_percent", "maximize"),), (Learned(),)))


def test_points_are_spread_over_a_front():
    x = np.concatenate([np.linspace(0, 0.1, 90), np.linspace(0.2, 1.0, 10)])
    rows = spread(np.stack([x, 1 - x], axis=1), 8)
    assert {0, 99} <= set(rows.tolist()) and len(set(rows.tolist())) == 8
    assert (x[rows] > 0.15).sum() >= 3  # the dense end does not take all


def test_nsga2_begins_on_the_front_when_told_so(two):
    asked = NSGA2(two, seed=0, prior=True).ask(20)
    points = columns(two, two.space.architectures(np.stack([c.architecture.code for c in asked])))
    assert front_mask(points).mean() > 0.8
