"""Multi-fidelity strategies on tables that hold several training lengths."""

import numpy as np
import pytest

from archwright.benchmarks.table import load
from archwright.errors import ConfigurationError
from archwright.evaluators.table import TableEvaluator
from archwright.search.problem import Objective, Problem
from archwright.search.run import run

pytestmark = pytest.mark.data
NAMES = ["successive_halving", "hyperband", "asha"]


def table(name):
    try:
        benchmark = load(name)
        _ = benchmark.codes
    except ConfigurationError as reason:
        pytest.skip(str(reason))
    return benchmark


def searched(benchmark, name, seed, budget, **options):
    evaluator = TableEvaluator(benchmark, ("accuracy_percent",), missing="nan")
    problem = Problem(benchmark.space, (Objective("accuracy_percent", "maximize"),), (evaluator,))
    return run(problem, name, budget, seed=seed, options=options).trials


@pytest.mark.parametrize("name", NAMES)
def test_ec_nas_is_searched_at_exactly_its_four_training_lengths(name):
    trials = searched(table("ec-nas-4"), name, 0, "200 trials", lowest=4 / 108)
    epochs = np.array([t.candidate.fidelity * 108 for t in trials])
    assert np.allclose(epochs, np.round(epochs)) and set(np.round(epochs)) == {4, 12, 36, 108}


@pytest.mark.parametrize("name", NAMES)
def test_promoted_networks_of_ec_nas_continue_their_own_trial_one_level_lower(name):
    trials = searched(table("ec-nas-4"), name, 1, "200 trials", lowest=4 / 108)
    by_number = {t.number: t for t in trials}
    continued = [t for t in trials if t.candidate.resume_from is not None]
    for t in continued:
        before = by_number[t.candidate.resume_from]
        assert before.candidate.architecture == t.candidate.architecture
        assert before.candidate.fidelity * 3 == pytest.approx(t.candidate.fidelity)
        assert before.state == "complete"
    assert len(continued) > 20


@pytest.mark.parametrize("name", ["successive_halving", "hyperband"])
def test_networks_promoted_on_ec_nas_are_better_than_those_that_were_left(name):
    benchmark = table("ec-nas-4")
    trials = searched(benchmark, name, 2, "300 trials", lowest=4 / 108)
    promoted = {t.candidate.resume_from for t in trials}
    first = [t for t in trials if t.candidate.fidelity < 0.05 and t.state == "complete"]
    codes = np.array([t.candidate.architecture.code for t in first])
    up = np.array([t.number in promoted for t in first])
    final = benchmark.read("accuracy_percent", benchmark.rows(codes), true=True)
    assert np.nanmean(final[up]) > np.nanmean(final[~up])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["successive_halving", "asha"])
def test_twelve_epochs_of_nasbench201_save_simulated_time_over_random_search(name):
    """Mean true accuracy of the network that was best at 200 epochs, after the time of 20 full trainings."""
    benchmark = table("nasbench201-cifar10")
    hours = 20 * float(np.mean(benchmark.duration_s(np.arange(len(benchmark.codes))))) / 3600
    found = {}
    for strategy, options in ((name, {"lowest": 12 / 200, "factor": 200 / 12}), ("random", {})):
        best = []
        for seed in range(10):
            trials = searched(benchmark, strategy, seed, "400 trials", **options)
            best.append(_best_after(benchmark, trials, hours))
        found[strategy] = np.mean(best)
    assert found[name] > found["random"]


def _best_after(benchmark, trials, hours):
    """True accuracy of what was best at full fidelity when the time was over."""
    spent = np.cumsum([t.metrics.get("simulated_s", 0.0) for t in trials]) / 3600
    full = [t for t, h in zip(trials, spent, strict=True) if h <= hours and t.candidate.fidelity == 1.0]
    winner = max(full, key=lambda t: t.metrics["accuracy_percent"])
    row = benchmark.rows(winner.candidate.architecture.code[None])
    return float(benchmark.read("accuracy_percent", row, true=True)[0])
