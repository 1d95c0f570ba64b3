"""A table made of one's own trainings: kept, gone on with, and compared on."""

import json

import numpy as np
import pytest

from archwright.benchmarks.protocol import bench
from archwright.benchmarks.trained import tabulate
from archwright.errors import ConfigurationError
from archwright.nets.recipe import Recipe
from archwright.spaces.mlp import mlp
from archwright.tasks import load

RECIPE = Recipe(epochs=2, batch=16, augment=False)


@pytest.fixture(scope="module")
def task():
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_iris(return_X_y=True)
    return load((x.astype(np.float32), y))


@pytest.fixture(scope="module")
def space(task):
    return mlp(task.input_shape, task.outputs, widths=(4, 8), hidden=(4,), depths=(0, 1))


def test_every_member_is_trained_once_a_seed_and_the_truth_is_the_mean_test_score(task, space, tmp_path):
    file = tmp_path / "table" / "iris.jsonl"
    with pytest.raises(ConfigurationError, match="12 of 12 trainings are left"):
        tabulate(space, task, recipe=RECIPE, file=file, seeds=2, stop_after_s=-1.0)
    table = tabulate(space, task, recipe=RECIPE, file=file, seeds=2)
    assert len(table.codes) == space.size() == 6
    lines = [json.loads(line) for line in file.read_text().splitlines()[1:]]
    assert sorted((row, seed) for row, seed, *_ in lines) == [(r, s) for r in range(6) for s in range(2)]
    rows = np.arange(6)
    for row in rows:
        valid = [v for r, s, v, *_ in lines if r == row and s == 0]
        tests = [t for r, s, _, t, _ in lines if r == row]
        assert table.read("accuracy_percent", rows[[row]])[0] == pytest.approx(valid[0])
        assert table.read("accuracy_percent", rows[[row]], true=True)[0] == pytest.approx(np.mean(tests))


def test_a_stopped_table_goes_on_and_gives_the_same(task, space, tmp_path):
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    table = tabulate(space, task, recipe=RECIPE, file=whole, seeds=1)
    text = whole.read_text()
    part.write_text(text[: len(text) // 2])  # cut off within a line
    again = tabulate(space, task, recipe=RECIPE, file=part, seeds=1)
    for true in (False, True):
        first, second = (t.read("accuracy_percent", np.arange(6), true=true) for t in (table, again))
        assert first.tolist() == second.tolist()
    with pytest.raises(ConfigurationError, match="another space, task or recipe"):
        tabulate(space, task, recipe=Recipe(epochs=3), file=whole, seeds=1)


def test_strategies_are_compared_on_it_by_their_improvement_over_random(task, space, tmp_path):
    table = tabulate(space, task, recipe=RECIPE, file=tmp_path / "iris.jsonl", seeds=1)
    entry = bench([table], ["local_search"], seeds=3, queries=6)["benchmarks"][0]
    assert set(entry["strategies"]) == {"local_search", "random"}
    truth = table.read("accuracy_percent", np.arange(6), true=True)
    assert entry["mean_of_random"] == pytest.approx(-truth.mean())
    centre, low, high = entry["strategies"]["random"]["summary"]["relative_improvement_percent"]
    assert low <= centre <= high <= 100 * (truth.max() / truth.mean() - 1) + 1e-9
