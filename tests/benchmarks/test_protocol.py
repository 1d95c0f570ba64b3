import json

import numpy as np
import pytest

from archwright.benchmarks import protocol
from archwright.benchmarks.protocol import Played, bench, parse_strategy, queries_until, regret_of
from archwright.benchmarks.statistics import interval, lower_median, mann_whitney, ranks_over, summary_of
from archwright.benchmarks.table import TableBenchmark, load
from archwright.errors import ConfigurationError
from archwright.space import Space, oneof


class Column:
    """A measured column that lies in memory."""

    scale = 1.0

    def __init__(self, values):
        self._values = np.asarray(values, np.float64)

    def values(self):
        return self._values


def tiny():
    """4 x 4 x 4 codes; a query is off by up to 0.3 from the truth."""
    space = Space({f"d{i}": oneof(*"abcd", name=f"d{i}") for i in range(3)})
    codes = space.enumerate().codes
    truth = 100.0 - ((codes - np.array([1, 2, 3])) ** 2).sum(axis=1)
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, len(codes))
    cost = codes.sum(axis=1) + 1.0
    return TableBenchmark(
        name="tiny",
        make_space=lambda: space,
        listed=lambda: codes,
        observed={"accuracy_percent": Column(truth + noise), "latency_ms": Column(cost)},
        goal="accuracy_percent",
        truth={"accuracy_percent": Column(truth)},
        seconds={1.0: Column(np.full(len(codes), 60.0))},
    )


@pytest.fixture
def table(monkeypatch):
    monkeypatch.setattr(protocol, "load", lambda name: tiny())
    return tiny()


def test_regret_follows_the_incumbent_by_what_was_observed():
    played = Played(
        observed=np.array([[5.0], [3.0], [4.0], [np.nan], [2.0]]),
        true=np.array([[4.0], [4.5], [1.0], [0.0], [2.5]]),
        seconds=0.0,
        simulated_s=np.zeros(5),
    )
    curve = regret_of(played, best=1.0)
    assert curve.tolist() == [3.0, 3.5, 3.5, 3.5, 1.5]  # the second looked better and was worse
    assert queries_until(curve, 3.5) == 1 and queries_until(curve, 2.0) == 5 and queries_until(curve, 1.0) is None


def test_before_the_first_full_result_there_is_no_regret():
    played = Played(np.array([[np.nan], [1.0]]), np.array([[9.0], [2.0]]), 0.0, np.zeros(2))
    assert np.isnan(regret_of(played, 0.0)[0]) and regret_of(played, 0.0)[1] == 2.0


def test_bench_writes_results_and_a_page_with_random_search_in_it(table, tmp_path):
    bench("tiny", ["regularized_evolution(population=5)"], seeds=3, queries=20, out=tmp_path)
    entry = json.loads((tmp_path / "results.json").read_text())["benchmarks"][0]
    assert set(entry["strategies"]) == {"regularized_evolution(population=5)", "random"}
    runs = entry["strategies"]["random"]["runs"]
    assert [r["seed"] for r in runs] == [0, 1, 2] and all(len(r["regret"]) == 20 for r in runs)
    assert runs[0]["simulated_s"][-1] == 20 * 60 and runs[0]["engine_s"] > 0
    assert runs[0]["regret"] == sorted(runs[0]["regret"], reverse=True) or max(runs[0]["regret"]) > 0
    until = entry["strategies"]["random"]["summary"]["queries_until"]
    assert until["2.0"]["reached"] >= until["0.1"]["reached"]
    page = (tmp_path / "report.html").read_text()
    assert "regularized_evolution(population=5)" in page and "Plotly.newPlot" in page and "<script src" not in page


def test_two_goals_give_shares_of_the_tables_hypervolume(table):
    goals = {"accuracy_percent": True, "latency_ms": False}
    entry = bench("tiny", ["nsga2(population=8)"], seeds=2, queries=64, goals=goals)["benchmarks"][0]
    curve = entry["strategies"]["random"]["runs"][0]["hypervolume"]
    assert curve == sorted(curve) and curve[-1] == pytest.approx(1.0)  # all 64 members were drawn


def test_strategies_are_played_from_their_seeds_alone(table):
    one, two = (bench("tiny", ["bayesian"], seeds=2, queries=10)["benchmarks"][0] for _ in range(2))
    curves = [[r["regret"] for r in e["strategies"]["bayesian"]["runs"]] for e in (one, two)]
    assert curves[0] == curves[1]


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [("nsga2", "nsga2", {}), ("a(b=1, c='x')", "a", {"b": 1, "c": "x"})],
)
def test_options_of_a_strategy_are_read(text, name, options):
    assert parse_strategy(text) == (name, options)


@pytest.mark.parametrize("text", ["a(1)", "a b", "a(b=c)", "a.b", ""])
def test_what_is_no_strategy_is_said(text):
    with pytest.raises(ConfigurationError, match="a strategy reads"):
        parse_strategy(text)


