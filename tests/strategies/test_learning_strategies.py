import itertools

import numpy as np
import pytest
import torch

from archwright.errors import ConfigurationError
from archwright.registry import get
from archwright.search.problem import Objective, Problem
from archwright.space import Space, oneof, repeat
from archwright.strategies.brackets import halving_rungs
from archwright.strategies.controller import Controller, seeded_controller
from archwright.strategies.diverse_beam import controller_scores, diverse_beam
from archwright.strategies.mcts import Questions
from archwright.testing.strategies import Loop, Toy, toy_problem, wide_space


class Slow(Toy):
    """The toy's error is blurred at low effort; the effort is what it costs."""

    metrics = ("error_percent", "params_m", "simulated_s")

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        columns = super().evaluate(architectures)
        blur = np.random.default_rng(architectures.codes.astype(np.int64).sum()).normal(0, 3.0 * (1 - fidelity))
        columns["error_percent"] = columns["error_percent"] + abs(blur)
        return columns | {"simulated_s": np.full(len(architectures), 90.0 * fidelity)}


# successive halving, Hyperband, ASHA


def test_rungs_of_successive_halving_by_hand():
    rungs = halving_rungs(27, 1 / 9, 3.0)
    assert [(r.size, round(r.fidelity, 4)) for r in rungs] == [(27, 0.1111), (9, 0.3333), (3, 1.0)]


def test_hyperband_plays_the_brackets_of_the_paper():
    problem = Problem(wide_space(), (Objective("error_percent"),), (Slow(),))
    strategy = get("strategies", "hyperband")(problem, seed=0, lowest=1 / 27)
    loop = Loop(strategy, problem)
    loop.until(300, 10_000)
    first = [[(r.size, round(r.fidelity * 27)) for r in b.rungs] for b in strategy.brackets[:4]]
    # Li et al. (2018), Table 1, scaled to s_max = 3
    assert first == [[(27, 1), (9, 3), (3, 9), (1, 27)], [(12, 3), (4, 9), (1, 27)], [(6, 9), (2, 27)], [(4, 27)]]


@pytest.mark.parametrize("name", ["successive_halving", "hyperband", "asha"])
def test_promoted_candidates_continue_the_best_of_their_rung(name):
    problem = Problem(wide_space(), (Objective("error_percent"),), (Slow(),))
    loop = Loop(get("strategies", name)(problem, seed=1), problem)
    loop.until(120, 9)
    by_number = {t.number: t for t in loop.trials}
    promoted = [t for t in loop.trials if t.candidate.resume_from is not None]
    assert promoted
    for trial in promoted:
        before = by_number[trial.candidate.resume_from]
        assert before.candidate.architecture == trial.candidate.architecture
        assert trial.candidate.fidelity == pytest.approx(3 * before.candidate.fidelity)
        if name == "hyperband":
            continue  # brackets meet at one effort
        rung = [t for t in loop.trials if t.candidate.fidelity == before.candidate.fidelity and t.number < trial.number]
        better = sum(t.metrics["error_percent"] < before.metrics["error_percent"] for t in rung)
        assert better <= len(rung) / 2


def test_halving_finds_better_ones_than_random_for_the_same_effort():
    problem = Problem(wide_space(8, 5), (Objective("error_percent"),), (Slow(),))
    final = {}
    for name in ("asha", "random"):
        best = []
        for seed in range(5):
            loop = Loop(get("strategies", name)(problem, seed=seed), problem)
            while sum(t.candidate.fidelity for t in loop.trials) < 30:
                loop.step(3)
            full = [t.metrics["error_percent"] for t in loop.trials if t.candidate.fidelity == 1.0]
            best.append(min(full))
        final[name] = np.mean(best)
    assert final["asha"] < final["random"]


# tree search


def test_the_tree_halves_ordered_decisions_and_skips_inactive_ones():
    space = Space({"depth": repeat({"k": oneof(1, 2, 3, 4)}, times=oneof(1, 2, name="depth"))})
    questions = Questions(space, bisection=True)
    labels = [d.label for d in space.decisions]
    assert labels == ["depth", "depth#0.k", "depth#1.k"]
    assert questions.next(()) == (0, 2)
    assert questions.next(((0, 0),)) == (1, 2) and questions.ranges(((0, 0), (1, 1)))[1] == (2, 4)
    path = ((0, 0), (1, 1), (0, 1))
    assert questions.ranges(path)[1] == (2, 3) and questions.next(path) is None  # the second copy is not there
    assert questions.next(((1, 0), (1, 1), (0, 1))) == (2, 2)


def test_tree_search_beats_random_search():
    problem = toy_problem(wide_space(8, 5))
    found = {}
    for name in ("mcts", "random"):
        loops = [Loop(get("strategies", name)(problem, seed=s), problem) for s in range(5)]
        found[name] = np.mean([min(t.metrics["error_percent"] for t in loop.until(150, 1)) for loop in loops])
    assert found["mcts"] < found["random"]


# mutation policies, ants


