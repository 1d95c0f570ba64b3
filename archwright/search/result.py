"""What a run found: best trial, front, history, and which decisions mattered."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from archwright.errors import ConfigurationError
from archwright.search.log import replace_file
from archwright.search.pareto import front_mask, hypervolume_history, knee
from archwright.search.problem import Problem
from archwright.search.trial import Trial


@dataclass(frozen=True)
class SearchResult:
    """Trials of one run, in the order in which they finished, and what follows from them.

    provenance: seed, versions, machine, budget and what ended the run, as in `manifest.json`.
    """

    problem: Problem
    trials: Sequence[Trial]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    cache_hits: int = 0
    folder: Path | None = None

    @cached_property
    def losses(self) -> np.ndarray:
        """(trials, goals), smaller is better; NaN for trials that are not complete."""
        losses = self.problem.losses(self.trials)
        losses[[t.state != "complete" for t in self.trials]] = np.nan
        return losses

    @cached_property
    def violation(self) -> np.ndarray:
        """(trials,) sum of relative bound violations; 0 = feasible, infinite = failed."""
        out = self.problem.violation(self.trials)
        out[[t.state == "failed" for t in self.trials]] = np.inf
        return out

    @property
    def feasible(self) -> bool:
        """True if at least one trial is complete, that is within all limits."""
        return any(t.state == "complete" for t in self.trials)

    @property
    def feasible_share(self) -> float:
        """Share of the trials that are complete; 0 without trials."""
        return sum(t.state == "complete" for t in self.trials) / max(len(self.trials), 1)

    @cached_property
    def front(self) -> tuple[Trial, ...]:
        """Complete trials that no other dominates, in order of the first goal; one of several equal ones."""
        rows = np.flatnonzero(front_mask(self.losses))
        return tuple(self.trials[i] for i in rows[np.argsort(self.losses[rows, 0], kind="stable")])

    @property
    def best(self) -> Trial:
        """The feasible trial with the best first goal (ties: the next goals, then the earliest).

        If none is feasible, the one with the least violation; `feasible` tells which case it is.

        Raises:
            ConfigurationError: if there are no trials, or all failed.
        """
        if self.feasible:
            losses = np.where(np.isnan(self.losses), np.inf, self.losses)
            return self.trials[int(np.lexsort(losses.T[::-1])[0])]
        if not len(self.trials) or np.isinf(self.violation).all():
            errors = sorted({t.error for t in self.trials if t.error})
            why = f"all {len(self.trials)} failed, for example: {errors[0]}" if errors else "there are none"
            raise ConfigurationError(f"no trial of this run can be the best: {why}; look at `trials`")
        return self.trials[int(np.argmin(self.violation))]

    @property
    def knee(self) -> Trial:
        """The front's trial closest to the ideal point, with each goal scaled to the front's range.

        Raises:
            ConfigurationError: if no trial is feasible.
        """
        if not self.front:
            raise ConfigurationError("no trial is within the limits, so there is no front; widen a limit or the space")
        return self.front[knee(self.problem.losses(self.front))]

    def curve(self, goal: int = 0) -> np.ndarray:
        """(trials,) best feasible value of one goal so far, in its own unit and direction; NaN before the first."""
        best = np.fmin.accumulate(self.losses[:, goal]) if len(self.trials) else np.zeros(0)
        return -best if self.problem.goals[goal].goal == "maximize" else best

    def reference(self) -> np.ndarray:
        """(goals,) default reference of the hypervolume: the worst complete trial, and a tenth of the range beyond."""
        done = self.losses[~np.isnan(self.losses).any(axis=1)]
        if not len(done):
            return np.zeros(len(self.problem.goals))
        low, high = done.min(axis=0), done.max(axis=0)
        return high + 0.1 * np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))

    def hypervolume_history(self, reference: np.ndarray | None = None) -> np.ndarray:
        """(trials,) hypervolume of the trials so far, in losses; give one reference to compare runs."""
        point = self.reference() if reference is None else np.asarray(reference, np.float64)
        return hypervolume_history(self.losses, point)

    def importance(self, goal: int = 0) -> dict[str, float]:
        """Decision -> share of a goal's variance that it explains alone; see `archwright.search.importance`."""
        from archwright.search.importance import importance

        done = ~np.isnan(self.losses[:, goal])
        codes = self.problem.space.codes(
            [t.candidate.architecture for t, keep in zip(self.trials, done, strict=True) if keep]
        )
        return importance(self.problem.space, codes, self.losses[done, goal])

    def csv(self) -> str:
        """The front as text: trial number, metrics with units, one column a decision with its option."""
        trials = self.front
        metrics = list(dict.fromkeys(m for t in trials for m in t.metrics))
        labels = [d.label for d in self.problem.space.decisions]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["trial", "fidelity", *metrics, *labels])
        for t in trials:
            options = t.candidate.architecture.options()
            values = [repr(t.metrics[m]) if m in t.metrics else "" for m in metrics]
            writer.writerow([t.number, t.candidate.fidelity, *values, *(options.get(x, "") for x in labels)])
        return out.getvalue()

    def to_csv(self, path: str | Path) -> None:
        """Write the front as a CSV file.

        Raises:
            RunLogError: if the file cannot be written.
        """
        replace_file(Path(path), self.csv())
