import numpy as np
import pytest

from archwright.predictors.encoding import encoder_of
from archwright.registry import get
from archwright.search.pareto import hypervolume
from archwright.search.problem import Objective, Problem
from archwright.space import Architectures, Space, oneof
from archwright.spaces.nasbench201 import nasbench201
from archwright.strategies.acquisition import (
    Plain,
    expected_hypervolume_improvement,
    expected_improvement,
    log_gap,
    log_gap_of,
    tchebycheff,
)
from archwright.strategies.auto import Auto
from archwright.strategies.gbdt import prune_space
from archwright.testing.strategies import Loop, Toy, toy_problem, wide_space


class Bowl(Toy):
    """As the toy; the error is known, `size_count` is cheap."""


class Size:
    metrics = ("size_count", "shape_score")
    deterministic = cheap = batched = True

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        codes = architectures.codes.astype(float)
        return {"size_count": codes.sum(axis=1), "shape_score": -((codes - 2.0) ** 2).sum(axis=1)}


def best_of(loop):
    return min(t.metrics["error_percent"] for t in loop.trials)


def test_expected_improvement_equals_a_monte_carlo_estimate():
    rng = np.random.default_rng(0)
    mean, std, best = np.array([0.0, 1.0, -0.5]), np.array([1.0, 0.5, 0.1]), 0.2
    drawn = mean + std * rng.standard_normal((400_000, 3))
    assert expected_improvement(mean, std, best) == pytest.approx(np.maximum(best - drawn, 0).mean(axis=0), abs=3e-3)


def test_expected_hypervolume_improvement_equals_a_monte_carlo_estimate():
    rng = np.random.default_rng(0)
    points = np.array([[0.2, 0.8], [0.5, 0.4], [0.9, 0.1], [0.95, 0.5]])
    reference = np.array([1.1, 1.1])
    mean, std = np.array([[0.4, 0.4], [0.1, 1.0], [1.0, 1.0]]), np.array([[0.2, 0.1], [0.05, 0.3], [0.1, 0.1]])
    before = hypervolume(points, reference)
    found = expected_hypervolume_improvement(mean, std, points, reference)
    for m, s, value in zip(mean, std, found, strict=True):
        drawn = m + s * rng.standard_normal((3000, 2))
        gains = [hypervolume(np.vstack([points, d]), reference) - before for d in drawn]
        assert value == pytest.approx(np.mean(gains), abs=4 * np.std(gains) / np.sqrt(len(gains)) + 1e-4)


def test_with_no_front_the_whole_box_is_to_be_gained():
    found = expected_hypervolume_improvement(
        np.array([[0.5, 0.25]]), np.full((1, 2), 1e-6), np.zeros((0, 2)), np.ones(2)
    )
    assert found[0] == pytest.approx(0.5 * 0.75, abs=1e-4)


def test_a_shifted_log_normal_loss_is_integrated_exactly_and_mapped_back():
    losses = np.array([3.0, 4.0, 6.0, 30.0])
    scale = log_gap_of(losses)
    assert np.allclose(scale.back(scale(losses)), losses)
    mean, std = np.array([[-1.0], [0.5]]), np.array([[0.3], [0.8]])
    drawn = scale.back(mean + std * np.random.default_rng(0).standard_normal((2, 400_000)))
    for limit in (3.5, 5.0, 9.0):
        expected = np.maximum(limit - drawn, 0.0).mean(axis=1)
        assert np.allclose(scale.below(limit, mean, std)[:, 0], expected, rtol=0.02, atol=2e-3)
    step = 1e-6
    slopes = (scale(losses + step) - scale(losses)) / step
    assert np.isclose(scale.log_slope(losses), np.log(slopes).sum(), atol=1e-4)


