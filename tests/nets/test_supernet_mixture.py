"""A balanced mixture of supernets."""

import numpy as np
import pytest
import torch

from archwright.errors import SpaceError
from archwright.evaluators.inherited import InheritedEvaluator
from archwright.nets.recipe import Recipe
from archwright.nets.supernet_mixture import SupernetMixture, train_mixture
from archwright.operators import Classifier, Conv, Sequential
from archwright.space import Space, oneof
from archwright.tasks import load

SHAPE = (1, 8, 8)


def pooled():
    """Where two reductions of a chain stand is the decision."""
    return Space(Sequential((Conv(4, stride=oneof(1, 2)), Conv(6, stride=oneof(1, 2)), Conv(8), Classifier(10))))


def test_chances_are_balanced_and_follow_the_losses():
    torch.manual_seed(0)
    mixture = SupernetMixture(pooled(), SHAPE, sets=2)
    members = list(mixture.space.enumerate())
    for i, a in enumerate(members):
        for k in (0, 1):
            for _ in range(20):
                mixture.note(a, k, 1.0 if (i < 2) == (k == 0) else 1.5)
    mixture.balance()
    torch.testing.assert_close(mixture.chances.sum(1), torch.ones(4))
    torch.testing.assert_close(mixture.chances.sum(0), torch.full((2,), 2.0), rtol=1e-3, atol=1e-3)
    assert [mixture.assigned(a) for a in members] == [0, 0, 1, 1]
    for a in members:  # one set is best for all: each still serves half of them
        for _ in range(40):
            mixture.note(a, 0, 0.2)
    mixture.balance()
    torch.testing.assert_close(mixture.chances.sum(0), torch.full((2,), 2.0), rtol=1e-3, atol=1e-3)


def test_an_architecture_runs_in_the_set_that_it_is_assigned_to():
    torch.manual_seed(0)
    mixture = SupernetMixture(pooled(), SHAPE, sets=3).eval()
    a = mixture.space.sample(1, np.random.default_rng(0))[0]
    mixture.chances[mixture._row[a.key]] = torch.tensor([0.1, 0.2, 0.7])
    x = torch.randn(2, *SHAPE)
    assert torch.equal(mixture(x, a), mixture.supernets[2](x, a))
    assert torch.equal(mixture(x, a), mixture.extract(a)(x))


def test_training_moves_the_drawn_set_alone_and_resumes_exactly():
    task = load("digits")
    recipe = Recipe(epochs=2, batch=128)

    def made():
        torch.manual_seed(1)
        return SupernetMixture(pooled(), SHAPE, sets=2)

    whole = made()
    train_mixture(whole, task, recipe, seed=3)
    half = made()
    state = train_mixture(half, task, recipe, seed=3, epochs=1).state
    second = made()
    train_mixture(second, task, recipe, seed=3, state=state)
    for key, value in whole.state_dict().items():
        if key not in ("chances",):  # balanced once more where the training stopped
            assert torch.equal(second.state_dict()[key], value), key
    torch.testing.assert_close(second.chances, whole.chances)
    assert float(whole.seen.sum()) == 2 * (len(task.train) // 128)
    scores = InheritedEvaluator(whole, task, samples=100).evaluate(whole.space.enumerate())
    assert np.isfinite(scores["accuracy_percent"]).all()


def test_a_space_that_is_too_large_is_refused():
    layers = [Conv(oneof(2, 4, 6, 8)) for _ in range(7)]
    with pytest.raises(SpaceError, match="4096"):
        SupernetMixture(Space(Sequential((*layers, Classifier(2)))), SHAPE)
