"""Runs beside each other: `archwright compare`.

All of it comes from the runs' logs, so that no data or space is loaded and runs of the main job, of `archwright.run`
and of searches over a space made in Python can be compared alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from archwright.benchmarks.statistics import interval
from archwright.errors import ConfigurationError
from archwright.job.config import read_toml
from archwright.search.log import FILE, LoggedTrial, read_log
from archwright.search.pareto import hypervolume_history
from archwright.search.problem import Objective

BASELINE = "random (baseline)"


@dataclass(frozen=True)
class Logged:
    """What a run's log says of its n trials.

    losses: (n, goals), smaller is better; NaN where a trial is not complete. complete, full: (n,) bool, within all
    limits and at full fidelity.
    """

    strategy: str
    seed: str
    goals: tuple[Objective, ...]
    losses: np.ndarray
    complete: np.ndarray
    full: np.ndarray

    @property
    def least(self) -> np.ndarray:
        """(goals,) best loss of each; infinite where there is none."""
        return np.asarray(np.fmin.reduce(self.losses, axis=0, initial=np.inf))


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
    headers = [read_log(Path(f) / FILE).header for f in folders]
    for folder, header in zip(folders, headers, strict=True):
        if _problem_of(folder, header) != _problem_of(folders[0], headers[0]):
            raise ConfigurationError(
                f"{folder} has other data, space or goals than {folders[0]}; compare runs of one problem"
            )
    rows: list[Logged] = []
    for folder in map(Path, folders):
        rows.append(_logged(folder))
        if (folder / "checkpoint" / "random" / FILE).exists():
            rows.append(_logged(folder / "checkpoint" / "random", BASELINE))
    known = np.concatenate([r.losses[np.isfinite(r.losses).all(axis=1)] for r in rows])
    reference = known.max(axis=0) if len(known) else np.ones(len(rows[0].goals))
    average = _average_of_random(rows)
    console.print(_table(rows, reference, average))
    if average is None:
        console.print("No random run among these, so no improvement over one; add --baseline to a run.", style="dim")


def _problem_of(folder: Path, header: Mapping[str, Any]) -> tuple[Any, ...]:
    """What runs that are compared have to share; runs of the main job say their data as well."""
    config = Path(folder) / "run.toml"
    data = read_toml(config).get("data") if config.is_file() else None
    return header["space"], header["objectives"], data


def _logged(folder: Path, strategy: str | None = None) -> Logged:
    content = read_log(folder / FILE)
    objectives = [Objective(**o) for o in content.header["objectives"]]
    goals = tuple(o for o in objectives if o.goal != "limit")
    trials = [e for e in content.events if isinstance(e, LoggedTrial)]
    losses = np.full((len(trials), len(goals)), np.nan)
    for i, trial in enumerate(trials):
        for j, goal in enumerate(goals if trial.state == "complete" else ()):
            value = trial.metrics.get(goal.metric, np.nan)
            losses[i, j] = value if goal.goal == "minimize" else -value
    return Logged(
        strategy or str(content.header["strategy"]),
        str(content.header["seed"]),
        goals,
        losses,
        complete=np.array([t.state == "complete" for t in trials], dtype=bool),
        full=np.array([t.fidelity >= 1.0 for t in trials], dtype=bool),
    )


def _average_of_random(rows: Sequence[Logged]) -> np.ndarray | None:
    """(goals,) mean loss of what random runs evaluated at full fidelity; None where there is nothing."""
    full = [r.losses[r.full] for r in rows if r.strategy in ("random", BASELINE)]
    known = [part[np.isfinite(part).all(axis=1)] for part in full]
    found = np.concatenate(known) if known else np.zeros((0, 1))
    return found.mean(axis=0) if len(found) else None


def _improvements(run: Logged, average: np.ndarray) -> list[float]:
    """RI = 100 (m - r) / r of each goal, positive where the run's best is better than random's average."""
    gained = 100.0 * (average - run.least) / np.abs(average)
    return [float(v) if np.isfinite(v) else float("nan") for v in gained]


def _values(run: Logged, reference: np.ndarray) -> list[float]:
    """Trials, feasible share in percent, best value of each goal, hypervolume."""
    signs = np.array([1.0 if g.goal == "minimize" else -1.0 for g in run.goals])
    best = np.where(np.isfinite(run.least), signs * run.least, np.nan)
    history = hypervolume_history(run.losses, reference)
    volume, share = (float(history[-1]), float(run.complete.mean())) if len(history) else (0.0, 0.0)
    return [float(len(run.losses)), 100 * share, *best.tolist(), volume]


def _table(rows: Sequence[Logged], reference: np.ndarray, average: np.ndarray | None) -> Table:
    table = Table(box=None, pad_edge=False)
    goals = rows[0].goals
    names = ("strategy", "seed", "trials", "feasible %", *(f"best {g.metric}" for g in goals), "hypervolume")
    if average is not None:
        names += tuple(f"RI % {g.metric}" for g in goals)
    for name in names:
        table.add_column(name, justify="left" if name in ("strategy", "seed") else "right")
    groups: dict[str, list[list[float]]] = {}
    for run in rows:
        values = _values(run, reference)
        values += [] if average is None else _improvements(run, average)
        groups.setdefault(run.strategy, []).append(values)
        table.add_row(run.strategy, run.seed, *(f"{v:.5g}" for v in values))
    for strategy, several in groups.items():
        if len(several) > 1:
            mean, spread = np.mean(several, axis=0), np.std(several, axis=0, ddof=1)
            cells = [f"{m:.5g} ± {s:.2g}" for m, s in zip(mean, spread, strict=True)]
            if average is not None:
                gained = np.array(several)[:, -len(average) :].T
                cells[-len(average) :] = ["{:.3g} [{:.3g}, {:.3g}]".format(*interval(g, np.mean)) for g in gained]
            table.add_row(strategy, f"{len(several)} seeds", *cells, style="bold")
    return table
