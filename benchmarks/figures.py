"""Figures of results: a line of the benchmarks page, and how its figure is read from the JSON file of a result."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Line:
    """One figure.

    Attributes:
        result: name of the JSON file.
        what: in words.
        read: takes the file's content, gives the figure.
        target: the figure's bound; None = reported without a target.
        at_most: whether the bound is an upper one.
        unit: behind the figure.
        command: where the file itself does not name it.
    """

    result: str
    what: str
    read: Callable[[Any], float | None]
    target: float | None = None
    at_most: bool = False
    unit: str = ""
    command: str = ""


def at(*keys: str) -> Callable[[Any], Any]:
    """The value under some keys, None if one is missing."""

    def read(content: Any) -> Any:
        for key in keys:
            content = content.get(key) if isinstance(content, dict) else None
        return content

    return read


def over(metric: str, part: str) -> Callable[[Any], float]:
    """Mean of a metric with learned mutation less that with uniform mutation."""

    def read(content: Any) -> float:
        learned, uniform = (content[part][m][metric]["mean"] for m in ("q_mutation", "uniform mutation"))
        return float(learned - uniform)

    return read


def least(content: Any) -> float | None:
    ratios = content.get("ratio_to_better_peer")
    return None if not ratios else min(ratios)


def seeds_lower(content: Any) -> float | None:
    errors = content.get("error_percent_at_budget")
    if not errors:
        return None
    peers = [v for name, v in errors.items() if name != "archwright"]
    lower = [ours < min(theirs) for ours, *theirs in zip(errors["archwright"], *peers, strict=True)]
    return 100.0 * sum(lower) / len(lower)


def unseen(key: str) -> Callable[[Any], float | None]:
    """The worst over all tables of the latency benchmark."""

    def read(content: Any) -> float | None:
        found = [v[key] for v in dicts(content) if key in v]
        return None if not found else (min(found) if key in ("spearman", "kendall") else max(found))

    return read


def dicts(content: Any) -> list[dict[str, Any]]:
    """All dictionaries below a value."""
    if isinstance(content, list):
        return [d for v in content for d in dicts(v)]
    if not isinstance(content, dict):
        return []
    return [content, *(d for v in content.values() for d in dicts(v))]


def case(name: str, key: str) -> Callable[[Any], float | None]:
    return at("models", name, key)


def exact_share(name: str) -> Callable[[Any], float | None]:
    def read(content: Any) -> float | None:
        found = content["models"].get(name)
        return None if found is None else 100.0 * found["within_1e-9"] / found["n"]

    return read


def throughput(name: str) -> Callable[[Any], float | None]:
    def read(content: Any) -> float | None:
        value = content["throughput"].get(name, {}).get("per_s")
        return None if value is None else value / 1e6

    return read


def kept(family: str, *, held: bool) -> Callable[[Any], float | None]:
    """Share of the instances within the bound, of those whose conditions hold or of the others."""

    def read(content: Any) -> float | None:
        rows = content.get(family) or ()
        within = sum(r["kept_where_they_hold"] if held else r["kept"] - r["kept_where_they_hold"] for r in rows)
        among = sum(r["conditions_hold"] if held else r["seeds"] - r["conditions_hold"] for r in rows)
        return None if not among else 100.0 * within / among

    return read


def holding(family: str, *, refined: bool) -> Callable[[Any], float | None]:
    """Share of the instances with a stride whose conditions hold."""

    def read(content: Any) -> float | None:
        rows = [r for r in content.get(family) or () if r["refine"] == refined and r["interval"] > 1]
        return None if not rows else 100.0 * sum(r["conditions_hold"] for r in rows) / sum(r["seeds"] for r in rows)

    return read


def seeds_with_a_lower(what: str) -> Callable[[Any], float | None]:
    return at(f"largest_eigenvalue_of_{what}", "seeds_lower")


def most_memory(kind: str) -> Callable[[Any], float | None]:
    """The largest share of a peer's peak memory, over the four methods that are compared with published code."""

    def read(content: Any) -> float | None:
        names = ("darts on darts", "pc-darts on darts", "drnas on darts", "darts on nasbench201")
        found = [at(name, kind, "peak_memory_mb_ratio")(content["comparisons"]) for name in names]
        return None if None in found else 1.0 / min(found)

    return read


def runs_within(form: str, runs: int = 5) -> Callable[[Any], float | None]:
    """Of all planned runs of a form; one that is not there yet is not within."""

    def read(content: Any) -> float | None:
        errors = [abs(r["error_percent"]) for r in content["searches"] if r["form"] == form]
        return 100.0 * sum(e <= 5.0 for e in errors) / runs if errors else None

    return read


def saved(trials: int, *, repeating: bool = False) -> Callable[[Any], float | None]:
    """Evaluations that a cache saves in so many trials of evolution, in percent."""

    def read(content: Any) -> float | None:
        found = content["evolution_that_may_repeat_a_code"] if repeating else content["evolution"]["after"]
        return 100.0 * found[str(trials)]["saved_share_median"]

    return read


def median_queries(part: str, table: int) -> Callable[[Any], float | None]:
    def read(content: Any) -> float | None:
        medians = content.get("median_queries_until_0.3", {}).get(part, {}).get("auto")
        return None if not medians else medians[table]

    return read


def least_ahead(content: Any) -> float | None:
    """The smallest lead of the default over the best peer, over devices and numbers of queries."""
    leads = [v for device in content.get("auto_ahead_of_best_peer", {}).values() for v in device.values()]
    return None if len(leads) < 15 else min(leads)  # five devices at three numbers of queries


def linas_queries(content: Any) -> float | None:
    """The most queries that LINAS needs on a device for NSGA-II's final hypervolume."""
    found = [d.get("nsga2") for d in content.get("linas_queries_for_final_hypervolume", {}).values()]
    return None if not found else max(math.inf if f is None else f for f in found)


def slowest_alone(content: Any) -> float | None:
    found = at("transformers", "seconds_alone_slowest")(content)
    return None if not found else max(found.values())


def signs_kept(content: Any) -> float | None:
    found = at("transformers")(content)
    return None if not found else float(len(found["published"]) - len(found["signs_differ"]))


def wrong_texts(content: Any) -> float | None:
    found = content.get("onnx_text")
    return None if not found else found["equal_texts_of_different_graphs"] + found["different_texts_of_equal_graphs"]


def zero_shot(content: Any) -> float | None:
    return min((d["zero_shot"] for d in content.get("transfer", {}).values()), default=None)


def after_fifty(content: Any) -> float | None:
    return min((d["after_50_labels"]["mean"] for d in content.get("transfer", {}).values()), default=None)


def improvement(method: str) -> Callable[[Any], float | None]:
    """Mean over data sets of a method's relative improvement."""

    def read(content: Any) -> float | None:
        found = [d["relative_improvement_percent"][method][0] for d in content.get("datasets", {}).values()]
        return None if not found else sum(found) / len(found)

    return read


def over_random(content: Any) -> float | None:
    found = at("pairs", "mean_test_accuracy_percent")(content)
    return None if not found else found["fbnetv3"] / found["random"]


def over_means(ours: tuple[str, ...], theirs: tuple[str, ...]) -> Callable[[Any], float | None]:
    """Ratio of the means of two summaries."""

    def read(content: Any) -> float | None:
        means = [at(*path, "mean")(content) for path in (ours, theirs)]
        return None if None in means else means[0] / means[1]

    return read
