"""The FPTAS against brute force: tables, an instance with an interior optimum, and its counts."""

import itertools

import numpy as np
import pytest

from archwright.analysis.bert_sizes import BertCosts, bert_space, encoder_params
from archwright.analysis.convex_family import ConvexFamily
from archwright.analysis.subarchitecture import candidates_count, maximum_point, training_steps, w_coefficient
from archwright.benchmarks.table import load
from archwright.errors import ConfigurationError
from archwright.evaluators.table import TableEvaluator
from archwright.search.problem import Objective, Problem
from archwright.space import Space, oneof
from archwright.strategies.fptas import FPTAS
from archwright.testing.strategies import Loop

ROBERTA_LARGE = (302.3, 40_000.0)  # encoder parameters and a bound of the operations at 128 tokens, in millions


class BertError(BertCosts):
    """e = 0.12 + 0.9 (encoder parameters / 1e6)^-0.55 + noise: a made-up table whose optimum brute force knows."""

    metrics = ("error_share",)
    cheap = False

    def __init__(self, noise=0.0, seed=0):
        super().__init__()
        self.noise = noise * np.random.default_rng(seed).standard_normal(300)
        self.rows = {code.tobytes(): i for i, code in enumerate(bert_space().enumerate().codes)}

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        params = super().evaluate(architectures)["params_m"]
        rows = [self.rows[code.tobytes()] for code in architectures.codes]
        return {"error_share": 0.12 + 0.9 * params**-0.55 + self.noise[rows]}


def bert_problem(noise=0.0, seed=0):
    return Problem(bert_space(), (Objective("error_share"),), (BertCosts(), BertError(noise, seed)))


def extracted(problem, **options):
    strategy = FPTAS(problem, **options)
    Loop(strategy, problem).until(10**6, 50)
    return strategy.report()


def bert_ratio(interval, noise=0.0, seed=0):
    problem = bert_problem(noise, seed)
    report = extracted(problem, interval=interval, maximum=ROBERTA_LARGE)
    members = problem.space.enumerate()
    costs, error = BertCosts().evaluate(members), problem.evaluators[1].evaluate(members)["error_share"]
    w = w_coefficient(costs["params_m"], costs["macs_m"], error, report.maximum)
    assert report.evaluations == report.formula == candidates_count(300, interval)
    assert report.w <= w.max()
    return report.w / w.max()


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03])
def test_every_candidate_gives_the_optimum_of_brute_force(noise):
    assert bert_ratio(1, noise) == 1.0


def test_a_wider_stride_loses_little_on_the_smooth_table_and_more_on_average_with_noise():
    assert min(bert_ratio(s) for s in (2, 4, 8)) > 0.99 and min(bert_ratio(s) for s in (16, 32)) > 0.95
    means = [np.mean([bert_ratio(s, 0.03, seed) for seed in range(4)]) for s in (1, 4, 32)]
    assert means[0] >= means[1] >= means[2] > 0.7


def ratio_on(family, report):
    costs = family.problem().evaluators[0].evaluate(family.space().enumerate())
    w = w_coefficient(costs["params_m"], costs["macs_m"], family.optimal_losses(), report.maximum)
    return w[int(report.best.code[0])] / w.max(), w


@pytest.mark.parametrize("interval", [1, 4])
@pytest.mark.parametrize("eps", [0.5, 0.2, 0.1])
def test_convex_family_keeps_the_bound_with_an_optimum_inside_the_grid(eps, interval):
    for seed in range(3):
        family = ConvexFamily(seed)
        report = extracted(family.problem(), eps=eps, interval=interval, full_steps=family.full_steps)
        ratio, w = ratio_on(family, report)
        assert 3 < w.argmax() < len(w) - 4
        assert ratio >= 1.0 - eps
        assert report.abnc.holds and report.holds == all(report.conditions.values())
        candidates = candidates_count(len(w), interval)
        assert report.evaluations == report.formula == candidates
        assert family.updates == candidates * training_steps(eps, interval)
        assert family.examples_seen == family.updates * family.batch


@pytest.mark.parametrize("kink", [None, 40])
@pytest.mark.parametrize("refine", [False, True])
def test_wherever_the_conditions_hold_the_bound_does(refine, kink):
    held = 0
    for eps, interval, seed in itertools.product((0.5, 0.2, 0.1), (1, 2, 4, 8), range(2)):
        family = ConvexFamily(seed, kink=kink)
        report = extracted(family.problem(), eps=eps, interval=interval, full_steps=family.full_steps, refine=refine)
        if report.holds:
            held += 1
            assert ratio_on(family, report)[0] >= 1.0 - eps
        elif refine:  # a refined extraction misses its conditions only where training is too short
            assert eps * interval**0.5 >= 1.0
    assert held == 20 if refine else 6 < held < 20  # 4 of 24 train too short


