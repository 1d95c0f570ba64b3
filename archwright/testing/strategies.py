"""What every strategy must do, as functions over its registered name; usable for strategies outside the package.

    import pytest
    from archwright import registry
    from archwright.testing import strategies as contract

    @pytest.mark.parametrize("name", registry.names("strategies"))
    @pytest.mark.parametrize("law", contract.LAWS)
    def test_strategy_keeps_its_contract(name, law):
        law(name)

A strategy is built as `get("strategies", name)(problem, seed=...)` with its defaults. Labels that the contract reads:

- `objectives`: "one" or "many"; the law about several goals runs for "many" only.
- `constraints`: True if limits are honoured; False excuses from the law about limits.
- `space`: a sentence about which spaces or problems the strategy is limited to (an additive score, a table, a
  parametric space). It excuses from the laws here, whose spaces are general; such a strategy must bring its own tests.
- `random`: False for a strategy without chance, which gives the same trajectory for every seed.
- `extra`: the optional package without which it cannot be built; the laws are skipped where it is not installed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from archwright import registry
from archwright.search.measure import Chain, Job, measure
from archwright.search.problem import Columns, Objective, Problem
from archwright.search.trial import Candidate, Strategy, Trial
from archwright.space import Architectures, Space, constraint, oneof

Law = Callable[[str], None]


class Toy:
    """A deterministic evaluator over codes: `error_percent` with one optimum, `params_m` that pulls the other way."""

    metrics = ("error_percent", "params_m")
    deterministic = True
    batched = True

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Squared distance of the code from (2, 2, ...), and its sum."""
        codes = architectures.codes.astype(np.float64)
        return {"error_percent": ((codes - 2.0) ** 2).sum(axis=1), "params_m": codes.sum(axis=1)}


class Broken(Toy):
    """A toy that fails for every third code sum and returns NaN for another third."""

    batched = False

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """As the toy, where it does not fail."""
        columns = super().evaluate(architectures, fidelity=fidelity, seed=seed)
        kind = columns["params_m"] % 3
        if (kind == 0).any():
            raise ValueError("this one cannot be evaluated")
        columns["error_percent"] = np.where(kind == 1, np.nan, columns["error_percent"])
        return columns


def toy_space() -> Space:
    """Three decisions, 4 x 3 x 5 = 60 architectures."""
    return Space({"a": oneof(1, 2, 3, 4), "b": oneof("x", "y", "z"), "c": oneof(0, 1, 2, 3, 4)})


def limited_space() -> Space:
    """The toy with a rule between two decisions."""
    tree = {
        "a": oneof(1, 2, 3, 4, name="a"),
        "b": oneof("x", "y", "z"),
        "c": oneof(0, 1, 2, 3, 4, name="c"),
    }
    return Space(tree, where=constraint(_fits, "a", "c", message="a + c is at most 6"))


def _fits(a: int, c: int) -> bool:
    return a + c <= 6


def wide_space(decisions: int = 8, options: int = 4) -> Space:
    """Many equal decisions: more architectures than any law evaluates."""
    return Space({f"d{i}": oneof(*range(options)) for i in range(decisions)})


def toy_problem(space: Space | None = None, *objectives: Objective, evaluator: Any = None) -> Problem:
    """The toy's error to minimize over the toy space, unless something else is given."""
    goals = objectives or (Objective("error_percent"),)
    return Problem(toy_space() if space is None else space, goals, (Toy() if evaluator is None else evaluator,))


def excuse(name: str) -> str | None:
    """Why the laws do not apply to a strategy; None if they do."""
    labels = labels_of(name)
    extra = labels.get("extra")
    if extra and importlib.util.find_spec(str(extra)) is None:
        return f"{name} needs the package {extra}, which is not installed"
    if "space" in labels:
        return f"{name} is limited to: {labels['space']}"
    return None


def labels_of(name: str) -> Mapping[str, Any]:
    """Labels of a registered strategy; empty for one that a running program registered."""
    entry = registry.entries("strategies").get(name)
    return {} if entry is None else entry.labels


def make(name: str, problem: Problem, seed: int = 0) -> Strategy:
    """A fresh strategy with its defaults."""
    return registry.get("strategies", name)(problem, seed=seed)


