"""Targets that hold when measured although the cost model is off."""

import numpy as np
import pytest

from archwright.costs.counts import Counts
from archwright.errors import ConfigurationError
from archwright.gradient import GradientSearch
from archwright.gradient.calibrate import meet_target
from archwright.gradient.penalties.cost import Budget
from archwright.gradient.recipes import recipe
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.sequential import Sequential
from archwright.space import Space, oneof


@pytest.fixture(scope="module")
def found(task):
    widths = tuple(range(4, 16))
    layers = tuple(Conv(oneof(*widths), kernel=oneof(1, 3)) for _ in range(3))
    space = Space(Sequential((*layers, Classifier(task.outputs))))
    cost = Counts(space, task.input_shape)
    budget = Budget(cost, "macs_m", float(cost.evaluate(space.largest().code[None])["macs_m"][0]))
    learned = recipe("proxylessnas", epochs=1, batch=16, penalties=(budget,))
    search = GradientSearch(space, task, learned)
    search.run(random=0)
    return search, cost


def biased(cost, factor):
    return lambda a: factor * float(cost.evaluate(a.code[None])["macs_m"][0])


def test_a_model_that_is_off_by_a_factor_is_corrected_by_the_first_measurement(found):
    search, cost = found
    target = float(np.quantile(cost.evaluate(search.space.sample(500, np.random.default_rng(0)))["macs_m"], 0.6))
    method = search.method
    done = meet_target(search, cost, "macs_m", target, biased(cost, 1.4))
    assert done.met and len(done.attempts) == 2
    assert abs(done.attempts[0].measured / target - 1.4) < 0.05
    assert abs(done.measured / target - 1) <= 0.05
    assert search.method is method


def test_a_target_that_cannot_be_met_gives_the_nearest_and_says_so(found):
    search, cost = found
    target = float(np.quantile(cost.evaluate(search.space.sample(500, np.random.default_rng(0)))["macs_m"], 0.6))
    measured = iter([2.0 * target, 1.5 * target, 0.5 * target])
    done = meet_target(search, cost, "macs_m", target, lambda a: next(measured), rounds=3)
    assert not done.met and done.measured in (1.5 * target, 0.5 * target) and len(done.attempts) == 3
    assert done.architecture.key in {a.architecture.key for a in done.attempts[1:]}


def test_an_upper_limit_is_kept_from_below(found):
    search, cost = found
    target = float(np.quantile(cost.evaluate(search.space.sample(500, np.random.default_rng(0)))["macs_m"], 0.6))
    done = meet_target(search, cost, "macs_m", target, biased(cost, 1.4), below=True)
    assert done.met and done.measured <= target < done.attempts[0].measured
    fast = meet_target(search, cost, "macs_m", target, biased(cost, 0.5), below=True)
    assert fast.met and len(fast.attempts) == 1  # it need not be near the limit
    slow = meet_target(search, cost, "macs_m", target, lambda a: 2.0 * target, below=True, rounds=2)
    assert not slow.met


def test_numbers_without_sense_are_refused(found):
    search, cost = found
    with pytest.raises(ConfigurationError, match="target > 0"):
        meet_target(search, cost, "macs_m", 0.0, lambda a: 1.0)
    with pytest.raises(ConfigurationError, match="budget"):
        meet_target(search, cost, "macs_m", 1e-9, lambda a: 1.0)
