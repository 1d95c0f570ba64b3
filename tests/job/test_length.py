"""How long trainings are made, with a clock that is told what it shows."""

import json

import pytest

from archwright.job import training
from archwright.job.training import length_for
from archwright.nets.recipe import Recipe
from archwright.tasks import load


@pytest.fixture
def pilots(monkeypatch):
    """Rows of every pilot; each row takes 1 ms, in the first that is timed twice as long."""
    seen: list[int] = []

    def seconds(work):
        work()
        return seen[-1] * 1e-3 * (2.0 if len(seen) == 2 else 1.0)

    monkeypatch.setattr(training, "_seconds", seconds)
    return seen


def test_epochs_with_fewer_rows_fill_the_time(tmp_path, pilots):
    task = load("digits")
    n = len(task.train)
    path = tmp_path / "length.json"
    seconds = 2.5 * n * 1e-3 / 0.9
    length = length_for(path, task, Recipe(), 12, seconds, lambda part: pilots.append(len(part)))
    assert length.epochs == 3
    assert length.rows * length.epochs == pytest.approx(2.5 * n, abs=3)
    assert json.loads(path.read_text()) == {"epochs": length.epochs, "rows": length.rows}
    assert length_for(path, task, Recipe(), 12, 1e9, pilots.append) == length, "a length that was kept stays"


def test_never_more_epochs_than_asked_for_and_never_less_than_a_batch(tmp_path, pilots):
    task = load("digits")
    most = length_for(tmp_path / "a", task, Recipe(), 4, 1e6, lambda part: pilots.append(len(part)))
    assert (most.epochs, most.rows) == (4, len(task.train))
    least = length_for(tmp_path / "b", task, Recipe(), 4, 1e-6, lambda part: pilots.append(len(part)))
    assert (least.epochs, least.rows) == (1, Recipe().batch)


def test_a_training_that_cannot_fit_is_not_timed_further_nor_kept(tmp_path, pilots):
    task = load("digits")
    path = tmp_path / "length.json"
    rows = 1000.0 / 0.9
    length_for(path, task, Recipe(), 4, 1.0, lambda part: pilots.append(len(part)), fewest=rows)
    assert pilots == 2 * [Recipe().batch] and not path.exists()
    length_for(path, task, Recipe(), 4, 1.0, lambda part: pilots.append(len(part)), fewest=rows / 4)
    assert len(pilots) > 2 and path.exists()
