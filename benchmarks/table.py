"""Writes docs/benchmarks.md from benchmarks/results/*.json: figure, target, met or missed by how much, command.

    python benchmarks/table.py            # writes the page
    python benchmarks/table.py --check    # fails if the page is not what the results say

A line is one figure of one result. A script whose result is not there yet is listed as not measured.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `python benchmarks/table.py` from `benchmarks/results/*.json`; each of those holds all figures of its
run, the machine and its load. Ratios compare things measured in one run on one machine. Nothing was measured on a GPU.
"""


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


def _least(content: Any) -> float | None:
    ratios = content.get("ratio_to_better_peer")
    return None if not ratios else min(ratios)


def _seeds_lower(content: Any) -> float | None:
    errors = content.get("error_percent_at_budget")
    if not errors:
        return None
    peers = [v for name, v in errors.items() if name != "archwright"]
    lower = [ours < min(theirs) for ours, *theirs in zip(errors["archwright"], *peers, strict=True)]
    return 100.0 * sum(lower) / len(lower)


def _unseen(key: str) -> Callable[[Any], float | None]:
    """The worst over all tables of the latency benchmark."""

    def read(content: Any) -> float | None:
        found = [v[key] for v in _dicts(content) if key in v]
        return None if not found else (min(found) if key in ("spearman", "kendall") else max(found))

    return read


def _dicts(content: Any) -> list[dict[str, Any]]:
    """All dictionaries below a value."""
    if isinstance(content, list):
        return [d for v in content for d in _dicts(v)]
    if not isinstance(content, dict):
        return []
    return [content, *(d for v in content.values() for d in _dicts(v))]


def _case(name: str, key: str) -> Callable[[Any], float | None]:
    return at("models", name, key)


def _exact_share(name: str) -> Callable[[Any], float | None]:
    def read(content: Any) -> float | None:
        found = content["models"].get(name)
        return None if found is None else 100.0 * found["within_1e-9"] / found["n"]

    return read


def _throughput(name: str) -> Callable[[Any], float | None]:
    def read(content: Any) -> float | None:
        value = content["throughput"].get(name, {}).get("per_s")
        return None if value is None else value / 1e6

    return read


def _kept(family: str, *, strided: bool) -> Callable[[Any], float | None]:
    def read(content: Any) -> float | None:
        rows = [r for r in content.get(family) or () if (r["interval"] > 1) == strided and not r["refine"]]
        return None if not rows else 100.0 * sum(r["kept"] for r in rows) / sum(r["seeds"] for r in rows)

    return read


def _seeds_with_a_lower(what: str) -> Callable[[Any], float | None]:
    return at(f"largest_eigenvalue_of_{what}", "seeds_lower")


def _runs_within(content: Any) -> float | None:
    """Of all planned runs; one that is not there yet is not within."""
    planned = content["settings"]["seeds"] * len(content["settings"]["forms"].split(","))
    return 100.0 * sum(abs(r["error_percent"]) <= 5.0 for r in content["searches"]) / planned


def _saved(content: Any) -> float | None:
    found = {e["budget"]: e["saved_share_median"] for d in _dicts(content) for e in d.get("evolution", [])}
    return None if not found else 100.0 * found[min(found)]


def _median_queries(part: str, table: int) -> Callable[[Any], float | None]:
    def read(content: Any) -> float | None:
        medians = content.get("median_queries_until_0.3", {}).get(part, {}).get("auto")
        return None if not medians else medians[table]

    return read


def _least_ahead(content: Any) -> float | None:
    """The smallest lead of the default over the best peer, over devices and numbers of queries."""
    leads = [v for device in content.get("auto_ahead_of_best_peer", {}).values() for v in device.values()]
    return None if len(leads) < 15 else min(leads)  # five devices at three numbers of queries


def _linas_queries(content: Any) -> float | None:
    """The most queries that LINAS needs on a device for NSGA-II's final hypervolume."""
    found = [d.get("nsga2") for d in content.get("linas_queries_for_final_hypervolume", {}).values()]
    return None if not found else max(math.inf if f is None else f for f in found)


