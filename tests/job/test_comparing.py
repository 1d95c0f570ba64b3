"""`archwright compare`: runs of one problem beside each other, and their improvement over random architectures."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

import archwright
from archwright.errors import ConfigurationError
from archwright.job.comparing import print_comparison
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.testing.strategies import Toy, toy_space

SPACE = """from archwright.operators import Classifier, Conv, Sequential
from archwright.space import Space, oneof

space = Space(Sequential((Conv(oneof(2, 8, 16), stride=2), Conv(oneof(4, 16)), Classifier(10))))
"""
OPTIONS = {"evaluation": "train", "epochs": 1, "finalists": 1, "baseline": False}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("runs"), {}
    (folder / "space.py").write_text(SPACE)
    for strategy, seed in (("random", 0), ("random", 1), ("local_search", 0), ("local_search", 1)):
        out = folder / f"{strategy}{seed}"
        archwright.search(
            str(folder / "space.py"), "digits", strategy=strategy, maximize="accuracy_percent", budget="4 trials",
            out=str(out), quiet=True, seed=seed, options=OPTIONS,
        )  # fmt: skip
        lines = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
        found[strategy, seed] = out, [e["metrics"]["accuracy_percent"] for e in lines if "metrics" in e]
    return found


def shown(folders):
    out = io.StringIO()
    print_comparison(folders, Console(file=out, width=300))
    return out.getvalue()


@pytest.mark.slow
def test_the_improvement_is_that_of_the_best_over_the_mean_of_random_architectures(runs):
    text = shown([out for out, _ in runs.values()])
    assert "RI % accuracy_percent" in text and text.count("2 seeds") == 2
    random = [v for (strategy, _), (_, values) in runs.items() if strategy == "random" for v in values]
    assert len(random) == 8
    for (strategy, seed), (_, values) in runs.items():
        expected = 100 * (max(values) - np.mean(random)) / np.mean(random)
        line = next(x for x in text.splitlines() if x.split()[:2] == [strategy, str(seed)])
        assert float(line.split()[-1]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_without_a_random_run_no_improvement_is_claimed_and_other_problems_are_refused(runs, tmp_path):
    text = shown([runs["local_search", 0][0], runs["local_search", 1][0]])
    assert "RI %" not in text and "No random run among these" in text
    other = tmp_path / "other"
    archwright.search(
        str(runs["random", 0][0].parent / "space.py"), "digits", strategy="random", minimize="params_m",
        maximize="accuracy_percent", budget="2 trials", out=str(other), quiet=True, options=OPTIONS,
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="other data, space or goals"):
        print_comparison([runs["random", 0][0], other])


def test_runs_over_a_space_made_in_python_are_compared_by_their_logs(tmp_path):
    problem = Problem(toy_space(), (Objective("error_percent"), Objective("params_m", "limit", at_most=14.0)), (Toy(),))
    found = {}
    for strategy, seed in (("random", 0), ("nsga2", 0), ("nsga2", 1)):
        found[strategy, seed] = run(problem, strategy, "40 trials", tmp_path / f"{strategy}{seed}", seed=seed)
    text = shown([tmp_path / f"{strategy}{seed}" for strategy, seed in found])
    assert "2 seeds" in text
    average = found["random", 0].losses
    average = float(average[~np.isnan(average)].mean())
    for (strategy, seed), result in found.items():
        cells = next(x for x in text.splitlines() if x.split()[:2] == [strategy, str(seed)]).split()[2:]
        best = result.best.metrics["error_percent"]
        assert float(cells[0]) == 40
        assert float(cells[1]) == pytest.approx(100 * result.feasible_share, rel=1e-3)
        assert float(cells[2]) == pytest.approx(best, rel=1e-3)
        assert float(cells[-1]) == pytest.approx(100 * (average - best) / average, rel=1e-3)
    other = Problem(toy_space(), (Objective("params_m"),), (Toy(),))
    run(other, "random", "5 trials", tmp_path / "other")
    with pytest.raises(ConfigurationError, match="other data, space or goals"):
        print_comparison([tmp_path / "random0", tmp_path / "other"])
