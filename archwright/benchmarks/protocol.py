"""A comparison that is fair: same tables, same information, same seeds for every strategy, random search always there.

A query returns what one training gave; the incumbent is chosen by that and scored on the mean over seeds. Reported per
strategy and seed: regret after every query, queries until each regret threshold, engine seconds, simulated seconds.
Over seeds: medians with bootstrap intervals, relative improvement over the average of random architectures (Yang et
al., 2020, "NAS evaluation is frustratingly hard", section 3), and rank tests against random search.
"""

from __future__ import annotations

import ast
import inspect
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from archwright.benchmarks.listed import searched_space
from archwright.benchmarks.seeds import Spread, counted, in_turn, spread_over
from archwright.benchmarks.statistics import summary_of
from archwright.benchmarks.table import TableBenchmark, load
from archwright.errors import ConfigurationError
from archwright.evaluators.table import TableEvaluator, TableScores
from archwright.registry import get
from archwright.search.pareto import hypervolume_history
from archwright.search.problem import Objective, Problem
from archwright.search.trial import Strategy, Trial

THRESHOLDS = (2.0, 1.0, 0.5, 0.3, 0.2, 0.1, 0.0)
BASELINE = "random"
SIMULATED = "simulated_s"


@dataclass(frozen=True)
class Setting:
    """What is compared on.

    benchmark: a table; where it lists little of its space, only what it lists is searched. goals: metric -> True to
    maximize; the table's own goal by default. scores: strategies may read
    the table's zero-cost scores as cheap columns. queries: evaluations a run.
    """

    benchmark: TableBenchmark
    queries: int
    goals: Mapping[str, bool] = field(default_factory=dict)
    scores: bool = False

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The goals as objectives."""
        goals = self.goals or {self.benchmark.goal: self.benchmark.maximize}
        return tuple(Objective(m, "maximize" if up else "minimize") for m, up in goals.items())

    def problem(self) -> Problem:
        """A fresh problem whose evaluators look everything up."""
        evaluator = TableEvaluator(self.benchmark, tuple(o.metric for o in self.objectives))
        cheap = (TableScores(self.benchmark),) if self.scores else ()
        return Problem(searched_space(self.benchmark), self.objectives, (*cheap, evaluator))


@dataclass(frozen=True)
class Played:
    """One run: what was observed and what it is worth, query by query.

    observed, true: (queries, goals) losses, smaller is better. seconds: of the engine, without the table.
    simulated_s: (queries,) time at which each result is there.
    """

    observed: np.ndarray
    true: np.ndarray
    seconds: float
    simulated_s: np.ndarray


Make = Callable[[Problem, int], Strategy]  # (problem, seed) -> strategy


def maker(name: str, queries: int) -> Make:
    """How to build a strategy by its registered name; `optuna:tpe` and the like are Optuna's samplers.

    Raises:
        ConfigurationError: if the name is unknown.
    """
    if name.startswith("optuna:"):
        from archwright.bridges.optuna_strategy import sampler_strategy

        label = name.removeprefix("optuna:")
        sampler, given = parse_strategy(label) if "(" in label else (label, {})
        return lambda problem, seed: sampler_strategy(sampler, problem, seed=seed, options=given)
    name, options = parse_strategy(name)
    cls = get("strategies", name)
    if name == "auto":
        options = {"trials": queries, **options}
    if "lowest" in inspect.signature(cls).parameters and "lowest" not in options:
        return lambda problem, seed: cls(problem, seed=seed, lowest=_lowest(problem), **options)
    return lambda problem, seed: cls(problem, seed=seed, **options)


def _lowest(problem: Problem) -> float:
    """The smallest fidelity that the problem's table knows, for strategies that start low."""
    tables = [e.benchmark for e in problem.evaluators if isinstance(e, TableEvaluator)]
    return min([1.0, *(f for table in tables for f in table.fidelities)])


