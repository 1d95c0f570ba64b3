"""What a report shows: plain values that a run, a benchmark or a test fills in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from archwright.report.diagram import Description
from archwright.search.problem import Columns, Objective


@dataclass(frozen=True)
class Curve:
    """Progress of one search: the best so far after some seconds and trials.

    `points` holds (seconds, trials, value) in order; `name` is `search` for the run and, for example,
    `random search` for the baseline. A spread over seeds may be given as `low` and `high`, one value a point.
    """

    name: str
    points: Sequence[tuple[float, int, float]]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Calibration:
    """Predicted against measured values of one metric on the same networks."""

    metric: str
    predicted: Sequence[float]
    measured: Sequence[float]
    labels: Sequence[str] = ()
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A part that a search, a benchmark or a cost model adds.

    `html` is inserted as it is, so whoever makes it escapes what users wrote (`archwright.report.html.table` does).
    `figure` is a Plotly figure as a mapping with `data` and `layout`.
    """

    title: str
    html: str = ""
    figure: Mapping[str, Any] | None = None
    note: str = ""


@dataclass(frozen=True)
class ReportData:
    """Everything that a report shows; what is missing is said in the report, with the reason from `missing`.

    Attributes:
        title: of the page, for example the run's name.
        objectives: goals and limits.
        columns: metric -> (trials,), NaN where a trial has no value.
        states: state of each trial: complete, infeasible or failed.
        labels: short text of each trial's architecture, or nothing.
        front: indices of the trials on the front.
        chosen: index of the trial that was exported, or None.
        predicted: what the search believed of the chosen network.
        measured: what was measured on the exported network.
        curve_metric: what the curves show: a metric name, or words such as "hypervolume".
        curves: progress of the search and of its baselines.
        volumes: hypervolume of the front, as a share of what this search reached; shown with two goals or more.
        importance: decision -> share of the variance of `importance_metric` that it explains alone.
        calibrations: predicted against measured values.
        description: of the chosen network.
        layer_costs: metric -> one value for each step of the description, beside parameters and MACs.
        space: short text of the space; `space_size` is the exact number of its members.
        seconds: that the run took.
        settings: name -> value, shown as they are.
        command: that reproduces the run.
        versions: package -> version.
        missing: section ("front", "curves", "importance", "calibrations", "network", "layer_costs") -> why it is empty;
            an empty text for "network", "layer_costs" or "calibrations" leaves the section out.
        sections: further parts, in order.
    """

    title: str
    objectives: Sequence[Objective] = ()
    columns: Columns = field(default_factory=dict)
    states: Sequence[str] = ()
    labels: Sequence[str] = ()
    front: Sequence[int] = ()
    chosen: int | None = None
    predicted: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    curve_metric: str = ""
    curves: Sequence[Curve] = ()
    volumes: Sequence[Curve] = ()
    importance: Mapping[str, float] = field(default_factory=dict)
    importance_metric: str = ""
    calibrations: Sequence[Calibration] = ()
    description: Description | None = None
    layer_costs: Mapping[str, Sequence[float]] = field(default_factory=dict)
    space: str = ""
    space_size: int | None = None
    seconds: float | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    sections: Sequence[Section] = ()

    @property
    def goals(self) -> tuple[Objective, ...]:
        """Objectives to minimize or maximize."""
        return tuple(o for o in self.objectives if o.goal != "limit")

    @property
    def limits(self) -> tuple[Objective, ...]:
        """Objectives with a bound."""
        return tuple(o for o in self.objectives if o.at_most is not None or o.at_least is not None)

    def feasible(self) -> np.ndarray:
        """(trials,) bool: complete, and every known metric within its limits."""
        inside = np.array([state == "complete" for state in self.states], dtype=bool)
        for o in self.limits:
            value = self.columns.get(o.metric)
            if value is not None:
                inside &= ~breaks(o, np.asarray(value, dtype=np.float64))
        return inside


def breaks(objective: Objective, values: np.ndarray) -> np.ndarray:
    """(n,) bool: where a bound is broken; an unknown value breaks none."""
    broken = np.zeros(values.shape, dtype=bool)
    if objective.at_most is not None:
        broken |= values > objective.at_most
    if objective.at_least is not None:
        broken |= values < objective.at_least
    return broken
