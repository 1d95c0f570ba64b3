"""From a search's result to what its report shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.report.data import Curve, ReportData

if TYPE_CHECKING:
    from archwright.search.result import SearchResult
    from archwright.search.trial import Trial


def columns_of(trials: Sequence[Trial]) -> dict[str, np.ndarray]:
    """Metric -> (trials,), NaN where a trial has no value."""
    names = dict.fromkeys(name for t in trials for name in t.metrics)
    return {name: np.array([t.metrics.get(name, np.nan) for t in trials], dtype=np.float64) for name in names}


def progress_curve(result: SearchResult, name: str, goal: int = 0) -> Curve:
    """Best feasible value of one goal so far, one point at each improvement and one at the end."""
    best = result.curve(goal)
    ends = np.maximum.accumulate(np.array([t.at_s for t in result.trials], dtype=np.float64))
    points = []
    for i, value in enumerate(best):
        if np.isfinite(value) and (i == len(best) - 1 or i == 0 or value != best[i - 1]):
            points.append((float(ends[i]), i + 1, float(value)))
    return Curve(name, tuple(points))


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
    named: Iterable[tuple[str, SearchResult]] = [("search", result), *(baselines or {}).items()]
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
