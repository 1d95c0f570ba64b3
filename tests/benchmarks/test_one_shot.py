"""The comparison of one-shot methods on NAS-Bench-201."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from archwright.benchmarks.one_shot import METHODS, Settings, compare, mean_interval, searched, summary
from archwright.data import data_file
from archwright.errors import ConfigurationError

TINY = Settings(epochs=1, path_epochs=1, batch=32, channels=2, measured=1, images=256)
NEEDED = ("nasbench/nb201_accuracy.npz", "train/cifar10_20k.npz")


def missing():
    for name in NEEDED:
        try:
            data_file(name)
        except ConfigurationError:
            return name
        except FileNotFoundError:
            return name
    return None


needs_data = pytest.mark.skipif(missing() is not None, reason=f"{missing()} is not on this machine")


def test_every_recipe_keeps_all_six_edges_and_measures_on_few_batches():
    for name in METHODS:
        selection = Settings().method(name).selection
        assert getattr(selection, "edges", 3) == 3 or name.startswith("darts-pt")
        assert getattr(selection, "batches", Settings().measured) == Settings().measured


def test_the_interval_of_a_mean_is_students():
    found = mean_interval([1.0, 2.0, 3.0])
    assert found["mean"] == 2.0
    assert found["interval_95"] == pytest.approx([2 - 4.302653 / np.sqrt(3), 2 + 4.302653 / np.sqrt(3)], rel=1e-5)
    assert mean_interval([5.0])["interval_95"] is None


def test_a_recipe_that_does_not_apply_is_named():
    with pytest.raises(ConfigurationError, match="bignas"):
        compare(["bignas"], 1, TINY)


@pytest.mark.data
@needs_data
def test_a_search_is_looked_up_and_known_ones_are_not_searched_again():
    rows = []
    first = compare(["gdas"], 1, TINY, on_row=lambda all_rows: rows.append(len(all_rows)))
    assert rows == [1] and 10.0 <= first[0]["cifar10_accuracy_percent"] <= 94.4
    both = compare(["gdas", "single-stage"], 1, TINY, known=first)
    assert both[0] is first[0] and [r["method"] for r in both] == ["gdas", "single-stage"]
    said = summary(both, 1)
    best = max(both, key=lambda r: r["cifar10_accuracy_percent"])
    assert said["best_recipe_cifar10_percent"] == best["cifar10_accuracy_percent"]
    assert summary(both, 3)["best_recipe"] is None


@pytest.mark.data
@needs_data
def test_the_same_seed_finds_the_same_cell():
    task = TINY.task()
    assert task.input_shape == (3, 16, 16) and len(task.train) == 224
    first, second = (searched("gdas", TINY, 3, task) for _ in range(2))
    assert first["architecture"] == second["architecture"]


@pytest.mark.data
@needs_data
def test_the_command_writes_what_it_found(tmp_path):
    from archwright.cli import app

    sizes = "--epochs 1 --path-epochs 1 --batch 32 --cells 1 --channels 2 --side 16 --images 256 --measured 1"
    done = CliRunner().invoke(
        app, ["bench", "one-shot", "--methods", "gdas", "--seeds", "1", *sizes.split(), "--out", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "one_shot.json").read_text())
    assert written["searches"][0]["method"] == "gdas" and "random cells" in done.output
