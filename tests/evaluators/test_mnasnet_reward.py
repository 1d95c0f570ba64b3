"""MnasNet's reward: the published formula, monotone in both metrics, and a goal like any other."""

import numpy as np
import pytest

from archwright.benchmarks.table import load
from archwright.errors import ConfigurationError
from archwright.evaluators.mnasnet_reward import HARD, REWARD, SOFT, MnasNetReward, mnasnet_reward
from archwright.evaluators.table import TableEvaluator
from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.search.run import run


def test_the_soft_constraint_is_the_published_formula():
    reward = mnasnet_reward(np.array([0.75, 0.75]), np.array([80.0, 160.0]), 80.0)
    assert reward[0] == 0.75 and reward[1] == pytest.approx(0.75 * 2**-0.07)
    assert reward[1] / reward[0] == pytest.approx(0.9526, abs=1e-4)  # doubling the latency costs 5 %


def test_the_hard_constraint_rewards_nothing_below_the_target_and_divides_above():
    reward = mnasnet_reward(np.array([0.8, 0.8, 0.8]), np.array([40.0, 80.0, 160.0]), 80.0, HARD)
    assert reward.tolist() == pytest.approx([0.8, 0.8, 0.4])


@pytest.mark.parametrize("exponents", [SOFT, HARD, (-0.02, -0.3)])
def test_the_reward_rises_with_accuracy_and_never_with_latency(exponents):
    value, cost = np.linspace(0.1, 1.0, 19), np.linspace(5.0, 300.0, 60)
    grid = mnasnet_reward(value[:, None], cost[None, :], 80.0, exponents)
    assert (np.diff(grid, axis=0) > 0).all() and (np.diff(grid, axis=1) <= 0).all()


def test_a_controller_finds_the_better_rewards_of_a_table():
    table = load("digits-conv")
    evaluator = TableEvaluator(table, ("accuracy_percent", "latency_ms"))
    target = float(np.median(evaluator.evaluate(table.space.enumerate())["latency_ms"]))
    both = MnasNetReward(evaluator, evaluator, target)
    every = both.evaluate(table.space.enumerate())[REWARD]
    found = run(Problem(table.space, (Objective(REWARD, "maximize"),), (both,)), "ppo", Budget(trials=120))
    best = max(t.metrics[REWARD] for t in found.trials)
    assert (every > best).mean() < 0.02
    m = found.trials[0].metrics
    assert m[REWARD] == pytest.approx(m["accuracy_percent"] * (m["latency_ms"] / target) ** -0.07)


def test_unknown_metrics_and_impossible_targets_are_refused():
    accuracy, both = TableEvaluator("digits-conv", ("accuracy_percent",)), TableEvaluator("digits-conv")
    with pytest.raises(ConfigurationError, match="latency_ms"):
        MnasNetReward(accuracy, accuracy, 1.0)
    with pytest.raises(ConfigurationError, match="above 0"):
        MnasNetReward(both, both, 0.0)
