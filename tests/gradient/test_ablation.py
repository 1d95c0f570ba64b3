"""AB-DARTS on forecasting: scores by leaving an option out, step by step removal with training in between."""

import math

import numpy as np
import pytest
import torch

from archwright.gradient import GradientSearch
from archwright.gradient.method import Training
from archwright.gradient.recipes import recipe
from archwright.gradient.selections.ablation import Ablation
from archwright.operators.flatten import Flatten
from archwright.operators.linear import Linear
from archwright.operators.sequential import Sequential
from archwright.operators.zero import Zero
from archwright.space import Space, oneof
from archwright.spaces.autoformer_ts import autoformer_ts
from archwright.tasks.forecasting import forecast


@pytest.fixture(scope="module")
def waves():
    t = np.arange(420)[:, None]
    noise = 0.05 * np.random.default_rng(0).normal(size=(420, 2))
    return forecast(np.sin(2 * np.pi * t / (7, 12)) + noise, lookback=16, horizon=4, period=12)


def made(space, task, **options):
    weights = Training("adam", 3e-3, None, weight_decay=0.0)
    method = recipe("ab-darts", selection=Ablation(**options), weights=weights, epochs=2, batch=32, split="valid")
    return GradientSearch(space, task, method, seed=0)


def left(search):
    return [len(search.core.left(d.index)) for d in search.space.decisions]


@pytest.fixture(scope="module")
def small(waves):
    return autoformer_ts(waves.input_shape, waves.outputs, layers=1, features=8, heads=2, patch=4, dropout=0.0)


def test_a_score_is_the_loss_without_the_option_minus_the_full_loss(small, waves):
    search = made(small, waves, batches=2)
    search.advance()
    scores = search.method.selection.scores(search)
    assert set(scores) == {(d.index, k) for d in small.decisions for k in range(d.size)}

    def loss(weights):  # of the mixture on the first two validation batches, written out
        total = count = 0.0
        with torch.no_grad():
            for x, y in search.data.some(0, 2):
                gap = search.core.supernet.eval().mixture(x, weights) - y.flatten(1)
                total, count = total + float(gap.square().sum()), count + gap.numel()
        return total / count

    chances = {d.path: search.core.alpha()[d.path].detach().softmax(0) for d in small.decisions}
    full = loss(chances)
    for d in small.decisions:
        for k in range(d.size):
            without = chances[d.path].clone()
            without[k] = 0.0
            want = loss(chances | {d.path: without / without.sum()}) - full
            assert scores[d.index, k] == pytest.approx(want, abs=1e-5)


def test_options_go_step_by_step_with_training_in_between(small, waves, monkeypatch):
    search = made(small, waves, rounds=4, tuning=0.5, batches=1)
    search.advance()
    seen, removed = [], []
    tune, scores_of = GradientSearch.tune, Ablation.scores

    def tuned(self, epochs, *, seed):
        before = [p.detach().clone() for p in self.core.weight_parameters()]
        tune(self, epochs, seed=seed)
        moved = any(not torch.equal(a, b) for a, b in zip(before, self.core.weight_parameters(), strict=True))
        seen.append((sum(left(self)), moved))

    def scored(self, search):
        scores = scores_of(self, search)
        removed.append((left(search), scores))
        return scores

    monkeypatch.setattr(GradientSearch, "tune", tuned)
    monkeypatch.setattr(Ablation, "scores", scored)
    found = search.method.selection.finish(search)
    spare = sum(d.size - 1 for d in small.decisions)
    assert spare == 3 + 4 + 3
    assert [n - 3 for n, _ in seen] == [7, 4, 2] and all(moved for _, moved in seen)  # 3, 3, 2, then the last 2 went
    assert left(search) == [1, 1, 1] and len(removed) == 4 and small.is_member(found.code[None])[0]
    first = sorted(removed[0][1], key=removed[0][1].get)[: math.ceil(spare / 4)]
    assert not set(first) & set(removed[1][1])  # the three least useful ones of all decisions went


def test_the_option_that_forecasts_is_kept_beside_ones_that_cannot(waves):
    choices = oneof(Zero(), Linear(8), Sequential((Zero(), Linear(8))))
    body = (Flatten(), Linear(8), oneof(Zero(), Linear(8, "relu")), choices, Linear(waves.outputs))
    space = Space(Sequential(body))
    search = made(space, waves, rounds=3, tuning=0.5, batches=0)
    found = search.run(random=0).architecture
    assert found.code.tolist() == [1, 1]
    assert search.history[-1]["train_loss"] < search.history[0]["train_loss"]
    assert {"mse", "judged_by"} <= set(search.history[0])  # the task's own metric judges, smaller is better
