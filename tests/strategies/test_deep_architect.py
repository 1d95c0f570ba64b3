"""DeepArchitect's claim on networks that were trained: tree search and SMBO beat random search at equal evaluations."""

import numpy as np
import pytest

from archwright.benchmarks.table import load
from archwright.evaluators.table import TableEvaluator
from archwright.operators import Concat, Residual, Skip
from archwright.registry import get
from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.strategies.mcts import Questions


def test_the_space_has_every_combinator_and_the_tree_asks_one_question_at_a_time():
    space = get("spaces", "deep_architect")()
    assert space.size() == 192
    assert {type(o) for d in space.decisions for o in d.options} >= {Residual, Concat, Skip}
    questions, path, rng = Questions(space, True), (), np.random.default_rng(0)
    asked = []
    while (step := questions.next(path)) is not None:
        decision, answers = step
        path = (*path, (int(rng.integers(answers)), decision))
        asked.append(decision)
    left = [high - low for low, high in questions.ranges(path)]
    assert set(asked) <= set(range(len(space.decisions))) and len(asked) >= 5
    code = np.array([low for low, _ in questions.ranges(path)])
    member = space.nearest(code[None])[0]
    assert all(n == 1 for n, c in zip(left, member.code, strict=True) if c >= 0)


@pytest.mark.parametrize("name", ["mcts", "smbo"])
def test_it_beats_random_search_on_trained_networks_over_five_seeds(name):
    table = load("digits-conv")

    def best(strategy, seed):
        problem = Problem(table.space, (Objective(table.goal, "maximize"),), (TableEvaluator(table),))
        trials = run(problem, strategy, Budget(trials=50), seed=seed).trials
        return max(t.metrics[table.goal] for t in trials)

    gains = np.array([best(name, seed) - best("random", seed) for seed in range(5)])
    assert gains.mean() > 0.1 and (gains >= 0).sum() >= 4
