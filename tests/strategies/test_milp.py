"""Integer selection against exhaustive enumeration, for additive scores and costs under two budgets."""

import itertools

import numpy as np
import pytest

from archwright.search.problem import Objective, Problem
from archwright.search.trial import Trial
from archwright.space import Space, oneof
from archwright.strategies.milp import IntegerSelection
from archwright.testing.strategies import Loop

LAYERS, CHOICES = 6, 5


class Additive:
    """A column that adds up a table (layers, choices) of one value a choice."""

    deterministic = True
    batched = True

    def __init__(self, metric, table, cheap):
        self.metrics, self.table, self.cheap = (metric,), table, cheap

    def evaluate(self, architectures, *, fidelity=1.0, seed=0):
        layers = np.arange(architectures.codes.shape[1])
        return {self.metrics[0]: self.table[layers, architectures.codes].sum(axis=1)}


def instance(seed):
    """Six layers of five choices, a loss, and two costs whose budgets about half of the assignments keep."""
    rng = np.random.default_rng(seed)
    loss, memory, time = rng.random((3, LAYERS, CHOICES))
    costs = (Additive("memory_mb", memory, True), Additive("latency_ms", time, True))
    evaluators = (Additive("kl_loss", loss, False), *costs)
    limits = tuple(Objective(m, "limit", at_most=LAYERS / 2) for m in ("memory_mb", "latency_ms"))
    space = Space({f"layer{i}": oneof(*range(CHOICES)) for i in range(LAYERS)})
    return Problem(space, (Objective("kl_loss"), *limits), evaluators), (loss, memory, time)


EVERY = np.array(list(itertools.product(range(CHOICES), repeat=LAYERS)))


def brute_force(loss, memory, time):
    """Losses of all assignments that keep both budgets, sorted, and their codes."""
    total, size, speed = (t[np.arange(LAYERS), EVERY].sum(axis=1) for t in (loss, memory, time))
    kept = np.flatnonzero((size <= LAYERS / 2) & (speed <= LAYERS / 2))
    kept = kept[np.argsort(total[kept], kind="stable")]
    return total[kept], EVERY[kept]


def scored(strategy, table):
    """Tell the loss of every single replacement, whatever it costs."""
    told = 0
    while told < LAYERS * (CHOICES - 1) + 1:
        asked = list(strategy.ask(64))
        losses = [float(table[np.arange(LAYERS), c.architecture.code].sum()) for c in asked]
        trials = [Trial(i, c, "complete", {"kl_loss": v}) for i, (c, v) in enumerate(zip(asked, losses, strict=True))]
        strategy.tell(trials)
        told += len(asked)


def test_with_all_scores_known_fifty_instances_end_at_the_optimum_of_enumeration():
    for seed in range(50):
        problem, tables = instance(seed)
        strategy = IntegerSelection(problem)
        scored(strategy, tables[0])
        (best,) = strategy.ask(1)
        losses, codes = brute_force(*tables)
        assert best.architecture.code.tolist() == codes[0].tolist() or tables[0][
            np.arange(LAYERS), best.architecture.code
        ].sum() == pytest.approx(losses[0])


def test_further_assignments_come_in_order_keep_the_budgets_and_differ():
    problem, tables = instance(3)
    strategy = IntegerSelection(problem, differ=2)
    scored(strategy, tables[0])
    codes = np.array([c.architecture.code for c in strategy.ask(5)])
    loss, memory, time = (t[np.arange(LAYERS), codes].sum(axis=1) for t in tables)
    assert (np.diff(loss) >= -1e-9).all()
    assert max(memory.max(), time.max()) <= LAYERS / 2 + 1e-9
    assert min((a != b).sum() for i, a in enumerate(codes) for b in codes[:i]) >= 2


@pytest.mark.xfail(
    strict=True,
    reason="an option that breaks a budget beside the parent is cut off before its loss is measured, so that its score "
    "is unknown; with two budgets no choice of a parent avoids that for every instance",
)
def test_budgets_that_single_replacements_break_do_not_cost_the_optimum():
    best = 0
    for seed in range(10):
        problem, tables = instance(seed)
        strategy = IntegerSelection(problem)
        Loop(strategy, problem).until(LAYERS * (CHOICES - 1) + 1, 64)
        (assigned,) = strategy.ask(1)
        loss = tables[0][np.arange(LAYERS), assigned.architecture.code].sum()
        best += loss == pytest.approx(brute_force(*tables)[0][0])
    assert best == 10
