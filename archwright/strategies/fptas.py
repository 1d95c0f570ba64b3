"""FPTAS for optimal sub-architecture extraction: sort by cost, train every s-th a bounded number of steps, largest W.

de Wynter, "An approximation algorithm for optimal subarchitecture extraction" (2020, arXiv 2010.08512), Algorithm 1; de
Wynter & Perry, "Optimal subarchitecture extraction for BERT" (2020, arXiv 2010.10499). For a family with the strong
AB^nC property (`analysis/subarchitecture.py`) the published ratio of W(found) to W(optimum) is at least 1 - eps. Real
networks are not strongly convex: there the guarantee is conditional, and the report says so.

Reconstructed, because the public sources do not give it: the stride over candidates sorted by (size, latency) with
both ends, and ceil(1 / (eps sqrt(s))) training steps each. Nothing published bounds W between two candidates of a
stride, and so few steps say nothing once eps sqrt(s) >= 1. Both are conditions of our own here: what is between has to
be bounded by `possible_w`, which a report checks after the trials and `refine` brings about by more of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from archwright.analysis.subarchitecture import (
    ABnC,
    MaximumPoint,
    candidates_count,
    check_abnc,
    maximum_point,
    possible_w,
    strided,
    training_steps,
    w_coefficient,
)
from archwright.errors import ConfigurationError
from archwright.registry import register
from archwright.search.problem import Columns, Evaluator, Problem
from archwright.search.trial import Candidate, Trial
from archwright.space.architecture import Architecture, Architectures
from archwright.strategies.common import check_option

LISTED = 1_000_000  # members whose costs are computed at most
CHUNK = 65_536


@dataclass(frozen=True)
class Extraction:
    """What the FPTAS found.

    best: the architecture with the largest W-coefficient; None before a trial succeeded.
    w: its coefficient, by the surrogate error.
    codes, size, latency, error, coefficients: (k, D) and (k,) of all evaluated candidates.
    maximum: the maximum point. steps: training steps of each candidate.
    evaluations, formula: candidates told, and how many the formula says; a refinement evaluates more.
    ratio: published lower bound of W(best) / W(optimum), 1 - eps. conditions: what it stands on, and whether it is so.
    unseen: largest W that a candidate without a trial may have in a nested family.
    """

    best: Architecture | None
    w: float
    codes: np.ndarray
    size: np.ndarray
    latency: np.ndarray
    error: np.ndarray
    coefficients: np.ndarray
    maximum: MaximumPoint
    steps: int
    evaluations: int
    formula: int
    ratio: float
    conditions: Mapping[str, bool]
    unseen: float
    abnc: ABnC

    @property
    def holds(self) -> bool:
        """Whether all conditions of the ratio are met."""
        return all(self.conditions.values())

    @property
    def guarantee(self) -> str:
        """One sentence."""
        claim = f"W(best) >= {self.ratio:.3g} W(optimum)"
        missing = [name for name, met in self.conditions.items() if not met]
        return claim if not missing else f"no guarantee that {claim}: not met: {'; '.join(missing)}"


@register(
    "strategies",
    "fptas",
    labels={
        "family": "approximation scheme",
        "objectives": "one",
        "constraints": True,
        "random": False,
        "paper": "de Wynter 2020, An approximation algorithm for optimal subarchitecture extraction",
        "space": "sizes that can be listed, with evaluators of size and latency that are not trials",
    },
)
class FPTAS:
    """Extracts the architecture with the best trade of size, latency and error, in a number of trials known before.

    The error is the one goal that is neither `size` nor `latency`; an accuracy in percent is turned into an error. An
    evaluator of it may say `strongly_convex = True` of its training objective; without that no guarantee is claimed.

    Args:
        problem: with the error as a goal, and batched deterministic evaluators of `size` and `latency`.
        seed: not used; nothing is left to chance.
        eps: in (0, 1]; the smaller, the more training steps.
        interval: s; every s-th candidate by cost is trained.
        size: metric of the parameter size.
        latency: metric of the inference speed; a count of operations in the paper.
        maximum: (size, latency) of the maximum point; by default the largest of the space.
        full_steps: training steps that fidelity 1 stands for; by default candidates are trained at fidelity 1.
        training: decisions that are training settings (Theta), not sizes; all of their options are tried.
        refine: then evaluate, round by round, the candidates that may be better than the ratio allows.

    Raises:
        ConfigurationError: if the space is too large, or no evaluator gives size and latency outside trials.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        eps: float = 0.2,
        interval: int = 1,
        size: str = "params_m",
        latency: str = "macs_m",
        maximum: tuple[float, float] | None = None,
        full_steps: int | None = None,
        training: Sequence[str] = (),
        refine: bool = False,
    ) -> None:
        check_option("eps", eps, np.finfo(float).tiny, 1.0)
        check_option("interval", interval, 1)
        self._eps, self._interval, self._refine = eps, interval, refine
        self.steps = training_steps(eps, interval)
        if full_steps is not None:
            check_option("full_steps", full_steps, 1)
        self._fidelity = 1.0 if full_steps is None else min(1.0, self.steps / full_steps)
        self._goal = _error_goal(problem, (size, latency))
        judges = [e for e in problem.evaluators if self._goal[0] in e.metrics]
        self._convex = bool(judges) and all(getattr(e, "strongly_convex", False) for e in judges)
        self._family = _Family(problem, size, latency, training)
        given = maximum_point(self._family.size, self._family.latency)
        self.maximum = given if maximum is None else MaximumPoint(*map(float, maximum))
        if self.maximum.size < given.size or self.maximum.latency < given.latency:
            raise ConfigurationError(
                f"the maximum point must bound all candidates, got {tuple(self.maximum)} and candidates of up to "
                f"{tuple(given)}; raise it, or leave it out"
            )
        self._picked = strided(self._family.size, self._family.latency, interval)
        self._queue = [int(i) for row in self._picked for i in self._family.rows_of(row)]
        self.evaluations = len(self._queue)
        self._asked = 0
        self._errors: dict[bytes, float] = {}  # of trials told; NaN where one failed

    @property
    def batch(self) -> int:
        """All that are left: none depends on another."""
        return max(1, len(self._queue) - self._asked)

    def ask(self, n: int) -> Sequence[Candidate]:
        """The next at most n candidates; none once all are asked for."""
        if self._refine and self._asked == len(self._queue) and self._waiting() == 0:
            self._queue += [int(i) for row in self._open() for i in self._family.rows_of(row)]
        rows = self._queue[self._asked : self._asked + n]
        self._asked += len(rows)
        space, codes = self._family.space, self._family.codes
        batch = Architectures(space, codes[rows])
        return [Candidate(architecture, self._fidelity) for architecture in batch]

    def tell(self, trials: Sequence[Trial]) -> None:
        """Keep the surrogate errors."""
        for t in trials:
            value = t.metrics.get(self._goal[0], np.nan) if t.state == "complete" else np.nan
            self._errors[t.candidate.architecture.key] = 100.0 - value if self._goal[1] else value

    def _waiting(self) -> int:
        return self._asked - len(self._errors)

    def _told(self) -> np.ndarray:
        """Errors (n,) of all members; NaN without one."""
        found = np.full(len(self._family.codes), np.nan)
        rows = np.array(self._queue[: self._asked], np.int64)
        found[rows] = [self._errors.get(self._family.codes[i].tobytes(), np.nan) for i in rows]
        return found

    def _bounds(self) -> tuple[np.ndarray, float]:
        """Largest W that each of the sizes (m,) may have beyond what was seen, and the largest that was seen."""
        family, error = self._family, np.full(len(self._family.size), np.inf)
        np.fmin.at(error, family.sizes_of, self._told())
        error = np.where(np.isfinite(error), error, np.nan)
        possible = possible_w(family.size, family.latency, error, self.maximum)
        possible[family.sizes_of[self._queue[: self._asked]]] = 0.0  # failed trials are not tried again
        seen = w_coefficient(family.size, family.latency, error, self.maximum)
        return possible, float(seen.max(initial=0.0))

    def _open(self) -> list[int]:
        """The middle one, in the order of costs, of all sizes between two asked for that may be too much better."""
        possible, seen = self._bounds()
        order = np.lexsort((self._family.latency, self._family.size))
        asked = np.isin(order, self._family.sizes_of[self._queue[: self._asked]])
        wanted = np.flatnonzero(possible[order] * (1.0 - self._eps) > seen)
        gaps = np.cumsum(asked)[wanted]  # places between the same two candidates share a number
        middle = [part[len(part) // 2] for part in np.split(wanted, np.flatnonzero(np.diff(gaps)) + 1) if len(part)]
        return [int(order[place]) for place in middle]

    def report(self) -> Extraction:
        """The best architecture so far, all candidates, and the bound with its conditions."""
        family = self._family
        rows = np.array(self._queue[: self._asked], np.int64)
        sizes, error = family.sizes_of[rows], self._told()[rows]
        w = w_coefficient(family.size[sizes], family.latency[sizes], error, self.maximum)
        unseen = float(self._bounds()[0].max(initial=0.0))
        costs = {"size": family.size, "latency": family.latency}
        abnc = check_abnc(
            Architectures(family.space, family.codes[family.first]),
            costs,
            smooth="known" if self._convex else "assumed",
        )
        best = float(w.max(initial=0.0))
        return Extraction(
            best=Architecture(family.space, family.codes[rows[int(w.argmax())]]) if best > 0 else None,
            w=best,
            codes=family.codes[rows],
            size=family.size[sizes],
            latency=family.latency[sizes],
            error=error,
            coefficients=w,
            maximum=self.maximum,
            steps=self.steps,
            evaluations=len(self._errors),
            formula=candidates_count(len(family.size), self._interval) * family.settings,
            ratio=1.0 - self._eps,
            conditions={
                "every trial is told": self._asked == len(self._queue) and self._waiting() == 0,
                "costs rise with every size (AB^nC)": abnc.holds,
                "the training objective is smooth and strongly convex": self._convex,
                "eps sqrt(interval) is below 1": self._eps * math.sqrt(self._interval) < 1.0,
                "no candidate without a trial can be better by more": best >= (1.0 - self._eps) * unseen,
            },
            unseen=unseen,
            abnc=abnc,
        )


class _Family:
    """All members: codes (n, D); sizes_of (n,) their row among the m distinct sizes; size and latency (m,)."""

    def __init__(self, problem: Problem, size: str, latency: str, training: Sequence[str]) -> None:
        self.space = problem.space
        count = self.space.size()
        if count > LISTED:
            raise ConfigurationError(f"fptas lists all sizes: at most {LISTED:,} members, got {count:,}; restrict some")
        self.codes = self.space.enumerate().codes
        theta = [self.space.decision(label).index for label in training]
        columns = _costs(problem, self.codes, (size, latency))
        kept = problem.violation_of(columns, len(self.codes)) == 0.0
        if not kept.any():
            raise ConfigurationError("no member of the space keeps to the limits on its costs; loosen them")
        self.codes = self.codes[kept]
        shape = np.delete(self.codes, theta, axis=1)
        _, self.first, self.sizes_of = np.unique(shape, axis=0, return_index=True, return_inverse=True)
        self.sizes_of = self.sizes_of.reshape(-1)
        self.size = columns[size][kept][self.first]
        self.latency = columns[latency][kept][self.first]
        self.settings = len(self.codes) // len(self.first)
        self._by_size = np.argsort(self.sizes_of, kind="stable")
        self._starts = np.searchsorted(self.sizes_of[self._by_size], np.arange(len(self.first) + 1))

    def rows_of(self, row: int) -> np.ndarray:
        """Members that have the sizes of a row: one for each training setting."""
        return self._by_size[self._starts[row] : self._starts[row + 1]]


def _error_goal(problem: Problem, costs: tuple[str, str]) -> tuple[str, bool]:
    """Metric of the error, and whether it is an accuracy in percent."""
    goals = [g for g in problem.goals if g.metric not in costs]
    if len(goals) != 1:
        raise ConfigurationError(
            f"fptas needs one goal beside {costs[0]} and {costs[1]}: the error; got {[g.metric for g in goals]}"
        )
    goal = goals[0]
    if goal.goal == "maximize" and not goal.metric.endswith("accuracy_percent"):
        raise ConfigurationError(
            f"fptas divides by an error: minimize one, or maximize accuracy_percent; got maximize {goal.metric}"
        )
    return goal.metric, goal.goal == "maximize"


def _costs(problem: Problem, codes: np.ndarray, wanted: tuple[str, str]) -> Columns:
    """Columns (n,) of all evaluators that give costs and limits outside trials."""
    goal = _error_goal(problem, wanted)[0]
    limited = {o.metric for o in problem.limits}
    columns: Columns = {}
    for evaluator in problem.evaluators:
        if _is_cost(evaluator, goal) and (set(evaluator.metrics) & {*wanted, *limited}):
            parts = [
                evaluator.evaluate(Architectures(problem.space, codes[i : i + CHUNK]))
                for i in range(0, len(codes), CHUNK)
            ]
            columns.update({m: np.concatenate([p[m] for p in parts]) for m in parts[0]})
    for metric in wanted:
        if metric not in columns or not np.isfinite(columns[metric]).all():
            raise ConfigurationError(
                f"fptas needs {metric!r} of every member without a trial: add a batched deterministic evaluator of it "
                f"apart from that of {goal!r}, or name other costs by size=... and latency=..."
            )
    return columns


def _is_cost(evaluator: Evaluator, goal: str) -> bool:
    batched = getattr(evaluator, "cheap", False) or getattr(evaluator, "batched", False)
    return bool(batched and evaluator.deterministic and goal not in evaluator.metrics)