class Few(Toy):
    """Four of the decisions matter."""

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        codes = architectures.codes.astype(float)
        error = ((codes[:, :3] - 3) ** 2).sum(axis=1) + 0.1 * codes[:, 3]
        return {"error_percent": error, "params_m": codes.sum(axis=1)}


def test_the_mutation_policy_loses_entropy_and_uniform_mutation_does_not():
    problem = Problem(wide_space(10, 8), (Objective("error_percent"),), (Few(),))
    for rate in (0.2, 0.0):
        strategies = [get("strategies", "q_mutation")(problem, seed=s, rate=rate) for s in range(5)]
        for strategy in strategies:
            Loop(strategy, problem).until(100, 1)
        entropy = np.mean([s.entropy for s in strategies])
        assert (entropy < np.log(10) - 0.03) if rate else entropy == pytest.approx(np.log(10))


def test_ants_leave_pheromone_on_good_options():
    problem = toy_problem(wide_space(6, 4))
    strategy = get("strategies", "ant_colony")(problem, seed=0)
    Loop(strategy, problem).until(300, 16)
    assert np.mean([p.argmax() == 2 for p in strategy.pheromone]) >= 0.5


# controllers


@pytest.mark.parametrize("name", ["reinforce", "ppo"])
def test_a_controller_learns_to_write_better_architectures(name):
    problem = toy_problem(wide_space(8, 5))
    strategy = get("strategies", name)(problem, seed=0)
    loop = Loop(strategy, problem)
    loop.until(400, 20)
    errors = [t.metrics["error_percent"] for t in loop.trials]
    assert np.mean(errors[-100:]) < 0.8 * np.mean(errors[:100])


def test_log_probabilities_of_codes_are_those_of_the_draws():
    space = wide_space(3, 3)
    controller = seeded_controller(space, 0, units=16)
    everything = space.enumerate().codes
    with torch.no_grad():
        log_p, entropy, _ = controller.score(everything)
    p = log_p.exp().double().numpy()
    assert p.sum() == pytest.approx(1.0, abs=1e-5) and (entropy > 0).all()
    drawn = controller.sample(20_000, np.random.default_rng(0))
    counts = np.bincount(drawn @ np.array([9, 3, 1]), minlength=27) / 20_000
    order = everything.astype(int) @ np.array([9, 3, 1])
    assert np.abs(counts[order] - p).max() < 0.01


def test_the_memory_buffer_makes_states_remember_decisions():
    problem = toy_problem(wide_space(6, 4))
    distance = {}
    for weight in (0.0, 5.0):
        strategy = get("strategies", "reinforce")(problem, seed=0, memory_buffer=weight)
        Loop(strategy, problem).until(600, 10)
        codes = problem.space.sample(120, np.random.default_rng(1)).codes
        states = strategy.controller.states(codes)
        pairs = np.triu_indices(len(codes), 1)
        apart = np.linalg.norm(states[pairs[0]] - states[pairs[1]], axis=1)
        edits = (codes[pairs[0]] != codes[pairs[1]]).sum(axis=1)
        distance[weight] = np.corrcoef(apart, edits)[0, 1]
    assert distance[5.0] > distance[0.0] + 0.05


# diverse beam search


def chain(length=6, options=4, seed=0):
    """Log-probabilities of a first-order chain."""
    rng = np.random.default_rng(seed)
    first, rest = rng.normal(size=options), rng.normal(size=(length, options, options))
    normal = lambda x: x - np.log(np.exp(x).sum(axis=-1, keepdims=True))  # noqa: E731

    def scores(prefixes):
        j = prefixes.shape[1]
        return np.tile(normal(first), (len(prefixes), 1)) if j == 0 else normal(rest[j])[prefixes[:, -1]]

    return scores


def test_one_group_without_penalty_is_beam_search():
    scores = chain()
    found, totals = diverse_beam(scores, 6, 4**5, 1, 0.0)  # wide enough to be exact
    every = np.array(list(itertools.product(range(4), repeat=6)))
    exact = sum(scores(every[:, :j])[np.arange(len(every)), every[:, j]] for j in range(6))
    assert totals[0] == pytest.approx(exact.max()) and (found[0] == every[exact.argmax()]).all()
    assert (np.diff(totals) <= 1e-12).all()
    narrow, small = diverse_beam(scores, 6, 4, 1, 0.0)
    assert narrow.shape == (4, 6) and small[0] <= totals[0] + 1e-12


def test_groups_drift_apart_as_the_penalty_rises():
    apart, kept = [], []
    for penalty in (0.0, 0.3, 1.0, 3.0):
        distances = []
        for seed in range(20):
            found, totals = diverse_beam(chain(seed=seed), 6, 6, 3, penalty)
            distances.append(np.mean([(a != b).mean() for a, b in itertools.combinations(found, 2)]))
            kept.append(totals[:2].max() >= diverse_beam(chain(seed=seed), 6, 2, 1, 0.0)[1][0] - 1e-12)
        apart.append(np.mean(distances))
    assert apart == sorted(apart) and apart[-1] > apart[0] + 0.2
    assert np.mean(kept) >= 0.8  # the best one is not worse: the first group pays nothing


