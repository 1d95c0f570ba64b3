"""ENAS in two parts: shared weights that learn on what was asked for, and whoever does the asking."""

import numpy as np
import pytest
import torch

from archwright import tasks
from archwright.errors import ConfigurationError
from archwright.evaluators.alternating import AlternatingEvaluator
from archwright.evaluators.inherited import InheritedEvaluator
from archwright.nets import Supernet
from archwright.nets.recipe import Recipe
from archwright.operators import Classifier, Conv, Sequential
from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.space import Space, oneof

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def digits():
    return tasks.load("digits")


def evaluator(task, epochs=4, **options):
    space = Space(Sequential((oneof(Conv(8), Conv(8, 5), name="first"), Conv(oneof(8, 12), stride=2), Classifier(10))))
    torch.manual_seed(0)
    inherited = InheritedEvaluator(Supernet(space, task.input_shape), task, batches=1, samples=100)
    return AlternatingEvaluator(inherited, Recipe(epochs=epochs), **options)


def test_weights_learn_after_every_turn_on_what_was_asked_alone(digits):
    shared = evaluator(digits, turn=2, warmup=0)
    space = shared.inherited.supernet.space
    asked = space.sample(40, np.random.default_rng(0)).unique()
    asked = asked[np.flatnonzero(asked.codes[:, 0] == 0)]
    before = {n: p.detach().clone() for n, p in shared.inherited.supernet.named_parameters()}
    first = shared.evaluate(asked[:1])["accuracy_percent"][0]
    assert shared.epochs == 0
    shared.evaluate(asked[1:2])
    assert shared.epochs == 1
    moved = {n for n, p in shared.inherited.supernet.named_parameters() if not torch.equal(p, before[n])}
    other = {id(p) for p in shared.inherited.supernet.parameters_of(asked[0])}
    idle = {n for n, p in shared.inherited.supernet.named_parameters() if id(p) not in other}
    assert moved and idle and not moved & idle  # the other first convolution was never asked for
    assert shared.evaluate(asked[:1])["accuracy_percent"][0] > first


def test_weights_stay_when_the_schedule_is_over_and_a_later_part_goes_on_with_them(digits, tmp_path):
    shared = evaluator(digits, epochs=2, turn=1)
    shared.prepare(tmp_path)
    archs = shared.inherited.supernet.space.enumerate()
    for i in range(3):
        shared.evaluate(archs[i : i + 1])
    assert shared.epochs == 2
    again = evaluator(digits, epochs=2, turn=1)
    again.prepare(tmp_path)
    assert again.epochs == 2
    assert np.array_equal(again.evaluate(archs)["cross_entropy_nats"], shared.evaluate(archs)["cross_entropy_nats"])


def test_a_controller_and_random_search_share_weights(digits):
    for name in ("reinforce", "random"):
        shared = evaluator(digits, turn=2)
        problem = Problem(shared.inherited.supernet.space, (Objective("accuracy_percent", "maximize"),), (shared,))
        trials = run(problem, name, Budget(trials=4), batch=2).trials
        assert [t.state for t in trials] == ["complete"] * 4 and shared.epochs == 3


def test_turns_and_warm_up_are_checked(digits):
    with pytest.raises(ConfigurationError, match="turn is at least 1"):
        evaluator(digits, turn=0)
    with pytest.raises(ConfigurationError, match="warmup"):
        evaluator(digits, epochs=1, warmup=2)