RANKED = (
    ("single_path, 40 epochs", "single path"),
    ("sandwich, 40 epochs", "sandwich"),
    ("k_mixture, 40 epochs", "mixture of four supernets"),
    ("each alone, one seed", "each trained alone, one seed"),
)
CASES = "python benchmarks/hardware_cases.py FOLDER"
LINES = (
    Line("hypervolume_digits", "Hypervolume, ratio to the better peer, mean", at("ratio_mean"), 1.3),
    Line("hypervolume_digits", "the same, worst seed", _least, 1.3),
    Line("hypervolume_digits", "Seeds with a lower error at the latency budget", _seeds_lower, 100, unit=" %"),
    Line(
        "hypervolume_cifar10_20k",
        "Hypervolume on CIFAR-10 20k, ratio to the better peer, mean",
        at("ratio_mean"),
        1.3,
        command="python benchmarks/hypervolume.py --data cifar10_20k",
    ),
    Line(
        "hypervolume_cifar10_20k",
        "Seeds with a lower error at the latency budget",
        _seeds_lower,
        100,
        unit=" %",
        command="python benchmarks/hypervolume.py --data cifar10_20k",
    ),
    *(
        Line(
            "sample_efficiency",
            f"Queries of the default until 0.3 points of regret, {table}, {words}, median of 50 seeds",
            _median_queries(part, i),
            target,
            at_most=True,
        )
        for part, words, targets in (
            ("without_scores", "no proxies", (18, 36, 68)),
            ("with_scores", "with zero-cost scores", (15, 20, 30)),
        )
        for i, (table, target) in enumerate(zip(("CIFAR-10", "CIFAR-100", "ImageNet16-120"), targets, strict=True))
    ),
    Line(
        "sample_efficiency",
        "Hypervolume (accuracy, latency): least lead of the default over the best peer, 50 to 200 queries, all devices",
        _least_ahead,
        0,
    ),
    Line(
        "sample_efficiency",
        "Queries of LINAS for the hypervolume of NSGA-II after 200, worst device",
        _linas_queries,
        200 / 3,
        at_most=True,
    ),
    Line("robot", "Mean rank of the best single proxy over RoBoT's, 20 queries", at("best_single_proxy_over_robot"), 1),
    Line(
        "gbdt_queries",
        "Random search's queries over those of GBDT-NAS, worst of five tables",
        at("least_random_over_gbdt"),
        3,
        unit="x",
    ),
    Line(
        "gbdt_queries",
        "Regularized evolution's queries over those of GBDT-NAS, worst of five tables",
        at("least_evolution_over_gbdt"),
        1,
        unit="x",
    ),
    Line(
        "engine_overhead",
        "Optuna's journal over archwright, time of a trial with its log",
        at("log", "optuna_over_archwright"),
        20,
        unit="x",
        command="python benchmarks/engine_overhead.py",
    ),
    Line(
        "engine_overhead",
        "Last 10,000 trials over the first, CPU time",
        at("log", "archwright", "last_over_first_cpu"),
        1.2,
        at_most=True,
        unit="x",
        command="python benchmarks/engine_overhead.py",
    ),
    Line(
        "engine_overhead",
        "Optuna NSGA-II in memory over archwright's",
        at("memory", "optuna_over_archwright", "nsga2"),
        50,
        unit="x",
        command="python benchmarks/engine_overhead.py",
    ),
    *(
        Line(
            "engine_overhead",
            f"the same, {words} asked one by one",
            at("memory", "optuna_over_archwright", f"{name}, asked one by one"),
            50,
            unit="x",
            command="python benchmarks/engine_overhead.py --only memory",
        )
        for name, words in (("regularized_evolution", "regularized evolution"), ("nsga2", "NSGA-II"))
    ),
    Line(
        "supernet_step",
        "Sandwich step with four subnets over a step of the largest alone",
        at("cpu_seconds_a_step", "digits", "ratio"),
        2.2,
        at_most=True,
        unit="x",
    ),
    *(
        Line("path_step", words, at("cpu_seconds_a_step", kind, name, "ratio"), limit, at_most=True, unit="x")
        for kind, name, words, limit in (
            ("sampled_path", "spos on darts", "Single-path step (SPOS, DARTS space) over the plain network's", 1.2),
            ("sampled_path", "gdas on nasbench201", "Single-path step (GDAS, NAS-Bench-201) over the plain one's", 1.2),
            ("sampled_path", "proxylessnas", "Weights step of ProxylessNAS over the plain network's", 1.2),
            ("superposed", "convnet", "Step of superposed weights over the largest network's, convolutions", 1.3),
            ("superposed", "autoformer", "Step of superposed weights over the largest network's, transformer", 1.3),
            ("sandwich", "mobilenetv3", "Sandwich step over four steps of the largest network, MobileNetV3", 0.5),
        )
    ),
    Line("counts_speed", "Counts of 10,000 architectures against tracing each", at("ratio"), 100, unit="x"),
    Line(
        "space_speed",
        "Sampling one of 10,000 architectures, 46 decisions",
        at("times", "sample", "median_us"),
        10,
        at_most=True,
        unit=" us",
        command="python benchmarks/space_speed.py --out benchmarks/results/space_speed.json",
    ),
    Line(
        "space_speed",
        "Mutating one of 10,000 architectures, 46 decisions",
        at("times", "mutate", "median_us"),
        10,
        at_most=True,
        unit=" us",
        command="python benchmarks/space_speed.py --out benchmarks/results/space_speed.json",
    ),
    Line(
        "latency_table",
        "Latency tables on unseen networks, largest median error",
        _unseen("median_error_percent"),
        unit=" %",
        command="python benchmarks/latency_table.py",
    ),
    Line(
        "latency_table",
        "the same, smallest rank correlation (Spearman)",
        _unseen("spearman"),
        command="python benchmarks/latency_table.py",
    ),
    Line(
        "operators",
        "Counting operators against building and running them on shapes",
        at("counting", "ratio"),
        unit="x",
        command="python benchmarks/operators.py > benchmarks/results/operators.json",
    ),
    Line(
        "hardware_cases",
        "Systolic arrays: cases equal to the reference's cycles",
        _exact_share("systolic.cycles"),
        100,
        unit=" %",
        command=CASES,
    ),
    Line(
        "hardware_cases",
        "Decoder inference: cases equal to the reference",
        _exact_share("llm.genz.dense"),
        100,
        unit=" %",
        command=CASES,
    ),
    Line(
        "hardware_cases",
        "Dataflow accelerators: cases with the reference's latency",
        _exact_share("dataflow.latency.all"),
        unit=" %",
        command=CASES,
    ),
    Line(
        "hardware_cases",
        "Dataflow accelerators: rank correlation of latency (Kendall)",
        _case("dataflow.latency.all", "kendall"),
        command=CASES,
    ),
    Line(
        "hardware_cases",
        "FPGA model: median error on networks it was not calibrated on",
        lambda c: 100 * c["models"]["fpga.held_out"]["median_relative_error"],
        20,
        at_most=True,
        unit=" %",
        command=CASES,
    ),
    Line(
        "hardware_speed",
        "Systolic model, all outputs, million designs a second",
        _throughput("systolic.all_outputs"),
        2,
    ),
    Line("hardware_speed", "Systolic model, cycles only", _throughput("systolic.cycles_only"), 10),
    Line("hardware_speed", "Decoder model, million deployments a second", _throughput("llm.genz_latency"), 0.5),
    Line("hardware_speed", "Dataflow model (Eyeriss), million designs a second", _throughput("dataflow.eyeriss"), 1),
    Line(
        "hashing", "Evaluations saved by functional hashing in 200 trials of evolution, median", _saved, 20, unit=" %"
    ),
    Line(
        "hashing",
        "Wrong collisions among pairs that collide",
        lambda c: 100 * c["functional_hash"]["false_collisions_share"],
        unit=" %",
    ),
    *(
        Line(
            "fptas",
            f"Sub-architecture extraction, {name}, {which}: instances within the bound",
            _kept(family, strided=strided),
            100,
            unit=" %",
        )
        for family, name in (("convex_decay", "smooth ridge family"), ("convex_kink", "sharp peak"))
        for strided, which in ((False, "every candidate trained"), (True, "every 2nd to 8th trained"))
    ),
    Line(
        "dram_proxy_stream",
        "Proxy of the DRAM simulator: error of latency, share of the mean",
        at("error", "latency_ns", "rmse_percent_of_mean"),
        1,
        at_most=True,
        unit=" %",
    ),
    Line(
        "dram_proxy_stream",
        "the same as a precomputed table of all designs, speed against the simulator (predicting directly: 78x)",
        at("times_faster"),
        unit="x",
    ),
    Line(
        "one_shot",
        "NAS-Bench-201, CIFAR-10 accuracy of the best recipe, mean of its seeds",
        at("summary", "best_recipe_cifar10_percent"),
        93.5,
        unit=" %",
    ),
    Line("one_shot", "the same, random cells", at("random_cells", "cifar10", "mean"), unit=" %"),
    Line(
        "one_shot",
        "Largest share of skips that DARTS-PT and PC-DARTS end with",
        at("summary", "largest_skip_share"),
        0.99,
        at_most=True,
    ),
    Line(
        "one_shot_darts_space",
        "DARTS space: relative improvement of a short search over random cells",
        at("relative_improvement", "percent"),
        unit=" %",
    ),
    Line(
        "one_shot_sharpness",
        "SD-DARTS: seeds of three with a lower largest eigenvalue, architecture parameters",
        _seeds_with_a_lower("architecture"),
        3,
    ),
    Line("one_shot_sharpness", "the same, shared weights", _seeds_with_a_lower("weights"), 3),
    Line(
        "one_shot_rarts",
        "RARTS step over a second-order step",
        at("rarts_over_second_order"),
        0.5,
        at_most=True,
        unit="x",
    ),
    Line(
        "one_shot_budget",
        "Latency targets met within 5 % when measured again, share of the runs",
        _runs_within,
        100,
        unit=" %",
    ),
    *(
        Line(
            "one_shot_ranking",
            f"Kendall's tau of inherited accuracy, 100 networks: {words}",
            at("methods", name, "kendall_tau"),
        )
        for name, words in RANKED
    ),
)


