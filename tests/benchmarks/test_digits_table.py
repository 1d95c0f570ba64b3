import json
import subprocess
import sys

import numpy as np
import pytest

from archwright.benchmarks import digits
from archwright.benchmarks.protocol import bench
from archwright.benchmarks.table import load
from archwright.costs.counts import Counts
from archwright.evaluators.table import TableEvaluator
from archwright.nets.build import build
from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.space import Architectures


@pytest.fixture(scope="module")
def table():
    return load("digits-conv")


@pytest.fixture(scope="module")
def stored():
    return dict(np.load(digits.path(), allow_pickle=False))


def test_the_table_lists_every_member_of_its_space_once(table):
    everything = table.space.enumerate().codes
    assert len(table.codes) == table.space.size() == len(everything) == 490
    assert table.is_complete
    assert (np.sort(table.rows(everything)) == np.arange(490)).all()


def test_no_two_networks_of_the_table_are_the_same(table):
    archs = table.space.architectures(table.codes)
    assert len({arch.digest for arch in archs}) == 490


def test_the_table_opens_where_no_external_data_are(tmp_path):
    code = (
        "import sys\nfrom archwright.benchmarks.table import load\n"
        "print(load('digits-conv').best())\nassert 'torch' not in sys.modules"
    )
    quiet = {"PATH": "", "ARCHWRIGHT_DATA": str(tmp_path / "none"), "ARCHWRIGHT_CACHE": str(tmp_path / "none")}
    done = subprocess.run([sys.executable, "-c", code], env=quiet, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 90 < float(done.stdout) <= 100 and not (tmp_path / "none").exists()


def test_every_value_is_there_and_possible(table, stored):
    rows = np.arange(490)
    for metric in table.metrics:
        assert np.isfinite(table.read(metric, rows)).all(), metric
        assert (table.read(metric, rows) > 0).all(), metric
    for epochs in digits.LEVELS:
        for part, images in (("valid", digits.VALID), ("test", digits.TEST)):
            right = stored[f"{part}_e{epochs}"]
            assert right.shape == (490, digits.SEEDS) and right.min() >= 0 and right.max() <= images
    assert digits.path().stat().st_size < 2_000_000


def test_the_parts_are_those_of_the_task():
    data = digits.task()
    assert (len(data.valid), len(data.test)) == (digits.VALID, digits.TEST)
    assert data.input_shape == digits.SHAPE and data.outputs == digits.CLASSES


def test_parameters_and_macs_of_every_row_equal_our_counts(table):
    counted = Counts(table.space, digits.SHAPE).evaluate(Architectures(table.space, table.codes))
    rows = np.arange(490)
    for metric in ("params_m", "macs_m"):
        assert (np.round(counted[metric] * 1e6) == np.round(table.read(metric, rows) * 1e6)).all()
    for i in range(0, 490, 49):  # and those of the built networks
        net = build(table.space.architectures(table.codes[i : i + 1])[0], digits.SHAPE, seed=0)
        assert sum(p.numel() for p in net.parameters()) == round(table.read("params_m", rows[i : i + 1])[0] * 1e6)


def test_a_query_is_one_training_and_the_truth_the_mean_over_seeds(table, stored):
    rows = np.arange(490)
    assert np.allclose(table.read("accuracy_percent", rows), 100.0 * stored["test_e12"][:, 0] / 719)
    assert np.allclose(table.read("valid_accuracy_percent", rows), 100.0 * stored["valid_e12"][:, 0] / 359)
    truth = 100.0 * stored["test_e12"].mean(axis=1) / 719
    assert np.allclose(table.read("accuracy_percent", rows, true=True), truth)
    assert np.allclose(table.read("valid_accuracy_percent", rows, true=True), truth)
    assert table.best() == pytest.approx(truth.max())


def test_seeds_differ_less_than_networks_do(stored):
    test = 100.0 * stored["test_e12"] / digits.TEST
    within, between = test.std(axis=1, ddof=1).mean(), test.mean(axis=1).std()
    assert 0.1 < within < between


def test_longer_trainings_cost_more_and_tell_more(table):
    from scipy.stats import spearmanr

    rows = np.arange(490)
    truth = table.read("accuracy_percent", rows, true=True)
    known = {f: table.read("valid_accuracy_percent", rows, fidelity=f) for f in (0.25, 0.5, 1.0)}
    ranks = [spearmanr(known[f], truth)[0] for f in (0.25, 0.5, 1.0)]
    assert ranks == sorted(ranks) and ranks[-1] > 0.8
    seconds = [table.duration_s(rows, f) for f in (0.25, 0.5, 1.0)]
    assert (seconds[0] < seconds[1]).all() and (seconds[1] < seconds[2]).all()


def test_latency_follows_work_on_the_whole(table):
    from scipy.stats import spearmanr

    rows = np.arange(490)
    assert spearmanr(table.read("latency_ms", rows), table.read("macs_m", rows))[0] > 0.3
    about = digits.about()["latency"]
    assert {"threads_1", "threads_2", "meter"} <= set(about) and about["meter"]["backend"] == "onnxruntime"
    assert all(len(about[f"threads_{t}"]["load_average"]) == 2 for t in digits.THREADS)


@pytest.mark.parametrize("name", ["random", "local_search", "regularized_evolution", "nsga2", "auto"])
def test_strategies_search_it_through_the_evaluator(name, table):
    goals = (Objective("accuracy_percent"), Objective("latency_ms"))[: 2 if name == "nsga2" else 1]
    problem = Problem(table.space, goals, (TableEvaluator(table, tuple(g.metric for g in goals)),))
    result = run(problem, name, Budget(trials=60), seed=0)
    assert len(result.trials) == 60
    best = max(t.metrics["accuracy_percent"] for t in result.trials)
    assert best > np.percentile(table.read("accuracy_percent", np.arange(490)), 80)


@pytest.mark.slow
def test_bench_uses_it_by_default(tmp_path):
    from typer.testing import CliRunner

    from archwright.cli import app

    arguments = ["bench", "--strategy", "random", "--seeds", "2", "--queries", "20", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    results = json.loads((tmp_path / "results.json").read_text())
    assert [b["benchmark"] for b in results["benchmarks"]] == ["digits-conv"]


def test_local_search_needs_fewer_queries_than_random_search():
    found = bench("digits-conv", ["local_search"], seeds=20, queries=150)["benchmarks"][0]["strategies"]
    until = {name: strategy["summary"]["queries_until"]["0.5"]["median"] for name, strategy in found.items()}
    assert until["local_search"] < until["random"]


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 25, 50, 75, 100])
def test_training_a_network_again_gives_what_the_table_says(place, table, stored):
    mean = stored["test_e12"].mean(axis=1)
    row = int(np.argsort(mean)[round(place / 100 * 489)])
    arch = table.space.architectures(table.codes[row : row + 1])[0]
    spread = np.median(np.ptp(stored["test_e12"], axis=1))  # images; exactly equal where libraries and processor are
    for seed in range(digits.SEEDS):
        again = digits.trained_once(arch, seed)[12]
        assert abs(again.test - int(stored["test_e12"][row, seed])) <= spread