class Loop:
    """Asks, evaluates in this process, and tells, one ask after the other."""

    def __init__(self, strategy: Strategy, problem: Problem) -> None:
        self.strategy, self.problem = strategy, problem
        self.chain = Chain(problem)
        self.trials: list[Trial] = []
        self.asks: list[tuple[int, list[Candidate]]] = []

    def step(self, n: int) -> Sequence[Trial]:
        """One ask for n and its tell; empty once the strategy is finished."""
        candidates = list(self.strategy.ask(n))
        if len(candidates) > n:
            raise AssertionError(f"ask({n}) returned {len(candidates)} candidates")
        self.asks.append((n, candidates))
        told = []
        for number, candidate in enumerate(candidates, start=len(self.trials)):
            outcome = measure(self.chain, Job(number, candidate.architecture.code, candidate.fidelity))
            told.append(Trial(number, candidate, outcome.state, outcome.metrics, 0.0, outcome.error))
        self.trials += told
        if told:
            self.strategy.tell(told)
        return told

    def until(self, trials: int, n: int) -> Sequence[Trial]:
        """Steps of n until so many trials are there or the strategy is finished."""
        while len(self.trials) < trials and self.step(min(n, trials - len(self.trials))):
            pass
        return self.trials


def _told(candidates: Sequence[Candidate]) -> list[tuple[bytes, float, int | None]]:
    return [(c.architecture.key, c.fidelity, c.resume_from) for c in candidates]


def resumes_where_it_stopped(name: str) -> None:
    """A fresh instance that is given the same asks and tells asks for the same next candidates."""
    problem = toy_problem(wide_space())
    for steps in ([1] * 12, [7] * 6, [3, 1, 7, 2, 30, 1]):
        loop = Loop(make(name, problem, seed=5), problem)
        for n in steps:
            loop.step(n)
        again, start = make(name, problem, seed=5), 0
        for n, candidates in loop.asks:
            expect(_told(again.ask(n)) == _told(candidates), f"{name}: a replayed ask({n}) differs")
            again.tell(loop.trials[start : start + len(candidates)])
            start += len(candidates)
        expect(_told(again.ask(5)) == _told(loop.strategy.ask(5)), f"{name}: the ask after a replay differs")


def depends_on_its_seed(name: str) -> None:
    """Two seeds do not give the same trajectory."""
    if labels_of(name).get("random", True):
        problem = toy_problem(wide_space(20, 5))
        codes = [
            [t.candidate.architecture.key for t in Loop(make(name, problem, s), problem).until(40, 4)] for s in (0, 1)
        ]
        expect(codes[0] != codes[1], f"{name}: seeds 0 and 1 give the same 40 trials")


def finds_the_optimum_of_a_toy(name: str) -> None:
    """On three decisions, within 20 times the size of the space in trials, on average of three seeds."""
    problem = toy_problem()
    size, needed = problem.space.size(), []
    for seed in range(3):
        loop = Loop(make(name, problem, seed), problem)
        while len(loop.trials) < 60 * size and loop.step(4):
            if min(t.metrics["error_percent"] for t in loop.trials) == 0.0:
                break
        found = min((t.metrics["error_percent"] for t in loop.trials), default=np.inf) == 0.0
        needed.append(len(loop.trials) if found else 60 * size)
    expect(bool(np.mean(needed) <= 20 * size), f"{name}: the optimum took {needed} trials, space of {size}")


def stays_inside_where(name: str) -> None:
    """Every proposal is a member of a space with a rule."""
    problem = toy_problem(limited_space())
    trials = Loop(make(name, problem), problem).until(80, 3)
    codes = problem.space.codes([t.candidate.architecture for t in trials])
    expect(len(trials) > 0 and bool(problem.space.is_member(codes).all()), f"{name}: proposed a code outside `where`")


def honours_limits(name: str) -> None:
    """With a limit, the best feasible architecture of the toy is found."""
    if not labels_of(name).get("constraints", False):
        return
    problem = toy_problem(None, Objective("error_percent"), Objective("params_m", "limit", at_most=3.0))
    space = problem.space
    everything = Toy().evaluate(space.enumerate())
    optimum = everything["error_percent"][everything["params_m"] <= 3.0].min()
    trials = Loop(make(name, problem), problem).until(20 * space.size(), 4)
    found = min((t.metrics["error_percent"] for t in trials if t.state == "complete"), default=np.inf)
    expect(found == optimum, f"{name}: best feasible error {found}, the optimum is {optimum}")