def test_a_wrong_name_is_said_before_anything_is_played(table):
    with pytest.raises(ConfigurationError, match="did you mean 'bayesian'"):
        bench("tiny", ["random", "bayesin"], seeds=1, queries=1)
    with pytest.raises(ConfigurationError, match="at least one seed"):
        bench("tiny", ["random"], seeds=0, queries=1)


def test_a_comparison_without_its_baseline_is_refused():
    with pytest.raises(ConfigurationError, match="needs the baseline 'random'"):
        summary_of({"strategies": {"bayesian": {"runs": []}}}, "random", (0.3,))


def test_relative_improvement_is_measured_against_the_average_of_random_architectures(table):
    entry = bench("tiny", ["bayesian"], seeds=2, queries=30)["benchmarks"][0]
    average = -entry["mean_of_random"]
    final = [r["regret"][-1] for r in entry["strategies"]["bayesian"]["runs"]]
    expected = np.mean([100 * ((-entry["best"] - f) - average) / average for f in final])
    found = entry["strategies"]["bayesian"]["summary"]["relative_improvement_percent"]
    assert found[0] == pytest.approx(expected) and found[1] <= found[0] <= found[2]


def test_medians_of_runs_that_never_arrive_stay_infinite():
    values = np.array([3.0, np.inf, np.inf])
    assert interval(values, lower_median)[0] == np.inf
    assert interval(np.array([3.0, 4.0, np.inf]), lower_median)[0] == 4.0


def test_the_bootstrap_interval_covers_the_median_of_a_normal_sample():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(40):
        _, low, high = interval(rng.normal(0.0, 1.0, 30))
        hits += low <= 0.0 <= high
    assert hits >= 34


def test_rank_tests_see_a_difference_and_do_not_invent_one():
    assert mann_whitney([1, 2, 3, 4, 5], [11, 12, 13, 14, 15]) < 0.01
    assert mann_whitney([1, 1, 1], [1, 1, 1]) == 1.0
    runs = lambda v: {"runs": [{"regret": [v]}]}  # noqa: E731
    entries = [{"strategies": {"a": runs(i), "b": runs(i + 1), "c": runs(i + 2)}} for i in range(6)]
    ranks = ranks_over(entries)
    assert ranks["mean_rank"] == {"a": 1.0, "b": 2.0, "c": 3.0} and ranks["friedman_p"] < 0.01


def test_the_command_splits_names_and_writes_the_folder(table, tmp_path):
    lines = []
    folder = protocol.bench_command(
        "tiny",
        "auto,nsga2(population=4, crossover=0.8)",
        seeds=1,
        queries=6,
        out=tmp_path / "out",
        progress=lines.append,
    )
    entry = json.loads((folder / "results.json").read_text())["benchmarks"][0]
    assert list(entry["strategies"]) == ["auto", "nsga2(population=4, crossover=0.8)", "random"] and len(lines) == 3


@pytest.mark.parametrize("strategy", ["asha", "hyperband", "successive_halving"])
def test_multi_fidelity_strategies_start_at_the_lowest_fidelity_of_the_table(strategy, monkeypatch):
    full = tiny()
    half = TableBenchmark(
        name="halves",
        make_space=full.make_space,
        listed=full.listed,
        observed=full.observed,
        goal=full.goal,
        truth=full.truth,
        fidelities={0.5: {"accuracy_percent": full.observed["accuracy_percent"]}},
    )
    for table, lowest in ((full, 1.0), (half, 0.5)):
        problem = protocol.Setting(table, 12).problem()
        asked = {c.fidelity for c in protocol.maker(f"{strategy}", 12)(problem, 0).ask(4)}
        assert min(asked) >= lowest
        played = protocol.play(protocol.Setting(table, 12), protocol.maker(strategy, 12), 0)
        assert len(played.true) == 12


def test_a_run_may_end_where_a_goal_is_reached():
    setting = protocol.Setting(load("digits-conv"), 40)
    make = protocol.maker("regularized_evolution(population=4, sample=2)", 40)
    whole = protocol.play(setting, make, 0).observed[:, 0]
    goal = float(np.sort(whole)[3])
    part = protocol.play(setting, make, 0, until=goal).observed[:, 0]
    first = int(np.flatnonzero(whole <= goal)[0])
    assert first < len(part) < 40 and (part == whole[: len(part)]).all()
    assert (part[:first] > goal).all()


def test_processes_play_the_same_runs():
    def played(workers):
        entry = bench("digits-conv", ["local_search"], seeds=3, queries=12, workers=workers)["benchmarks"][0]
        runs = [run for name in ("local_search", "random") for run in entry["strategies"][name]["runs"]]
        return [(run["seed"], run["regret"]) for run in runs]

    assert played(2) == played(1)