def verdict(value: float, target: float | None, at_most: bool) -> str:
    """Met, or missed by how much."""
    if target is None:
        return "no target"
    if value <= target if at_most else value >= target:
        return "met"
    if not math.isfinite(value):
        return "missed"
    return f"missed by {100 * abs(value - target) / abs(target):.0f} %"


def row(line: Line) -> str:
    """One line of the table."""
    path = RESULTS / f"{line.result}.json"
    bound = "" if line.target is None else f"{'at most' if line.at_most else 'at least'} {line.target:g}{line.unit}"
    if not path.exists():
        return f"| {line.what} | not measured | {bound} | | | `{line.command or line.result}` |"
    content = json.loads(path.read_text(encoding="utf-8"))
    command = content.get("command") or line.command
    value = line.read(content)
    load = content.get("load_average", content.get("machine", {}).get("load"))
    busy = "" if load is None else f"{load:.1f}"
    if value is None:
        return f"| {line.what} | not measured | {bound} | | {busy} | `{command}` |"
    said = verdict(value, line.target, line.at_most)
    return f"| {line.what} | {value:.4g}{line.unit} | {bound} | {said} | {busy} | `{command}` |"


def page() -> str:
    """The whole page."""
    table = "\n".join(
        ["| what | figure | target | | load | command |", "|---|---|---|---|---|---|", *(row(line) for line in LINES)]
    )
    known = {line.result for line in LINES}
    others = sorted(p.stem for p in RESULTS.glob("*.json") if p.stem not in known)
    more = "" if not others else (
        "\nWithout a line of their own: " + ", ".join(f"[{n}](../benchmarks/results/{n}.json)" for n in others) + ".\n"
    )  # fmt: skip
    load = (
        "\n`load` is the machine's load average when the figure was written; it has two cores, so figures of time with "
        "a load above two are noisy.\n"
    )
    return f"{HEAD}\n{table}\n{load}{more}"


def main() -> None:
    """Write or check the page."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true")
    if arguments.parse_args().check:
        if PAGE.read_text(encoding="utf-8") != page():
            raise SystemExit(f"{PAGE} is not what the results say; run python benchmarks/table.py")
        return
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