def test_hypervolume_improvement_on_a_log_scale_equals_a_monte_carlo_estimate():
    points, reference = np.array([[0.2, 0.8], [0.5, 0.3]]), np.array([1.1, 1.1])
    scales = (log_gap_of(np.array([0.0, 0.4, 1.0])), Plain())
    mean, std = np.array([[-0.9, 0.2]]), np.array([[0.5, 0.2]])
    drawn = mean + std * np.random.default_rng(1).standard_normal((20_000, 2))
    drawn[:, 0] = scales[0].back(drawn[:, 0])
    before = hypervolume(points, reference)
    gains = [hypervolume(np.vstack([points, d]), reference) - before for d in drawn]
    found = expected_hypervolume_improvement(mean, std, points, reference, scales)
    assert np.isclose(found[0], np.mean(gains), rtol=0.03)


def test_the_log_gap_keeps_the_order_and_spreads_the_best():
    losses = np.array([90.0, 6.4, 6.3, 5.7, 5.63])
    scaled = log_gap(losses)
    assert (np.argsort(scaled) == np.argsort(losses)).all()
    assert scaled[2] - scaled[3] > scaled[1] - scaled[2] and np.isfinite(log_gap(np.ones(3))).all()


def test_tchebycheff_prefers_the_balanced_of_equal_sums():
    scores = tchebycheff(np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([0.5, 0.5]))
    assert scores[0] < scores[1]


def test_bayesian_optimization_needs_a_fraction_of_random_queries():
    problem = toy_problem(wide_space(6, 5))  # 15,625 members, one optimum
    needed = []
    for seed in range(3):
        loop = Loop(get("strategies", "bayesian")(problem, seed=seed), problem)
        while best_of(loop) > 0 if loop.trials else True:
            loop.step(1)
            assert len(loop.trials) < 100
        needed.append(len(loop.trials))
    assert np.median(needed) < 60


def test_networks_that_compute_the_same_are_evaluated_once():
    space = nasbench201(cells=1)
    problem = Problem(space, (Objective("error_percent"),), (Toy(),))
    strategy = get("strategies", "bayesian")(problem, seed=0, starts=2)
    loop = Loop(strategy, problem)
    loop.until(25, 1)
    encoded = strategy._encoder(Architectures(space, np.stack([t.candidate.architecture.code for t in loop.trials])))
    keys = encoded.keys().tolist()
    assert len(set(keys[2:])) == len(keys[2:]) and not set(keys[2:]) & set(keys[:2])


def test_zero_cost_scores_guide_the_start_and_the_model():
    problem = Problem(wide_space(6, 5), (Objective("error_percent"),), (Size(), Toy()))
    blind = toy_problem(wide_space(6, 5))
    first = {}
    for name, p in (("guided", problem), ("blind", blind)):
        loops = [Loop(get("strategies", "bayesian")(p, seed=s), p) for s in range(4)]
        for loop in loops:
            loop.step(4)
        first[name] = np.mean([best_of(loop) for loop in loops])
    assert first["guided"] < first["blind"]


def test_a_cheap_goal_is_read_and_not_predicted():
    space = wide_space(6, 5)
    goals = (Objective("error_percent"), Objective("size_count"))
    problem = Problem(space, goals, (Size(), Toy()))
    loop = Loop(get("strategies", "bayesian")(problem, seed=0), problem)
    loop.until(30, 1)
    plain = Loop(get("strategies", "random")(problem, seed=0), problem)
    plain.until(30, 1)
    reference = np.array([54.0, 24.0])
    volumes = [hypervolume(problem.losses(run.trials), reference) for run in (loop, plain)]
    assert volumes[0] > volumes[1]


def test_candidates_that_are_out_are_not_proposed_again():
    problem = toy_problem(wide_space())
    strategy = get("strategies", "bayesian")(problem, seed=0)
    loop = Loop(strategy, problem)
    loop.until(8, 4)
    out = [c.architecture.key for _ in range(4) for c in strategy.ask(3)]
    assert len(set(out)) == 12


