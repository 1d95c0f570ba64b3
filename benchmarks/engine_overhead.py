"""What a trial costs when nothing is evaluated: ask, log, tell; against Optuna in the same process.

1. Log: NSGA-II on 20 five-way decisions, 100,000 trials into a run folder; Optuna's journal storage with its NSGA-II
   sampler of the same population, fewer trials (its cost a trial grows with their number, so this favours it).
2. Memory: 10,000 trials of regularized evolution and NSGA-II on a table of 6 five-way decisions; Optuna's NSGA-II in
   memory for the same number of trials. Ours run in every pause of the peer's trials, so that a change of the machine's
   load meets all of them, and the median of each counts.

Run with one thread: OMP_NUM_THREADS=1 python benchmarks/engine_overhead.py
Prints JSON and writes benchmarks/results/engine_overhead.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from archwright.search.budget import Budget
from archwright.search.problem import Objective, Problem
from archwright.search.run import run
from archwright.space import Space, oneof

OPTIONS, POPULATION = 5, 100
PAUSES = 4  # of the peer


class Nothing:
    """Two numbers that cost next to nothing."""

    metrics = ("error_percent", "params_m")
    deterministic = True
    batched = True

    def evaluate(self, architectures: Any, *, fidelity: float = 1.0, seed: int = 0) -> dict[str, np.ndarray]:
        codes = architectures.codes
        return {"error_percent": codes.sum(axis=1), "params_m": -codes[:, 0].astype(float)}


class Table:
    """A look-up in a table of random numbers, one for each of 5^6 architectures."""

    metrics = ("error_percent",)
    deterministic = True
    batched = True

    def __init__(self, decisions: int) -> None:
        self.values = np.random.default_rng(0).random(OPTIONS**decisions)
        self.weights = OPTIONS ** np.arange(decisions)

    def evaluate(self, architectures: Any, *, fidelity: float = 1.0, seed: int = 0) -> dict[str, np.ndarray]:
        return {"error_percent": self.values[architectures.codes @ self.weights]}


def space(decisions: int) -> Space:
    return Space({f"d{i}": oneof(*range(OPTIONS)) for i in range(decisions)})


def clock(*works: Callable[[], Any], between: Callable[[], Any] | None = None) -> dict[str, float]:
    """Wall and processor seconds of some calls, without what is called between them."""
    spent = np.zeros(2)
    for i, work in enumerate(works):
        if i and between is not None:
            between()
        began = np.array([time.perf_counter(), time.process_time()])
        work()
        spent += np.array([time.perf_counter(), time.process_time()]) - began
    return {"wall_s": float(spent[0]), "cpu_s": float(spent[1])}


def logged(trials: int) -> dict[str, Any]:
    """Our 100,000 trials into a folder; microseconds a trial for the first, all, and last tenth."""
    problem = Problem(space(20), (Objective("error_percent"), Objective("params_m")), (Nothing(),))
    marks = [(0, time.process_time(), time.perf_counter())]

    def mark(new: Any, progress: Any) -> None:
        marks.append((len(progress.trials), time.process_time(), time.perf_counter()))

    with tempfile.TemporaryDirectory() as folder:
        total = clock(lambda: run(problem, "nsga2", Budget(trials=trials), Path(folder), callbacks=[mark]))
        size = (Path(folder) / "trials.jsonl").stat().st_size
    at = np.array(marks)
    tenth = trials // 10
    first, last = int(np.searchsorted(at[:, 0], tenth)), int(np.searchsorted(at[:, 0], trials - tenth))
    cpu = np.array([at[first, 1] - at[0, 1], at[-1, 1] - at[last, 1]]) / tenth * 1e6
    wall = np.array([at[first, 2] - at[0, 2], at[-1, 2] - at[last, 2]]) / tenth * 1e6
    return {
        "trials": trials,
        "us_per_trial_wall": total["wall_s"] / trials * 1e6,
        "us_per_trial_cpu": total["cpu_s"] / trials * 1e6,
        "first_tenth_us_wall": wall[0],
        "last_tenth_us_wall": wall[1],
        "last_over_first_wall": wall[1] / wall[0],
        "last_over_first_cpu": cpu[1] / cpu[0],
        "log_bytes_per_trial": size / trials,
    }


def optuna_trials(
    trials: int, decisions: int, goals: int, *, journal: bool, between: Callable[[], Any] | None = None, parts: int = 1
) -> dict[str, float]:
    """Optuna's NSGA-II, ask and tell, values from the parameters; in parts with something else between them."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = None
        if journal:
            backend = optuna.storages.journal.JournalFileBackend(str(Path(folder) / "journal.log"))
            storage = optuna.storages.JournalStorage(backend)
        sampler = optuna.samplers.NSGAIISampler(seed=0, population_size=POPULATION)
        study = optuna.create_study(storage=storage, sampler=sampler, directions=["minimize"] * goals)
        names, options = [f"d{i}" for i in range(decisions)], list(range(OPTIONS))

        def work() -> None:
            for _ in range(trials // parts):
                trial = study.ask()
                code = [trial.suggest_categorical(name, options) for name in names]
                study.tell(trial, [float(sum(code)), float(-code[0])][:goals])

        spent = clock(*[work] * parts, between=between)
    return {
        "trials": trials,
        "us_per_trial_wall": spent["wall_s"] / trials * 1e6,
        "us_per_trial_cpu": spent["cpu_s"] / trials * 1e6,
    }


def in_memory(name: str, trials: int, batch: int | None) -> dict[str, float]:
    problem = Problem(space(6), (Objective("error_percent"),), (Table(6),))
    spent = clock(lambda: run(problem, name, Budget(trials=trials), batch=batch))
    return {"us_per_trial_wall": spent["wall_s"] / trials * 1e6, "us_per_trial_cpu": spent["cpu_s"] / trials * 1e6}


def memory_part(trials: int) -> dict[str, Any]:
    """Our strategies, each once in every pause of the peer."""
    ours = {
        "nsga2": ("nsga2", None),
        "nsga2, asked one by one": ("nsga2", 1),
        "regularized_evolution, asked one by one": ("regularized_evolution", 1),
        "regularized_evolution": ("regularized_evolution", None),
    }
    spent: dict[str, list[float]] = {label: [] for label in ours}

    def pause() -> None:
        for label, (name, batch) in ours.items():
            spent[label].append(in_memory(name, trials, batch)["us_per_trial_cpu"])

    peer = optuna_trials(trials, 6, 1, journal=False, between=pause, parts=PAUSES + 1)
    return {
        "trials": trials,
        "optuna_nsga2": peer,
        "archwright_us_per_trial_cpu": spent,
        "optuna_over_archwright": {k: peer["us_per_trial_cpu"] / float(np.median(v)) for k, v in spent.items()},
        "target": "at least 50",
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--journal-trials", type=int, default=2_000)
    parser.add_argument("--memory-trials", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "engine_overhead.json")
    parser.add_argument("--only", choices=("log", "memory"), help="the other part is kept as it was")
    given = parser.parse_args()
    logged(2_000)  # imports and first calls
    result = json.loads(given.out.read_text()) if given.only and given.out.exists() else {}
    result["machine"] = {"python": platform.python_version(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    if given.only != "memory":
        ours, journal = logged(given.trials), optuna_trials(given.journal_trials, 20, 2, journal=True)
        result["log"] = {
            "archwright": ours,
            "optuna_journal": journal,
            "optuna_over_archwright": journal["us_per_trial_cpu"] / ours["us_per_trial_cpu"],
            "target": "at least 20; last over first at most 1.2",
        }
    if given.only != "log":
        result["memory"] = memory_part(given.memory_trials)
    text = json.dumps(result, indent=2, default=float)
    print(text)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