def parse_strategy(text: str) -> tuple[str, dict[str, Any]]:
    """Name and options of `regularized_evolution(population=20, sample=5)`.

    Raises:
        ConfigurationError: if the text is neither a name nor a name with literal keyword options.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, {}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            return node.func.id, {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}
        raise ValueError
    except (SyntaxError, ValueError):
        raise ConfigurationError(f"a strategy reads name or name(option=value, ...), got {text!r}") from None


def play(setting: Setting, make: Make, seed: int, *, until: float = -np.inf) -> Played:
    """Run one strategy on a table; repeated and lower-fidelity queries count like any other.

    Args:
        setting: what is searched.
        make: the strategy.
        seed: of the strategy.
        until: the run ends early with the ask that observed a loss as small as this, of the first goal.
    """
    table, objectives = setting.benchmark, setting.objectives
    problem = setting.problem()
    began = time.perf_counter()
    strategy = make(problem, seed)
    seconds = time.perf_counter() - began
    observed: list[np.ndarray] = []
    places: list[int] = []
    clock, at, lowest = 0.0, [], np.inf
    while len(observed) < setting.queries and lowest > until + 1e-6:
        began = time.perf_counter()
        wanted = min(max(1, int(getattr(strategy, "batch", 1))), setting.queries - len(observed))
        candidates = list(strategy.ask(wanted))
        seconds += time.perf_counter() - began
        if not candidates:
            break
        trials = []
        for candidate in candidates:
            row = table.rows(candidate.architecture.code[None])
            values = {o.metric: table.read(o.metric, row, fidelity=candidate.fidelity)[0] for o in objectives}
            full = candidate.fidelity >= 1.0
            loss = problem.losses_of({m: np.array([v]) for m, v in values.items()}, 1)[0]
            observed.append(loss if full else np.full(len(loss), np.nan))
            lowest = min(lowest, loss[0]) if full else lowest
            places.append(int(row[0]))
            spent = float(table.duration_s(row, candidate.fidelity)[0])
            clock += spent
            at.append(clock)
            state = "complete" if np.isfinite(loss).all() else "failed"
            known = {**values, SIMULATED: spent} if state == "complete" else {}
            trials.append(Trial(len(observed) - 1, candidate, state, known))  # type: ignore[arg-type]
        began = time.perf_counter()
        strategy.tell(trials)
        seconds += time.perf_counter() - began
    worth = {o.metric: table.read(o.metric, np.array(places, np.int64), true=True) for o in objectives}
    true = problem.losses_of(worth, len(places))
    return Played(np.array(observed).reshape(true.shape), true, seconds, np.array(at))


def regret_of(played: Played, best: float) -> np.ndarray:
    """(queries,) true regret of the incumbent by what was observed; NaN before the first result at full fidelity."""
    loss = np.where(np.isnan(played.observed[:, 0]), np.inf, played.observed[:, 0])
    lowest = np.minimum.accumulate(loss)
    new = np.append(True, loss[1:] < lowest[:-1]) & np.isfinite(loss)
    incumbent = np.maximum.accumulate(np.where(new, np.arange(len(loss)), -1))
    return np.where(incumbent >= 0, played.true[np.maximum(incumbent, 0), 0] - best, np.nan)


def queries_until(curve: np.ndarray, threshold: float) -> int | None:
    """Number of the first query (from 1) after which the curve is at most the threshold; None if it never is."""
    hit = np.flatnonzero(curve <= threshold + 1e-6)
    return int(hit[0]) + 1 if len(hit) else None


def hypervolume_of(played: Played, everything: np.ndarray) -> np.ndarray:
    """(queries,) share of the table's hypervolume that is dominated, in losses scaled to the table's range.

    Args:
        played: two or more goals.
        everything: (rows, goals) true losses of the whole table; the worst of each goal is the reference.
    """
    low, high = np.nanmin(everything, axis=0), np.nanmax(everything, axis=0)
    scaled = (played.true - low) / np.where(high > low, high - low, 1.0)
    reference = np.ones(scaled.shape[1])
    return hypervolume_history(scaled, reference) / table_hypervolume(everything)


def table_hypervolume(everything: np.ndarray) -> float:
    """Hypervolume of the table's own front, in losses scaled to its range."""
    from archwright.search.pareto import front_mask, hypervolume

    low, high = np.nanmin(everything, axis=0), np.nanmax(everything, axis=0)
    scaled = (everything[np.isfinite(everything).all(axis=1)] - low) / np.where(high > low, high - low, 1.0)
    return float(hypervolume(scaled[front_mask(scaled)], np.ones(scaled.shape[1])))


