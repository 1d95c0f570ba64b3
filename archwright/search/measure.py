"""From candidates to outcomes: evaluators in order, cheap first; a broken limit ends the chain; errors become states.

Two ways lead there. `measure` runs the chain for one architecture, in whatever process. `Bench.screen` runs in the
main process: it takes what is known from the cache, calls deterministic batched evaluators once for a whole batch, and
leaves jobs only where something slower has to run.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from archwright.errors import EvaluationError
from archwright.search.problem import Columns, Evaluator, Problem
from archwright.search.trial import Candidate, State
from archwright.space.architecture import Architectures

SIMULATED = "simulated_s"


@dataclass(frozen=True, slots=True)
class Job:
    """One architecture whose chain of evaluators has to run; `known` holds metrics that need not be measured again."""

    number: int
    code: np.ndarray  # int16 (D,)
    fidelity: float = 1.0
    seed: int = 0
    known: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a candidate, without the candidate."""

    number: int
    state: State
    metrics: Mapping[str, float]
    seconds: float = 0.0
    error: str | None = None


def simulated_seconds(outcome: Outcome) -> float:
    """What the evaluation would have cost; 0 where nobody says, or says nonsense."""
    value = outcome.metrics.get(SIMULATED, 0.0)
    return value if 0.0 < value < math.inf else 0.0


def seed_of(run_seed: int, number: int) -> int:
    """Seed of a trial's evaluation, below 2^31: the finaliser of MurmurHash3 over (run seed, number)."""
    x = (run_seed * 0x9E3779B1 + number + 1) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return (x ^ (x >> 16)) & 0x7FFFFFFF


def is_batched(evaluator: Evaluator) -> bool:
    """True where the main process may call the evaluator once for a whole batch."""
    fast = getattr(evaluator, "batched", False) or getattr(evaluator, "cheap", False)
    return bool(fast) and evaluator.deterministic


def in_order(evaluators: Sequence[Evaluator]) -> tuple[Evaluator, ...]:
    """Cheap evaluators first, then other batched ones, then the rest; otherwise in the order given."""
    return tuple(sorted(evaluators, key=lambda e: 0 if getattr(e, "cheap", False) else 1 if is_batched(e) else 2))


def evaluate(evaluator: Evaluator, batch: Architectures, fidelity: float, seed: int) -> Columns:
    """Columns of one evaluator, checked: float64 (n,) under names that the run log can hold.

    Raises:
        EvaluationError: if the evaluator returns something else.
    """
    raw = evaluator.evaluate(batch, fidelity=fidelity, seed=seed)
    columns: Columns = {}
    for name, values in raw.items():
        column = np.asarray(values, dtype=np.float64)
        if column.shape != (len(batch),) or not _plain(name):
            raise EvaluationError(
                f"{type(evaluator).__name__} must return one number an architecture under a plain name, "
                f"got {name!r} of shape {column.shape} for {len(batch)} architectures"
            )
        columns[name] = column
    return columns


_NAME = re.compile(r"[\w.\-]+")


def _plain(name: str) -> bool:
    return name.isidentifier() or bool(_NAME.fullmatch(name))


class Chain:
    """A problem's evaluators in order, and what their numbers say about a trial."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.evaluators = in_order(problem.evaluators)
        self.goals = tuple(g.metric for g in problem.goals)
        self._limits = tuple((o.metric, o.at_most, o.at_least) for o in problem.limits)

    def breaks_a_limit(self, metrics: Mapping[str, float]) -> bool:
        """True if a metric that is there is out of its bounds; NaN breaks none."""
        for name, at_most, at_least in self._limits:
            value = metrics.get(name)
            if value is not None and (
                (at_most is not None and value > at_most) or (at_least is not None and value < at_least)
            ):
                return True
        return False

    def settle(self, number: int, metrics: Mapping[str, float], seconds: float) -> Outcome:
        """The outcome of a chain that ran to its end or was ended by a limit."""
        if self._limits and self.breaks_a_limit(metrics):
            return Outcome(number, "infeasible", metrics, seconds)
        for goal in self.goals:
            value = metrics.get(goal)
            if value is None or not math.isfinite(value):
                said = "missing" if value is None else "NaN" if math.isnan(value) else str(value)
                return Outcome(number, "failed", metrics, seconds, f"metric {goal} is {said}")
        return Outcome(number, "complete", metrics, seconds)


def knows(evaluator: Evaluator, metrics: Mapping[str, float]) -> bool:
    """True if a deterministic evaluator's metrics are already there."""
    return evaluator.deterministic and all(m in metrics for m in evaluator.metrics if m != SIMULATED)


def measure(chain: Chain, job: Job) -> Outcome:
    """Run the chain for one job; never raises for what an evaluator does."""
    began = time.perf_counter()
    batch = Architectures(chain.problem.space, job.code[None])
    metrics = dict(job.known)
    spent = 0.0
    for evaluator in chain.evaluators:
        if knows(evaluator, metrics):
            continue
        try:
            columns = evaluate(evaluator, batch, job.fidelity, job.seed)
        except Exception as error:
            text = describe(evaluator, error)
            return Outcome(job.number, "failed", metrics, time.perf_counter() - began, text)
        if SIMULATED in columns:
            spent += float(columns.pop(SIMULATED)[0])
            metrics[SIMULATED] = spent
        metrics.update({name: float(column[0]) for name, column in columns.items()})
        if chain.breaks_a_limit(metrics):
            break
    return chain.settle(job.number, metrics, time.perf_counter() - began)


