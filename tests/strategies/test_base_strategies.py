"""What the contract does not say: the published behaviour of the four base strategies."""

import numpy as np
import pytest

from archwright.errors import ConfigurationError
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.search.trial import Trial
from archwright.strategies.common import Memory, Proposals
from archwright.strategies.local_search import LocalSearch
from archwright.strategies.nsga2 import NSGA2
from archwright.strategies.random import Random
from archwright.strategies.regularized_evolution import RegularizedEvolution
from archwright.testing.strategies import Loop, Toy, toy_problem, wide_space


class CheapParameters:
    metrics = ("params_m",)
    deterministic = True
    cheap = True
    calls = 0

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        type(self).calls += 1
        return {"params_m": architectures.codes.astype(float).sum(axis=1)}


class Error:
    metrics = ("error_percent",)
    deterministic = True
    batched = True

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        return {"error_percent": Toy().evaluate(architectures)["error_percent"]}


def tight_problem(at_most):
    limit = Objective("params_m", "limit", at_most=at_most)
    return Problem(wide_space(10, 5), (Objective("error_percent"), limit), (Error(), CheapParameters()))


def mean_best(name, trials, **options):
    problem = toy_problem(wide_space(12, 5))
    return np.mean([run(problem, name, f"{trials} trials", seed=s, options=options).best.metrics["error_percent"]
                    for s in range(5)])  # fmt: skip


@pytest.mark.parametrize("name", ["regularized_evolution", "nsga2", "local_search"])
def test_learning_strategies_beat_random_search_clearly(name):
    assert mean_best(name, 600) < 0.5 * mean_best("random", 600)


@pytest.mark.parametrize("make", [Random, RegularizedEvolution, NSGA2, LocalSearch])
def test_nothing_is_proposed_twice_and_a_used_up_space_is_covered(make):
    problem = toy_problem()
    trials = Loop(make(problem, seed=3), problem).until(1000, 7)
    keys = [t.candidate.architecture.key for t in trials]
    assert len(keys) == len(set(keys)) == problem.space.size()


@pytest.mark.parametrize("make", [Random, RegularizedEvolution, NSGA2, LocalSearch])
def test_cheap_evaluators_keep_trials_inside_a_limit_that_few_meet(make):
    problem = tight_problem(8.0)
    share = (problem.space.sample(20_000, np.random.default_rng(0)).codes.sum(axis=1) <= 8).mean()
    trials = Loop(make(problem, seed=0), problem).until(120, 10)
    feasible = np.mean([t.state == "complete" for t in trials])
    assert share < 0.005
    assert feasible > 0.5  # random draws alone would give 0.5 percent


def test_a_limit_that_nothing_meets_does_not_hang():
    problem = tight_problem(-1.0)
    result = run(problem, "nsga2", "150 trials")
    assert not result.feasible
    assert result.best.state == "infeasible"
    assert result.best.metrics["params_m"] == min(t.metrics["params_m"] for t in result.trials)


def test_evolution_takes_parents_from_the_youngest_only():
    problem = toy_problem(wide_space(6, 4))
    strategy = RegularizedEvolution(problem, seed=0, population=10, sample=10)
    loop = Loop(strategy, problem)
    loop.until(10, 10)
    for _ in range(40):
        alive = problem.space.codes([t.candidate.architecture for t in loop.trials[-10:]])
        child = loop.step(1)[0].candidate.architecture.code
        assert (child != alive).sum(axis=1).min() == 1  # one mutation away from a living member


def test_nsga2_keeps_the_best_of_parents_and_children():
    problem = toy_problem(wide_space(8, 4))
    strategy = NSGA2(problem, seed=0, population=20)
    loop = Loop(strategy, problem)
    loop.until(200, 20)
    losses = problem.losses(loop.trials)[:, 0]
    kept = np.sort(strategy._memory.losses[strategy._parents, 0])
    assert np.array_equal(kept, np.sort(losses)[:20])  # one goal, no repeats: elitism is a sort


def test_local_search_moves_to_the_first_better_neighbour_and_restarts_at_an_optimum():
    problem = toy_problem(wide_space(4, 5))
    loop = Loop(LocalSearch(problem, seed=1), problem)
    loop.step(1)
    centre = loop.trials[0]
    while centre.metrics["error_percent"] > 0:
        trial = loop.step(1)[0]
        distance = (trial.candidate.architecture.code != centre.candidate.architecture.code).sum()
        assert distance == 1
        if trial.metrics["error_percent"] <= centre.metrics["error_percent"]:
            centre = trial
    assert len(loop.trials) < 100  # of 625
    around = problem.space.neighbours(centre.candidate.architecture).codes
    untried = {c.tobytes() for c in around} - {t.candidate.architecture.key for t in loop.trials}
    for _ in untried:
        assert (loop.step(1)[0].candidate.architecture.code != centre.candidate.architecture.code).sum() == 1
    restart = loop.step(1)[0].candidate.architecture.code
    assert (restart != centre.candidate.architecture.code).sum() > 1


def test_local_search_refuses_several_goals():
    problem = toy_problem(None, Objective("error_percent"), Objective("params_m"))
    with pytest.raises(ConfigurationError, match="turn all but one into limits"):
        LocalSearch(problem)


@pytest.mark.parametrize("make, options", [(NSGA2, {"population": 1}), (RegularizedEvolution, {"sample": 0}),
                                           (NSGA2, {"crossover": 1.5}), (LocalSearch, {"starts": 0})])  # fmt: skip
def test_options_out_of_range_are_refused(make, options):
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        make(toy_problem(), **options)


def test_memory_makes_failed_and_unmeasured_trials_the_worst():
    problem = toy_problem(None, Objective("error_percent"), Objective("params_m", "limit", at_most=3.0))
    archs = problem.space.sample(5, np.random.default_rng(0))
    from archwright.search.trial import Candidate

    said = [("complete", {"error_percent": 5.0, "params_m": 1.0}), ("failed", {}),
            ("infeasible", {"params_m": 6.0}), ("infeasible", {"params_m": 4.5}), ("complete", {})]  # fmt: skip
    memory = Memory(problem)
    rows = memory.add([Trial(i, Candidate(archs[i]), s, m) for i, (s, m) in enumerate(said)])
    assert memory.violation.tolist() == [0.0, np.inf, 1.0, 0.5, np.inf]
    assert memory.order(rows).tolist() == [0, 3, 2, 1, 4]


def test_proposals_prefer_what_fits_and_are_new():
    problem = tight_problem(12.0)
    proposals = Proposals(problem)
    first = proposals.random(50, np.random.default_rng(0))
    second = proposals.random(50, np.random.default_rng(0))
    assert (first.codes.sum(axis=1) <= 12).all()
    assert not {c.tobytes() for c in first.codes} & {c.tobytes() for c in second.codes}


def test_proposals_of_strategies_that_screen_for_themselves_keep_their_order():
    problem = tight_problem(12.0)
    made = problem.space.sample(40, np.random.default_rng(3))
    picked = Proposals(problem, screened=False).pick(10, np.random.default_rng(0), lambda n, rng: made)
    assert (picked.codes == made.codes[:10]).all()
    assert (picked.codes.sum(axis=1) > 12).any()
