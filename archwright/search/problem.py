"""What is searched: a space, objectives with limits, and the evaluators that measure them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from archwright.errors import ConfigurationError, nearest
from archwright.units import stem_of, unit_of

if TYPE_CHECKING:
    from archwright.search.trial import Trial
    from archwright.space import Architectures, Space

Columns = dict[str, np.ndarray]  # metric name with unit -> float64 (n,); NaN = this evaluator cannot say


class Evaluator(Protocol):
    """Maps a batch of architectures to columns of named numbers with units.

    Optional attributes, all False or absent by default:

    - `batched = True`: fast on a whole batch and free of side effects; a deterministic batched evaluator is called in
      the main process, once for all architectures of an ask, instead of once an architecture.
    - `cheap = True`: batched, and costs nothing beside a trial (a cost model, not a table of trained accuracies);
      strategies may call it on any number of proposals to see which of them keep to the limits.
    - `prepare(folder)`: called once before the first trial, with the run's `checkpoint` folder or None.

    A column named `simulated_s` says what the evaluation would have cost; it drives the simulated clock.
    """

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names with units of what is measured; a plain class attribute will do."""
        ...

    @property
    def deterministic(self) -> bool:
        """True if the same architecture always gives the same numbers; a plain class attribute will do."""
        ...

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Measure n architectures.

        Returns:
            metric -> float64 (n,).

        Raises:
            EvaluationError: if one of them cannot be evaluated.
        """
        ...


@dataclass(frozen=True)
class Objective:
    """A metric to minimize or maximize, or one that is only limited.

    Raises:
        ConfigurationError: if the metric has no known unit, or a pure limit has no bound.
    """

    metric: str
    goal: Literal["minimize", "maximize", "limit"] = "minimize"
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        unit_of(self.metric)
        if self.goal not in ("minimize", "maximize", "limit"):
            raise ConfigurationError(
                f"an objective's goal is minimize, maximize or limit, got {self.goal!r} for {self.metric!r}"
            )
        if self.goal == "limit" and self.at_most is None and self.at_least is None:
            raise ConfigurationError(f"the limit on {self.metric!r} needs a bound: at_most=... or at_least=...")
        if None not in (self.at_most, self.at_least) and self.at_least > self.at_most:  # type: ignore[operator]
            raise ConfigurationError(
                f"no value of {self.metric!r} is at least {self.at_least} and at most {self.at_most}"
            )


def parse_limit(text: str) -> Objective:
    """Read a limit such as `latency_ms<=0.3` or `accuracy_percent >= 95`.

    Raises:
        ConfigurationError: if the text is not a metric, `<=` or `>=`, and a number.
    """
    match = re.fullmatch(r"\s*([A-Za-z][\w.]*)\s*(<=|>=|<|>)\s*([-+0-9.eE]+)\s*", text)
    try:
        if match is None:
            raise ValueError
        value = float(match[3])
    except ValueError:
        raise ConfigurationError(
            f"a limit reads metric<=number or metric>=number, for example latency_ms<=0.3; got {text!r}"
        ) from None
    bound = "at_most" if match[2].startswith("<") else "at_least"
    return Objective(match[1], "limit", **{bound: value})


@dataclass(frozen=True)
class Problem:
    """A space, what is wanted of its members, and who measures it.

    Evaluators run in order, cheap first; a broken limit ends the chain for that architecture.

    Raises:
        ConfigurationError: if no objective is given, one is given twice, or no evaluator measures one.
    """

    space: Space
    objectives: tuple[Objective, ...]
    evaluators: tuple[Evaluator, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", tuple(self.objectives))
        object.__setattr__(self, "evaluators", tuple(self.evaluators))
        if not self.goals:
            raise ConfigurationError("a problem needs at least one metric to minimize or maximize, got none")
        metrics = [o.metric for o in self.objectives]
        twice = {m for m in metrics if metrics.count(m) > 1}
        if twice:
            raise ConfigurationError(f"one objective a metric, got several for {sorted(twice)}; join their bounds")
        if self.evaluators:
            known = {m for e in self.evaluators for m in e.metrics}
            for metric in metrics:
                if metric not in known:
                    same = [k for k in known if stem_of(k) == stem_of(metric)]
                    hint = f"the evaluators give {same[0]!r}" if same else nearest(metric, known)
                    raise ConfigurationError(f"no evaluator measures {metric!r}; {hint}")

    @property
    def goals(self) -> tuple[Objective, ...]:
        """The objectives to minimize or maximize, in order."""
        return tuple(o for o in self.objectives if o.goal != "limit")

    @property
    def limits(self) -> tuple[Objective, ...]:
        """Every objective that carries a bound, goals with bounds included."""
        return tuple(o for o in self.objectives if o.at_most is not None or o.at_least is not None)

    def losses(self, trials: Sequence[Trial]) -> np.ndarray:
        """(trials, goals), smaller is better; NaN where a metric is missing."""
        goals = [(g.metric, 1.0 if g.goal == "minimize" else -1.0) for g in self.goals]
        rows = [[sign * t.metrics.get(metric, np.nan) for metric, sign in goals] for t in trials]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(goals))

    def losses_of(self, columns: Mapping[str, np.ndarray], n: int) -> np.ndarray:
        """(n, goals) from metric columns (n,), smaller is better; NaN where a metric is missing."""
        out = np.full((n, len(self.goals)), np.nan)
        for j, goal in enumerate(self.goals):
            if goal.metric in columns:
                out[:, j] = columns[goal.metric] if goal.goal == "minimize" else -columns[goal.metric]
        return out

    def violation(self, trials: Sequence[Trial]) -> np.ndarray:
        """(trials,) sum of relative bound violations, 0 = feasible; a missing metric counts as no violation."""
        return self.violation_of({o.metric: _column(trials, o.metric) for o in self.limits}, len(trials))

    def violation_of(self, columns: Mapping[str, np.ndarray], n: int) -> np.ndarray:
        """(n,) sum of relative bound violations from metric columns (n,); NaN counts as no violation."""
        total = np.zeros(n)
        for o in self.limits:
            if o.metric not in columns:
                continue
            value = np.asarray(columns[o.metric], dtype=np.float64)
            if o.at_most is not None:
                scale = abs(o.at_most) or 1.0
                total += np.nan_to_num(np.maximum(value - o.at_most, 0.0) / scale, posinf=np.inf)
            if o.at_least is not None:
                scale = abs(o.at_least) or 1.0
                total += np.nan_to_num(np.maximum(o.at_least - value, 0.0) / scale, posinf=np.inf)
        return total


def _column(trials: Sequence[Trial], metric: str) -> np.ndarray:
    return np.array([t.metrics.get(metric, np.nan) for t in trials], dtype=np.float64)
