"""Statistics of a comparison: medians with bootstrap intervals, relative improvement over random, rank tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from archwright.errors import ConfigurationError

RESAMPLED = 2000
LEVEL = 0.95


def interval(values: Sequence[float] | np.ndarray, statistic: Any = np.median) -> tuple[float, float, float]:
    """A statistic and its bootstrap percentile interval (Efron & Tibshirani, 1993, chapter 13).

    Args:
        values: (n,), infinity allowed.
        statistic: takes an array and an axis.

    Returns:
        (statistic, lower end, upper end) at 95 %.
    """
    data = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(0)
    drawn = data[rng.integers(0, len(data), (RESAMPLED, len(data)))]
    with np.errstate(invalid="ignore"):  # inf - inf between two runs that never arrive
        found = np.sort(statistic(drawn, axis=1))
        centre = float(statistic(data[None], axis=1)[0])
    edge = int((1 - LEVEL) / 2 * RESAMPLED)
    return centre, float(found[edge]), float(found[-edge - 1])


def lower_median(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Median whose value occurs in the data, so that runs that never arrive (infinity) do not average with others."""
    return np.quantile(values, 0.5, axis=axis, method="inverted_cdf")


def finite(value: float) -> float | None:
    """None for infinity and NaN, which JSON does not know."""
    return float(value) if np.isfinite(value) else None


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p-value of the rank-sum test that two samples stem from one distribution; 1 if all are equal."""
    both = np.concatenate([np.asarray(a, float), np.asarray(b, float)])
    if len(np.unique(both)) < 2:
        return 1.0
    return float(stats.mannwhitneyu(a, b, alternative="two-sided").pvalue)


def final_of(run: Mapping[str, Any]) -> float:
    """What a run ends with, smaller is better: regret, or minus the hypervolume."""
    if "hypervolume" in run:
        return -float(run["hypervolume"][-1]) if run["hypervolume"] else 0.0
    last = run["regret"][-1] if run["regret"] else None
    return float("inf") if last is None else float(last)


def summary_of(entry: dict[str, Any], baseline: str, thresholds: Sequence[float]) -> None:
    """Add `summary` to every strategy of a benchmark's entry.

    Raises:
        ConfigurationError: if the baseline was not played.
    """
    found = entry["strategies"]
    if baseline not in found:
        raise ConfigurationError(f"a comparison needs the baseline {baseline!r}, got {sorted(found)}; play it as well")
    base = [final_of(run) for run in found[baseline]["runs"]]
    for strategy in found.values():
        runs = strategy["runs"]
        final = [final_of(run) for run in runs]
        summary: dict[str, Any] = {
            "final": [finite(v) for v in interval(final)],
            "engine_s": float(np.mean([r["engine_s"] for r in runs])),
            "p_against_baseline": mann_whitney(final, base),
        }
        if "regret" in runs[0]:
            summary["queries_until"] = {str(t): _until(runs, str(t)) for t in thresholds}
            summary["relative_improvement_percent"] = _improvement(entry, final)
        strategy["summary"] = summary


def _until(runs: Sequence[Mapping[str, Any]], threshold: str) -> dict[str, Any]:
    counts = [np.inf if r["queries_until"][threshold] is None else r["queries_until"][threshold] for r in runs]
    centre, low, high = interval(counts, lower_median)
    reached = float(np.mean(np.isfinite(counts)))
    return {"median": finite(centre), "low": finite(low), "high": finite(high), "reached": reached}


def _improvement(entry: Mapping[str, Any], final: Sequence[float]) -> list[float | None]:
    """RI = 100 (m - r) / r, with m what the method ends with and r the mean of random architectures."""
    best, average = entry["best"], entry["mean_of_random"]
    gained = 100.0 * (average - (np.asarray(final) + best)) / abs(average)
    return [
        finite(v) for v in interval(gained[np.isfinite(gained)] if np.isfinite(gained).any() else [np.nan], np.mean)
    ]


def ranks_over(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean rank of each strategy over benchmarks by its median final result, and Friedman's test from three on.

    Returns:
        {"mean_rank": {strategy: rank}, "friedman_p": p or None}; only strategies played everywhere count.
    """
    common = set.intersection(*(set(e["strategies"]) for e in entries)) if entries else set()
    names = sorted(common)
    table = np.array([[np.median([final_of(r) for r in e["strategies"][n]["runs"]]) for n in names] for e in entries])
    if not names:
        return {"mean_rank": {}, "friedman_p": None}
    ranks = np.stack([stats.rankdata(row) for row in table])
    p = None
    if len(entries) >= 3 and len(names) >= 3 and (np.ptp(ranks, axis=1) > 0).any():
        p = finite(float(stats.friedmanchisquare(*table.T).pvalue))
    return {"mean_rank": dict(zip(names, ranks.mean(axis=0).tolist(), strict=True)), "friedman_p": p}
