"""The base strategies on the real table of NAS-Bench-201 (CIFAR-10): they behave as published ones do."""

import numpy as np
import pytest

from archwright.data import data_file
from archwright.errors import ConfigurationError
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.space import Space, oneof

pytestmark = [pytest.mark.data, pytest.mark.slow]
QUERIES, SEEDS, REGRET = 400, 20, 0.3


class Cells:
    """One noisy 200-epoch training of each cell."""

    metrics = ("accuracy_percent",)
    deterministic = True
    batched = True

    def __init__(self):
        try:
            table = np.load(data_file("nasbench/nb201_accuracy.npz"), allow_pickle=False)
        except ConfigurationError as error:
            pytest.skip(str(error))
        self.rows = {tuple(ops): i for i, ops in enumerate(table["ops"].tolist())}
        self.noisy, self.true = table["c10_test_e200_trial"], table["c10_test_e200_mean"]

    def index(self, codes):
        return np.array([self.rows[tuple(code)] for code in codes.tolist()])

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        return {"accuracy_percent": self.noisy[self.index(architectures.codes)]}


def queries_until_regret(cells, name, seed, **options):
    """Queries until the incumbent by observation has a true regret of at most REGRET; QUERIES + 1 if never."""
    space = Space({f"edge{i}": oneof(*range(5)) for i in range(6)})
    problem = Problem(space, (Objective("accuracy_percent", "maximize"),), (cells,))
    trials = run(problem, name, f"{QUERIES} trials", seed=seed, options=options, batch=1).trials
    rows = cells.index(space.codes([t.candidate.architecture for t in trials]))
    observed = cells.noisy[rows]
    incumbent = np.maximum.accumulate(observed)
    leader = rows[[int(np.flatnonzero(observed[: i + 1] == incumbent[i])[0]) for i in range(len(rows))]]
    good = np.flatnonzero(cells.true.max() - cells.true[leader] <= REGRET)
    return int(good[0]) + 1 if len(good) else QUERIES + 1


def median(cells, name, **options):
    return float(np.median([queries_until_regret(cells, name, seed, **options) for seed in range(SEEDS)]))


def test_evolution_and_local_search_need_a_third_of_the_queries_of_random_search():
    cells = Cells()
    found = {
        "random": median(cells, "random"),
        "regularized_evolution": median(cells, "regularized_evolution", population=20, sample=5),
        "local_search": median(cells, "local_search"),
    }
    assert found["regularized_evolution"] <= found["random"] / 3
    assert found["local_search"] <= found["random"] / 3


def test_robot_with_twenty_queries_is_nowhere_behind_a_single_proxy():
    from archwright.benchmarks.protocol import Setting, maker, play
    from archwright.benchmarks.table import load

    try:
        tables = [load(f"nasbench201-{name}") for name in ("cifar10", "cifar100", "imagenet16")]
        observed = [t.read(t.goal, np.arange(len(t.codes))) for t in tables]
    except ConfigurationError as error:
        pytest.skip(str(error))
    for table, seen in zip(tables, observed, strict=True):
        truth = table.read(table.goal, np.arange(len(seen)), true=True)
        scores = np.nan_to_num(table.free_features(), nan=-np.inf, neginf=-np.inf)
        tops = [np.argsort(-column, kind="stable")[:20] for column in scores.T]
        singles = [truth[top[np.argmax(seen[top])]] for top in tops]
        runs = [play(Setting(table, 20, {}, True), maker("robot", 20), seed) for seed in range(5)]
        found = [-run.true[np.argmin(run.observed[:, 0]), 0] for run in runs]
        assert np.mean(found) >= max(singles) - 1e-6
