"""Runs beside each other: `archwright compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from archwright.benchmarks.statistics import interval
from archwright.errors import ConfigurationError
from archwright.job.run import read_config
from archwright.job.setup import prepare
from archwright.search.problem import Problem
from archwright.search.result import SearchResult
from archwright.search.run import load_trials

BASELINE = "random (baseline)"


def print_comparison(folders: Sequence[Path], console: Console | None = None) -> None:
    """Print one row a run: strategy, seed, trials, feasible share, best of each goal, hypervolume, improvement.

    Runs of one strategy are summed up by mean and standard deviation; random baselines that runs carry are shown too.
    The relative improvement of each goal is that over the mean of all architectures that random runs have trained at
    full fidelity (Yang et al., 2020, "NAS evaluation is frustratingly hard", section 3), with a bootstrap interval over
    the runs of a strategy; it is left out, and said so, where no run is a random one.

    Raises:
        ConfigurationError: if the runs do not share data, space and goals.
        RunLogError: if a folder holds no run.
    """
    console = console or Console(highlight=False)
    configs = [read_config(f) for f in folders]
    first = configs[0]
    for folder, config in zip(folders, configs, strict=True):
        if (config.data, config.space, config.objectives()) != (first.data, first.space, first.objectives()):
            raise ConfigurationError(
                f"{folder} has other data, space or goals than {folders[0]}; compare runs of one problem"
            )
    setup = prepare(first)
    problem = Problem(setup.space, setup.objectives)
    rows: list[tuple[str, str, SearchResult]] = []
    for folder, config in zip(folders, configs, strict=True):
        result = load_trials(problem, folder)
        rows.append((str(result.provenance.get("strategy", config.strategy)), str(config.seed), result))
        if (folder / "checkpoint" / "random" / "trials.jsonl").exists():
            rows.append((BASELINE, str(config.seed), load_trials(problem, folder / "checkpoint" / "random")))
    losses = np.concatenate([r.losses[np.isfinite(r.losses).all(axis=1)] for _, _, r in rows])
    reference = losses.max(axis=0) if len(losses) else np.ones(len(problem.goals))
    average = _average_of_random(rows)
    console.print(_table(problem, rows, reference, average))
    if average is None:
        console.print("No random run among these, so no improvement over one; add --baseline to a run.", style="dim")


def _average_of_random(rows: Sequence[tuple[str, str, SearchResult]]) -> np.ndarray | None:
    """(goals,) mean loss of what random runs evaluated at full fidelity; None where there is nothing."""
    full = [
        result.losses[[t.candidate.fidelity >= 1.0 for t in result.trials]]
        for strategy, _, result in rows
        if strategy in ("random", BASELINE) and len(result.trials)
    ]
    known = [part[np.isfinite(part).all(axis=1)] for part in full]
    found = np.concatenate(known) if known else np.zeros((0, 1))
    return found.mean(axis=0) if len(found) else None


def _improvements(result: SearchResult, average: np.ndarray) -> list[float]:
    """RI = 100 (m - r) / r of each goal, positive where the run's best is better than random's average."""
    best = np.array([np.fmin.reduce(result.losses[:, g], initial=np.inf) for g in range(len(average))])
    gained = 100.0 * (average - best) / np.abs(average)
    return [float(v) if np.isfinite(v) else float("nan") for v in gained]


def _values(problem: Problem, result: SearchResult, reference: np.ndarray) -> list[float]:
    best = [float(result.curve(g)[-1]) if len(result.trials) else float("nan") for g in range(len(problem.goals))]
    history = result.hypervolume_history(reference)
    return [float(len(result.trials)), 100 * result.feasible_share, *best, float(history[-1]) if len(history) else 0.0]


def _table(
    problem: Problem,
    rows: Sequence[tuple[str, str, SearchResult]],
    reference: np.ndarray,
    average: np.ndarray | None,
) -> Table:
    table = Table(box=None, pad_edge=False)
    names = ("strategy", "seed", "trials", "feasible %", *(f"best {g.metric}" for g in problem.goals), "hypervolume")
    if average is not None:
        names += tuple(f"RI % {g.metric}" for g in problem.goals)
    for name in names:
        table.add_column(name, justify="left" if name in ("strategy", "seed") else "right")
    groups: dict[str, list[list[float]]] = {}
    for strategy, seed, result in rows:
        values = _values(problem, result, reference)
        values += [] if average is None else _improvements(result, average)
        groups.setdefault(strategy, []).append(values)
        table.add_row(strategy, seed, *(f"{v:.5g}" for v in values))
    for strategy, several in groups.items():
        if len(several) > 1:
            mean, spread = np.mean(several, axis=0), np.std(several, axis=0, ddof=1)
            cells = [f"{m:.5g} ± {s:.2g}" for m, s in zip(mean, spread, strict=True)]
            if average is not None:
                gained = np.array(several)[:, -len(average) :].T
                cells[-len(average) :] = ["{:.3g} [{:.3g}, {:.3g}]".format(*interval(g, np.mean)) for g in gained]
            table.add_row(strategy, f"{len(several)} seeds", *cells, style="bold")
    return table