def test_a_stride_that_may_step_over_a_peak_is_noticed_and_the_refinement_finds_the_peak():
    """W between two candidates is not bounded by eps: the ratio is 0.85 here, and the report does not claim more."""
    family = ConvexFamily(0, kink=40)
    ratios, held = [], []
    for refine in (False, True):
        report = extracted(family.problem(), eps=0.1, interval=4, full_steps=family.full_steps, refine=refine)
        ratios.append(ratio_on(family, report)[0])
        held.append(report.holds)
        assert ("no guarantee" in report.guarantee) != report.holds
    assert ratios[0] < 0.9 and ratios[1] == 1.0 and held == [False, True]
    assert report.formula < report.evaluations < 48


def test_no_guarantee_is_claimed_of_errors_that_nothing_is_known_of():
    report = extracted(bert_problem(), interval=1)
    assert not report.holds
    missing = [name for name, met in report.conditions.items() if not met]
    assert missing == ["the training objective is smooth and strongly convex"]


def test_maximum_far_above_the_family_makes_the_choice_follow_the_error_and_a_close_one_the_size():
    problem = bert_problem()
    far = extracted(problem, maximum=(1e6, 1e9)).best.tree
    close = extracted(problem).best.tree
    assert (far.layers, far.hidden, far.intermediate) == (12, 1024, 3072)
    small, large = (encoder_params(t.layers, t.hidden, t.intermediate) for t in (close, far))
    assert small < large / 5


def test_training_settings_multiply_the_candidates_and_the_best_setting_is_returned():
    space = Space({"width": oneof(1, 2, 3, 4, 5, name="width"), "rate": oneof(0.1, 0.01, name="rate")})

    class Costs:
        metrics, deterministic, cheap = ("params_m", "macs_m"), True, True

        def evaluate(self, architectures, *, fidelity=1.0, seed=0):
            k = architectures.codes[:, 0] + 1.0
            return {"params_m": k, "macs_m": k}

    class Error:
        metrics, deterministic, batched = ("error_share",), True, True

        def evaluate(self, architectures, *, fidelity=1.0, seed=0):
            codes = architectures.codes
            return {"error_share": 1.0 / (codes[:, 0] + 1.0) ** 3 + 0.1 * (codes[:, 1] == 0)}

    problem = Problem(space, (Objective("error_share"),), (Costs(), Error()))
    report = extracted(problem, interval=2, training=("rate",))
    assert report.formula == report.evaluations == 2 * candidates_count(5, 2)
    assert report.best.tree["rate"] == 0.01 and report.best.tree["width"] == 3


@pytest.mark.data
@pytest.mark.parametrize("name", ["nasbench-macro", pytest.param("nasbench201-cifar10", marks=pytest.mark.slow)])
def test_strides_over_a_table_need_as_many_trials_as_the_formula_and_find_half_of_the_best_at_least(name):
    try:
        benchmark = load(name)
        evaluators = (
            TableEvaluator(benchmark, ("params_m", "macs_m")),
            TableEvaluator(benchmark, ("accuracy_percent",)),
        )
        rows = np.arange(len(benchmark.codes))
        error = 100.0 - benchmark.read("accuracy_percent", rows)
    except ConfigurationError as reason:
        pytest.skip(str(reason))
    problem = Problem(benchmark.space, (Objective("accuracy_percent", "maximize"),), evaluators)
    size, latency = benchmark.read("params_m", rows), benchmark.read("macs_m", rows)
    top = maximum_point(size, latency)
    best = w_coefficient(size, latency, error, top).max()
    for interval in (16, 64):
        report = extracted(problem, interval=interval)
        assert report.evaluations == candidates_count(len(rows), interval)
        assert 0.5 < report.w / best <= 1.0 + 1e-9


def test_resumes_where_it_stopped_and_ends_after_the_formula():
    problem = bert_problem(0.01)
    loop = Loop(FPTAS(problem, interval=8, refine=True), problem)
    loop.until(30, 7)
    again, start = FPTAS(problem, interval=8, refine=True), 0
    for n, candidates in loop.asks:
        assert list(again.ask(n)) == candidates
        again.tell(loop.trials[start : start + len(candidates)])
        start += len(candidates)
    rest = list(loop.strategy.ask(100))
    assert list(again.ask(100)) == rest and rest


def test_failed_trials_have_no_coefficient():
    problem = bert_problem()
    strategy = FPTAS(problem, interval=300)
    assert strategy.report().best is None
    first, last = strategy.ask(2)
    from archwright.search.trial import Trial

    strategy.tell([Trial(0, first, "failed"), Trial(1, last, "complete", {"error_share": 0.3})])
    report = strategy.report()
    assert report.evaluations == 2 and report.coefficients[0] == 0.0
    assert report.best is None  # the last is the maximum point itself, whose coefficient is 0


def test_limits_on_costs_leave_members_out():
    limit = Objective("params_m", "limit", at_most=20.0)
    problem = Problem(bert_space(), (Objective("error_share"), limit), (BertCosts(), BertError()))
    report = extracted(problem)
    assert report.size.max() <= 20.0 and report.evaluations < 300


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 0.0}, "eps"),
        ({"interval": 0}, "interval"),
        ({"size": "size_mb"}, "size_mb"),
        ({"maximum": (1, 1)}, "must bound"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ConfigurationError, match=message):
        FPTAS(bert_problem(), **options)