@pytest.mark.parametrize(
    ("evaluators", "goals", "trials", "chosen"),
    [
        ((Toy(),), ("error_percent",), None, "bayesian"),
        ((Toy(),), ("error_percent",), 100_000, "regularized_evolution"),
        ((Toy(),), ("error_percent", "params_m"), 100_000, "nsga2"),
        ((Size(),), ("size_count",), None, "random"),
        ((Size(),), ("size_count",), 100, "regularized_evolution"),
        ((Size(), Toy()), ("error_percent", "size_count"), 50, "bayesian"),
        ((Size(), Toy()), ("error_percent", "params_m", "size_count"), 50, "linas"),
        ((Toy(),), ("error_percent",), 50, "bayesian"),
    ],
)
def test_auto_says_what_it_picks_and_why(evaluators, goals, trials, chosen):
    problem = Problem(wide_space(6, 4), tuple(Objective(g) for g in goals), evaluators)
    auto = Auto(problem, seed=0, trials=trials)
    assert auto.name == chosen and auto.reason.startswith(f"{chosen}: ") and "architectures" in auto.reason


def test_pruning_by_shap_raises_the_mean_of_what_is_left():
    pytest.importorskip("lightgbm")
    space = Space({f"d{i}": oneof(*"abcde", name=f"d{i}") for i in range(6)})
    rng = np.random.default_rng(0)
    known = space.sample(150, rng)
    losses = lambda a: ((a.codes - 2.0) ** 2).sum(axis=1)  # noqa: E731
    pruned = prune_space(space, known, losses(known), 8)
    assert pruned.size() < space.size() / 5
    assert losses(pruned.sample(500, rng)).mean() < 0.7 * losses(space.sample(500, rng)).mean()
    assert [d.options for d in pruned.decisions] == [d.options for d in space.decisions]  # codes keep their meaning


def test_gbdt_nas_proposes_no_network_that_equals_an_evaluated_one():
    pytest.importorskip("lightgbm")
    space = nasbench201((3, 8, 8), 10, channels=(4,), cells=1)
    loop = Loop(get("strategies", "gbdt_nas")(toy_problem(space), seed=0), toy_problem(space))
    loop.until(52, 5)
    codes = np.stack([t.candidate.architecture.code for t in loop.trials])
    keys = encoder_of(space).encode(Architectures(space, codes)).keys().tolist()
    assert len(set(keys[12:])) == 40 and not set(keys[12:]) & set(keys[:12])


@pytest.mark.parametrize("name", ["smbo", "gbdt_nas", "linas", "fbnetv3", "bananas"])
def test_predictors_find_better_ones_than_random_search(name):
    if name == "gbdt_nas":
        pytest.importorskip("lightgbm")
    problem = toy_problem(wide_space(8, 5))
    found = {}
    for strategy in (name, "random"):
        best = []
        for seed in range(2):
            loop = Loop(get("strategies", strategy)(problem, seed=seed), problem)
            loop.until(60, 10)
            best.append(best_of(loop))
        found[strategy] = np.mean(best)
    assert found[name] < 0.6 * found["random"]


def test_botorch_beats_random_search_and_leaves_torch_alone():
    pytest.importorskip("botorch")
    import torch

    problem = toy_problem(wide_space(6, 4))
    before = torch.get_rng_state()
    found = {}
    for name in ("botorch", "random"):
        loops = [Loop(get("strategies", name)(problem, seed=seed), problem) for seed in range(3)]
        for loop in loops:
            loop.until(36, 4)
        found[name] = np.mean([best_of(loop) for loop in loops])
    assert found["botorch"] < found["random"]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["bayesian", "gbdt_nas", "smbo"])
def test_models_keep_away_from_where_trials_fail(name):
    if name == "gbdt_nas":
        pytest.importorskip("lightgbm")

    class Half(Toy):
        batched = False

        def evaluate(self, architectures, *, fidelity=1.0, seed=0):
            if (architectures.codes[:, 0] < 2).any():
                raise ValueError("does not fit into memory")
            return super().evaluate(architectures, fidelity=fidelity, seed=seed)

    problem = toy_problem(wide_space(6, 4), evaluator=Half())
    shares = []
    for seed in range(3):
        loop = Loop(get("strategies", name)(problem, seed=seed), problem)
        loop.until(40, 1)
        shares.append(np.mean([t.state == "failed" for t in loop.trials[20:]]))
    assert np.mean(shares) < 0.25  # half of all members fail