def describe(evaluator: Any, error: BaseException) -> str:
    """One line about what an evaluator raised."""
    text = " ".join(str(error).split())
    return f"{type(evaluator).__name__}: {type(error).__name__}: {text}"[:2000]


class Bench:
    """Measures batches in the main process as far as that is fast, with a cache over deterministic evaluators."""

    def __init__(self, problem: Problem) -> None:
        self.chain = Chain(problem)
        self.hits = 0
        self._batched = [e for e in self.chain.evaluators if is_batched(e)]
        self._slow = len(self._batched) < len(self.chain.evaluators)
        self._kept = {m for e in self.chain.evaluators if e.deterministic for m in e.metrics if m != SIMULATED}
        self._all_kept = all(e.deterministic for e in self.chain.evaluators)
        self._cache: dict[tuple[bytes, float], Mapping[str, float]] = {}

    def remember(self, candidate: Candidate, state: State, metrics: Mapping[str, float]) -> None:
        """Keep what deterministic evaluators said, for the same architecture at the same fidelity."""
        if state == "failed" or not self._kept:
            return
        if not self._all_kept or SIMULATED in metrics:
            metrics = {m: v for m, v in metrics.items() if m in self._kept}
        self._cache[candidate.architecture.key, candidate.fidelity] = metrics

    def screen(self, numbers: Sequence[int], candidates: Sequence[Candidate]) -> tuple[list[Outcome], list[Job]]:
        """Settle what can be settled at once; the rest come back as jobs (without seeds) in the same order."""
        cache = self._cache
        known = [cache.get((c.architecture.key, c.fidelity), _NOTHING) for c in candidates]
        self.hits += sum(k is not _NOTHING for k in known)
        outcomes: dict[int, Outcome] = {}
        for fidelity in dict.fromkeys(c.fidelity for c in candidates):
            rows = [i for i, c in enumerate(candidates) if c.fidelity == fidelity]
            codes = np.array([candidates[i].architecture.code for i in rows])
            self._screen(numbers, rows, codes, fidelity, known, outcomes)
        jobs = []
        for i, candidate in enumerate(candidates):
            if i in outcomes:
                continue
            if self._slow and not all(knows(e, known[i]) for e in self.chain.evaluators):
                jobs.append(Job(numbers[i], candidate.architecture.code, candidate.fidelity, 0, known[i]))
            else:
                outcomes[i] = self.chain.settle(numbers[i], known[i], 0.0)
        return [outcomes[i] for i in sorted(outcomes)], jobs

    def _screen(
        self,
        numbers: Sequence[int],
        rows: list[int],
        codes: np.ndarray,
        fidelity: float,
        known: list[Mapping[str, float]],
        outcomes: dict[int, Outcome],
    ) -> None:
        """Call the batched evaluators on candidates `rows` with `codes` (n, D) that share a fidelity."""
        chain, began = self.chain, time.perf_counter()
        todo = [k for k, i in enumerate(rows) if known[i] is _NOTHING]  # a cache entry holds all that is deterministic
        spent: dict[int, float] = {}
        for position, evaluator in enumerate(self._batched):
            if not todo:
                return
            for k, found in zip(todo, self._call(evaluator, codes, todo, fidelity), strict=True):
                i = rows[k]
                if isinstance(found, str):
                    outcomes[i] = Outcome(numbers[i], "failed", known[i], 0.0, found)
                    continue
                if SIMULATED in found:
                    found[SIMULATED] = spent[k] = spent.get(k, 0.0) + found[SIMULATED]
                known[i] = {**known[i], **found} if position else found
                if chain.breaks_a_limit(found):
                    outcomes[i] = chain.settle(numbers[i], known[i], 0.0)
            todo = [k for k in todo if rows[k] not in outcomes]
        share = (time.perf_counter() - began) / max(len(todo), 1)
        if not self._slow:
            for k in todo:
                i = rows[k]
                outcomes[i] = chain.settle(numbers[i], known[i], share)

    def _call(
        self, evaluator: Evaluator, codes: np.ndarray, todo: list[int], fidelity: float
    ) -> Sequence[dict[str, float] | str]:
        """Metrics of rows `todo` of codes (n, D), or what went wrong with a row."""
        space = self.chain.problem.space
        try:
            batch = Architectures(space, codes if len(todo) == len(codes) else codes[todo])
            columns = evaluate(evaluator, batch, fidelity, 0)
        except Exception as error:
            if len(todo) == 1:
                return [describe(evaluator, error)]
            return [self._call(evaluator, codes, [k], fidelity)[0] for k in todo]  # so that only the culprit fails
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]


_NOTHING: Mapping[str, float] = {}