def compare_on(
    setting: Setting,
    strategies: Sequence[str],
    seeds: Sequence[int],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    spread: Spread = in_turn,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Play strategies on one table; random search is added if it is not among them.

    Args:
        setting: what is compared on.
        strategies: registered names, or `optuna:tpe` and the like.
        seeds: of the runs.
        thresholds: regrets in the unit of the goal.
        spread: how the seeds of a strategy are run; in other processes only with a registered table.
        progress: told one line a strategy, and now and then how far it is.

    Returns:
        What one entry of `results.json` holds.
    """
    table = setting.benchmark
    truth = truth_of(setting)
    names = list(dict.fromkeys([*strategies, BASELINE]))
    entry: dict[str, Any] = {
        "benchmark": table.name,
        "goals": [o.metric for o in setting.objectives],
        "queries": setting.queries,
        "scores": setting.scores,
        "seeds": list(seeds),
        "best": float(np.nanmin(truth[:, 0])) if truth.shape[1] == 1 else None,
        "mean_of_random": float(np.nanmean(truth[:, 0])),
        "strategies": {},
    }
    for name in names:
        found = spread(play_seed, seeds, (setting, name, tuple(thresholds)))
        runs = counted(found, len(seeds), f"{table.name} {name}", progress)
        entry["strategies"][name] = {"runs": runs}
        progress(f"{table.name} {name}: {len(runs)} seeds, {sum(r['engine_s'] for r in runs):.1f} engine s")
    summary_of(entry, BASELINE, thresholds)
    return entry


def truth_of(setting: Setting) -> np.ndarray:
    """(rows, goals) true losses of a whole table."""
    table, rows = setting.benchmark, np.arange(len(setting.benchmark.codes))
    values = {o.metric: table.read(o.metric, rows, true=True) for o in setting.objectives}
    return setting.problem().losses_of(values, len(rows))


def play_seed(seed: int, setting: Setting, strategy: str, thresholds: Sequence[float]) -> dict[str, Any]:
    """Play one strategy with one seed: what `results.json` says of it."""
    played = play(setting, maker(strategy, setting.queries), seed)
    return {"seed": seed, **_record(played, truth_of(setting), thresholds)}


def _record(played: Played, truth: np.ndarray, thresholds: Sequence[float]) -> dict[str, Any]:
    common = {"engine_s": played.seconds, "simulated_s": [round(t, 1) for t in played.simulated_s.tolist()]}
    if truth.shape[1] > 1:
        return {**common, "hypervolume": [round(v, 6) for v in hypervolume_of(played, truth).tolist()]}
    best = float(np.nanmin(truth[:, 0]))
    curve = regret_of(played, best)
    shown = [None if np.isnan(v) else round(v, 5) for v in curve.tolist()]
    return {**common, "regret": shown, "queries_until": {str(t): queries_until(curve, t) for t in thresholds}}


def bench(
    benchmarks: Sequence[str | TableBenchmark] | str,
    strategies: Sequence[str],
    *,
    seeds: int = 20,
    queries: int = 100,
    out: Path | str | None = None,
    goals: Mapping[str, bool] | None = None,
    scores: bool = False,
    thresholds: Sequence[float] = THRESHOLDS,
    workers: int = 1,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Compare strategies on tables.

    Args:
        benchmarks: registered names, or tables (`benchmarks/trained.py` makes one of a task).
        strategies: registered names, or `optuna:tpe`, `optuna:nsgaii`, `optuna:random`.
        seeds: how many, from 0.
        queries: evaluations a run.
        out: folder for `results.json` and `report.html`.
        goals: metric -> True to maximize; the table's goal by default. Several give hypervolumes in place of regrets.
        scores: let strategies read zero-cost scores where the table has them.
        thresholds: regrets in the unit of the goal.
        workers: processes that play seeds, each with one thread.
        progress: told one line a strategy, and now and then how far it is.

    Raises:
        ConfigurationError: if a name is unknown or a number is not positive.
    """
    if min(seeds, queries, workers) < 1:
        raise ConfigurationError(
            f"a comparison needs at least one seed, query and worker, got {seeds}, {queries} and {workers}"
        )
    names = [benchmarks] if isinstance(benchmarks, str) else list(benchmarks)
    for strategy in strategies:
        maker(strategy, queries)  # a wrong name is said before hours are spent
    tables = [load(name) for name in names]
    entries = []
    with spread_over(min(workers, seeds)) as spread:
        for table in tables:
            setting = Setting(table, queries, dict(goals or {}), scores and bool(table.features))
            entries.append(
                compare_on(setting, strategies, range(seeds), thresholds=thresholds, spread=spread, progress=progress)
            )
    results = {"version": 1, "baseline": BASELINE, "thresholds": list(thresholds), "benchmarks": entries}
    if out is not None:
        from archwright.benchmarks.report import html_of

        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
        (folder / "report.html").write_text(html_of(results), encoding="utf-8")
    return results


def bench_command(
    benchmark: str,
    strategy: str,
    *,
    seeds: int = 20,
    queries: int = 100,
    out: Path | str = "bench",
    maximize: Sequence[str] = (),
    minimize: Sequence[str] = (),
    scores: bool = False,
    workers: int = 1,
    progress: Callable[[str], None] = print,
) -> Path:
    """What `archwright bench` runs: names separated by commas, `results.json` and `report.html` in a folder.

    Args:
        benchmark: `nasbench201-cifar10,nasbench-macro`.
        strategy: `auto,random` or with options, `nsga2(population=20),optuna:tpe`.
        seeds: how many.
        queries: evaluations a run.
        out: folder.
        maximize: metrics, where not the table's own goal.
        minimize: metrics.
        scores: let strategies read zero-cost scores.
        workers: processes that play seeds.
        progress: told one line a strategy, and now and then how far it is.

    Returns:
        The folder.

    Raises:
        ConfigurationError: if a name is unknown.
    """
    goals = {**dict.fromkeys(maximize, True), **dict.fromkeys(minimize, False)}
    bench(
        split_names(benchmark), split_names(strategy), seeds=seeds, queries=queries, out=out, goals=goals,
        scores=scores, workers=workers, progress=progress,
    )  # fmt: skip
    return Path(out)


def split_names(text: str) -> list[str]:
    """Names separated by commas; commas inside brackets separate nothing.

    >>> split_names("auto, nsga2(population=20, crossover=0.8)")
    ['auto', 'nsga2(population=20, crossover=0.8)']
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]