def test_a_beam_over_a_controller_scores_as_the_controller_does():
    space = wide_space(4, 3)
    controller = seeded_controller(space, 1, units=12)
    found, totals = diverse_beam(controller_scores(controller), 4, 6, 2, 0.5)
    with torch.no_grad():
        assert totals == pytest.approx(controller.score(found)[0].numpy(), abs=1e-5)


def test_beams_that_groups_do_not_divide_are_refused():
    with pytest.raises(ConfigurationError, match="beams modulo groups"):
        diverse_beam(chain(), 3, 5, 2)


# integer selection, proxies


class Additive(Toy):
    metrics = ("error_percent",)

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        codes = architectures.codes
        gain = np.random.default_rng(7).uniform(0, 3, (codes.shape[1], 4))
        return {"error_percent": 50 - gain[np.arange(codes.shape[1]), codes].sum(axis=1)}


class Cost:
    metrics = ("params_m",)
    deterministic = cheap = batched = True

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        cost = np.random.default_rng(8).uniform(0, 2, (architectures.codes.shape[1], 4))
        return {"params_m": cost[np.arange(len(cost)), architectures.codes].sum(axis=1)}


def test_integer_selection_finds_the_optimum_of_an_additive_score_under_a_limit():
    space = wide_space(5, 4)
    everything = space.enumerate()
    error, size = Additive().evaluate(everything)["error_percent"], Cost().evaluate(everything)["params_m"]
    limit = float(np.quantile(size, 0.2))
    optimum = error[size <= limit].min()
    problem = Problem(
        space, (Objective("error_percent"), Objective("params_m", "limit", at_most=limit)), (Cost(), Additive())
    )
    loop = Loop(get("strategies", "milp")(problem), problem)
    loop.step(1000)
    assert len(loop.trials) == 5 * 3 + 1  # the cheapest member and every single replacement
    loop.step(1)
    best = loop.trials[-1]
    assert best.state == "complete" and best.metrics["error_percent"] == pytest.approx(optimum)
    second = loop.step(3)
    assert all(t.metrics["params_m"] <= limit for t in second)


def test_integer_selection_says_what_it_cannot_do():
    with pytest.raises(ConfigurationError, match="always active"):
        get("strategies", "milp")(
            Problem(Space(repeat(oneof(1, 2), times=oneof(1, 2))), (Objective("error_percent"),), (Toy(),))
        )
    with pytest.raises(ConfigurationError, match="cheap"):
        limits = (Objective("error_percent"), Objective("params_m", "limit", at_most=3.0))
        get("strategies", "milp")(Problem(wide_space(), limits, (Toy(),)))


def test_robot_needs_proxies_and_uses_them():
    class Proxies:
        metrics = ("good_score", "bad_score")
        deterministic = cheap = batched = True

        def evaluate(self, architectures, *, fidelity=1.0, seed=0):
            codes = architectures.codes.astype(float)
            noise = np.random.default_rng(0).normal(size=(65536, 2))[(codes @ 4 ** np.arange(8)).astype(int)]
            good = -((codes - 2) ** 2).sum(axis=1)
            return {"good_score": good + 2 * noise[:, 0], "bad_score": -good + 8 * noise[:, 1]}

    with pytest.raises(ConfigurationError, match="no evaluator of the problem is cheap"):
        get("strategies", "robot")(toy_problem(wide_space()))
    problem = Problem(wide_space(), (Objective("error_percent"),), (Proxies(), Toy()))
    for seed in range(3):
        loop = Loop(get("strategies", "robot")(problem, seed=seed, rounds=8), problem)
        loop.until(20, 1)
        assert min(t.metrics["error_percent"] for t in loop.trials) <= 2.0
        again = get("strategies", "robot")(problem, seed=seed, rounds=8)
        for n, candidates in loop.asks:
            assert [c.architecture for c in again.ask(n)] == [c.architecture for c in candidates]
            again.tell(loop.trials[: len(candidates)])
            loop.trials = loop.trials[len(candidates) :]


def test_robot_first_tries_the_sum_of_all_proxies_and_each_alone():
    class Proxies:
        metrics = ("one_score", "two_score")
        deterministic = cheap = batched = True

        def evaluate(self, architectures, *, fidelity=1.0, seed=0):
            codes = architectures.codes.astype(float)
            return {"one_score": codes[:, :4].sum(axis=1), "two_score": 3 * codes[:, 4] - codes[:, 0]}

    problem = Problem(wide_space(), (Objective("error_percent"),), (Proxies(), Toy()))
    robot = get("strategies", "robot")(problem, seed=0)
    loop = Loop(robot, problem)
    loop.until(12, 1)
    tried = np.array([weights for weights, _ in robot._tried])
    assert tried[:3].tolist() == [[1, 1], [1, 0], [0, 1]] and len(tried) == 4


def test_controllers_of_one_seed_are_equal_and_leave_torch_alone():
    space = wide_space(3, 3)
    before = torch.get_rng_state()
    one, two = seeded_controller(space, 5), seeded_controller(space, 5)
    assert isinstance(one, Controller) and torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
