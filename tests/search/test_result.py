import csv
import math

import numpy as np
import pytest
import search_parts as parts

from archwright.search.importance import importance, main_effects
from archwright.search.pareto import hypervolume
from archwright.search.problem import Objective, Problem
from archwright.search.result import SearchResult
from archwright.search.run import run
from archwright.search.trial import Candidate, Trial
from archwright.testing.strategies import Toy


def result_of(rows, *objectives):
    """A result from (state, metrics) rows."""
    problem = Problem(parts.space(), objectives, ())
    archs = problem.space.sample(len(rows), np.random.default_rng(0))
    trials = [Trial(i, Candidate(archs[i]), s, m) for i, (s, m) in enumerate(rows)]
    return SearchResult(problem, trials)


ROWS = [
    ("failed", {}),
    ("complete", {"accuracy_percent": 80.0, "latency_ms": 2.0}),
    ("infeasible", {"accuracy_percent": 99.0, "latency_ms": 9.0}),
    ("complete", {"accuracy_percent": 90.0, "latency_ms": 4.0}),
    ("complete", {"accuracy_percent": 85.0, "latency_ms": 5.0}),
    ("complete", {"accuracy_percent": 90.0, "latency_ms": 3.0}),
]
GOALS = Objective("accuracy_percent", "maximize"), Objective("latency_ms", at_most=6.0)


def test_best_front_knee_and_share():
    result = result_of(ROWS, *GOALS)
    assert result.best.number == 5  # the best first goal; of two equal ones the better second
    assert [t.number for t in result.front] == [5, 1]
    assert result.knee.number == 5 or result.knee.number == 1
    assert result.feasible
    assert result.feasible_share == 4 / 6


def test_curve_and_hypervolume_by_hand():
    result = result_of(ROWS, *GOALS)
    curve = result.curve()
    assert math.isnan(curve[0])
    assert curve[1:].tolist() == [80.0, 80.0, 90.0, 90.0, 90.0]
    assert result.curve(1)[1:].tolist() == [2.0] * 5
    # reference in losses: accuracy -70, latency 6: (80, 2) covers 10 x 4; (90, 4) adds 10 x 2; (90, 3) adds 10 x 1
    history = result.hypervolume_history(np.array([-70.0, 6.0]))
    assert history.tolist() == [0.0, 40.0, 40.0, 60.0, 60.0, 70.0]
    front = result.problem.losses(result.front)
    assert result.hypervolume_history()[-1] == pytest.approx(hypervolume(front, result.reference()))


def test_without_a_feasible_trial_the_least_violation_is_best_and_said_so():
    rows = [("infeasible", {"accuracy_percent": 99.0, "latency_ms": 9.0}), ("failed", {}),
            ("infeasible", {"accuracy_percent": 50.0, "latency_ms": 7.0})]  # fmt: skip
    result = result_of(rows, *GOALS)
    assert not result.feasible
    assert result.best.number == 2
    assert result.front == ()
    assert np.isnan(result.curve()).all()
    assert result.hypervolume_history().tolist() == [0.0] * 3


def test_the_front_as_csv(tmp_path):
    result = run(
        parts.problem(Toy(), Objective("error_percent"), Objective("params_m")), "nsga2", "200 trials", tmp_path
    )
    with open(tmp_path / "pareto.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result.front)
    first = result.front[0]
    assert float(rows[0]["error_percent"]) == first.metrics["error_percent"]
    assert rows[0]["d3"] == str(first.candidate.architecture.options()["d3"])


def test_main_effects_of_an_additive_function_by_hand():
    codes = np.array([[a, b, c] for a in range(2) for b in range(2) for c in range(2)])
    shares = main_effects(codes, 3.0 * codes[:, 0] + 1.0 * codes[:, 1])
    assert shares == pytest.approx([0.9, 0.1, 0.0])  # variances 9/4 and 1/4


def test_importance_finds_the_decisions_that_matter():
    space = parts.space(6, 4)
    codes = space.sample(400, np.random.default_rng(0)).codes
    values = 4.0 * codes[:, 2] + 2.0 * codes[:, 4]  # true shares 0.8 and 0.2
    shares = importance(space, codes, values)
    assert list(shares)[:2] == ["d2", "d4"]
    assert shares["d2"] == pytest.approx(0.8, abs=0.08)
    assert shares["d4"] == pytest.approx(0.2, abs=0.08)
    assert max(shares[d] for d in ("d0", "d1", "d3", "d5")) < 0.02
    assert set(importance(space, codes[:5], values[:5]).values()) == {0.0}


def test_importance_of_a_run():
    result = run(parts.problem(Toy()), "random", "300 trials")
    shares = result.importance()
    assert sum(shares.values()) == pytest.approx(1.0, abs=0.25)  # the toy is additive
    assert min(shares.values()) > 0.02