def handles_several_goals(name: str) -> None:
    """With two goals, more than half of the toy's front is found."""
    if labels_of(name).get("objectives") != "many":
        return
    problem = toy_problem(None, Objective("error_percent"), Objective("params_m", "maximize"))
    everything = Toy().evaluate(problem.space.enumerate())
    from archwright.search.pareto import front_mask

    def front(columns: Columns, n: int) -> set[tuple[float, ...]]:
        losses = problem.losses_of(columns, n)
        return {tuple(row) for row in losses[front_mask(losses)].tolist()}

    trials = Loop(make(name, problem), problem).until(20 * problem.space.size(), 4)
    columns = {m: np.array([t.metrics[m] for t in trials]) for m in Toy.metrics}
    truth = front(everything, problem.space.size())
    hit = len(truth & front(columns, len(trials)))
    expect(2 * hit > len(truth), f"{name}: found {hit} of {len(truth)} points of the front")


def survives_failed_trials(name: str) -> None:
    """Trials that raise or give NaN are no reason to stop, and the best of the others is found."""
    problem = toy_problem(evaluator=Broken())
    trials = Loop(make(name, problem), problem).until(20 * problem.space.size(), 4)
    states = {t.state for t in trials}
    expect("complete" in states, f"{name}: only {states} among {len(trials)} trials")
    expect(len(trials) >= 20, f"{name}: gave up after {len(trials)} trials with failures among them")
    told_nan = [t for t in trials if t.state == "complete" and np.isnan(t.metrics["error_percent"])]
    expect(not told_nan, "a NaN goal must make a trial failed")


def accepts_any_batch(name: str) -> None:
    """ask(1) and ask(7) both give between one and n candidates, in the middle of a search as well."""
    problem = toy_problem(wide_space())
    loop = Loop(make(name, problem), problem)
    for n in (1, 7, 1, 7, 64, 1, 7, 64, 7, 1):
        expect(len(loop.step(n)) >= 1, f"{name}: ask({n}) returned nothing in a space of 65,536")
    expect(all(0.0 < t.candidate.fidelity <= 1.0 for t in loop.trials), f"{name}: a fidelity is outside (0, 1]")


def waits_for_pending_trials(name: str) -> None:
    """Asked again while trials are pending, and told one by one in another order, it goes on."""
    problem = toy_problem(wide_space())
    strategy, chain = make(name, problem), Chain(problem)
    pending: list[tuple[int, Candidate]] = []
    number = done = 0
    while done < 40:
        fresh = list(strategy.ask(3)) if len(pending) < 6 else []
        pending += list(enumerate(fresh, start=number))
        number += len(fresh)
        expect(bool(pending), f"{name}: finished after {done} of 65,536 architectures")
        k, candidate = pending.pop(len(pending) // 2)
        outcome = measure(chain, Job(k, candidate.architecture.code, candidate.fidelity))
        strategy.tell([Trial(k, candidate, outcome.state, outcome.metrics)])
        done += 1


def ends_with_the_space(name: str) -> None:
    """A space that is used up ends the search or repeats itself, but neither hangs nor raises."""
    problem = toy_problem(Space({"a": oneof(1, 2), "b": oneof(1, 2, 3)}))
    loop = Loop(make(name, problem), problem)
    loop.until(60, 4)
    seen = {t.candidate.architecture.key for t in loop.trials}
    expect(
        len(seen) <= 6 and min(t.metrics["error_percent"] for t in loop.trials) == 1.0, f"{name}: missed the optimum"
    )


def expect(holds: bool, message: str) -> None:
    """Fail a law with a message, under `python -O` as well."""
    if not holds:
        raise AssertionError(message)


LAWS: tuple[Law, ...] = (
    resumes_where_it_stopped,
    depends_on_its_seed,
    finds_the_optimum_of_a_toy,
    stays_inside_where,
    honours_limits,
    handles_several_goals,
    survives_failed_trials,
    accepts_any_batch,
    waits_for_pending_trials,
    ends_with_the_space,
)
