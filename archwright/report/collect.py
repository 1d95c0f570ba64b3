"""From a search's result to what its report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.costs.workload import rows_of_program
from archwright.report.data import Curve, ReportData

if TYPE_CHECKING:
    from archwright.nets.program import Program
    from archwright.search.result import SearchResult
    from archwright.search.trial import Trial


def columns_of(trials: Sequence[Trial]) -> dict[str, np.ndarray]:
    """Metric -> (trials,), NaN where a trial has no value."""
    names = dict.fromkeys(name for t in trials for name in t.metrics)
    return {name: np.array([t.metrics.get(name, np.nan) for t in trials], dtype=np.float64) for name in names}


def progress_curve(result: SearchResult, name: str, goal: int = 0) -> Curve:
    """Best feasible value of one goal so far, one point at each improvement and one at the end."""
    return _stepped(result, name, result.curve(goal))


def volume_curves(named: Sequence[tuple[str, SearchResult]]) -> tuple[Curve, ...]:
    """Hypervolume so far of several searches from one reference, as a share of what the first reached.

    The reference is the worst complete trial of all of them, so that they can be compared. Empty where the first search
    reached nothing.
    """
    losses = np.concatenate([r.losses for _, r in named])
    losses = losses[np.isfinite(losses).all(axis=1)]
    if not len(losses):
        return ()
    low, high = losses.min(axis=0), losses.max(axis=0)
    reference = high + 0.1 * np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
    histories = [r.hypervolume_history(reference) for _, r in named]
    if not len(histories[0]) or histories[0][-1] <= 0:
        return ()
    return tuple(
        _stepped(result, name, history / histories[0][-1])
        for (name, result), history in zip(named, histories, strict=True)
        if len(history)
    )


def _stepped(result: SearchResult, name: str, best: np.ndarray) -> Curve:
    """A curve over time with the points at which a value changes."""
    ends = np.maximum.accumulate(np.array([t.at_s for t in result.trials], dtype=np.float64))
    points = []
    for i, value in enumerate(best):
        if np.isfinite(value) and (i == len(best) - 1 or i == 0 or value != best[i - 1]):
            points.append((float(ends[i]), i + 1, float(value)))
    return Curve(name, tuple(points))


def layer_costs(cost: Any, program: Program) -> dict[str, list[float]]:
    """Metric -> value of each layer of a network, by an additive cost; times below 0.1 ms are given in us.

    Args:
        cost: has `row_costs(rows)`, such as a latency table or a platform's cost model.
        program: of the network.
    """
    work = rows_of_program(program.steps)
    out: dict[str, list[float]] = {}
    for metric, values in cost.row_costs(work.rows).items():
        each = work.gather(values)[0]
        if metric.endswith("_ms") and len(each) and np.nanmax(each) < 0.1:
            metric, each = f"{metric.removesuffix('_ms')}_us", 1000.0 * each
        out[metric] = each.tolist()
    return out


def short_label(options: Mapping[str, Any]) -> str:
    """Decisions and their options in one line, those of one part together: `1: kernel 5, expand 4; 2: times 3`."""
    parts: dict[str, list[str]] = {}
    for name, value in options.items():
        where, _, last = name.removeprefix("network.").removeprefix("parts.").rpartition(".")
        parts.setdefault(where, []).append(f"{last} {value}")
    return "; ".join(f"{where}: {', '.join(found)}" if where else ", ".join(found) for where, found in parts.items())


def from_result(
    result: SearchResult,
    *,
    title: str,
    chosen: Trial | None = None,
    baselines: Mapping[str, SearchResult] | None = None,
    **more: Any,
) -> ReportData:
    """Fill everything that follows from the trials; the rest is passed on to `ReportData` by name.

    Args:
        result: of the search.
        title: of the page.
        chosen: the exported trial; by default the best, if it is feasible.
        baselines: name -> result of a search with the same budget, such as "random search".
        more: further fields of `ReportData`.
    """
    trials, problem = result.trials, result.problem
    place = {t.number: i for i, t in enumerate(trials)}
    if chosen is None and result.feasible:
        chosen = result.best
    goal = problem.goals[0].metric
    named = [("search", result), *(baselines or {}).items()]
    fields: dict[str, Any] = {
        "title": title,
        "objectives": problem.objectives,
        "columns": columns_of(trials),
        "states": tuple(t.state for t in trials),
        "labels": tuple(short_label(t.candidate.architecture.options()) for t in trials),
        "front": tuple(place[t.number] for t in result.front),
        "chosen": None if chosen is None else place.get(chosen.number),
        "curve_metric": goal,
        "curves": tuple(c for c in (progress_curve(r, name) for name, r in named) if c.points),
        "volumes": volume_curves(named) if len(problem.goals) > 1 else (),
        "importance": result.importance() if sum(t.state == "complete" for t in trials) >= 10 else {},
        "importance_metric": goal,
        "space_size": problem.space.size(),
        "seconds": result.provenance.get("seconds"),
        "settings": _settings(result.provenance),
        "versions": _versions(result.provenance),
    }
    return ReportData(**{**fields, **more})


def _settings(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Short values of the manifest, in its order."""
    out = {}
    for key, value in provenance.items():
        if key in ("versions", "seconds", "objectives", "config"):
            continue
        if isinstance(value, Mapping):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        elif isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        if value not in (None, ""):
            out["space digest" if key == "space" else key.replace("_", " ")] = str(value)
    return out


def _versions(provenance: Mapping[str, Any]) -> dict[str, str]:
    found = provenance.get("versions")
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, Mapping) else {}
