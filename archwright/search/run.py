"""One call for a whole run: strategy, budget, folder, result. The open loop (`ask`, `tell`) stays the primitive.

A run folder that already holds a log is continued: the log is replayed through a fresh strategy first. With
deterministic evaluators and a budget in trials, an interrupted run that is continued ends with exactly the trials of an
uninterrupted one.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from archwright.errors import ConfigurationError, RunLogError
from archwright.registry import get
from archwright.search.budget import Budget
from archwright.search.engine import Callback, Engine
from archwright.search.executor import Executor, InProcess
from archwright.search.log import FILE, LoggedTrial, RunLog, read_log, replace_file
from archwright.search.measure import in_order
from archwright.search.problem import Problem
from archwright.search.result import SearchResult
from archwright.search.trial import Candidate, Strategy, Trial
from archwright.space.architecture import Architecture


def run(
    problem: Problem,
    strategy: str | Strategy,
    budget: Budget | str,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    callbacks: Sequence[Callback] = (),
    *,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    batch: int | None = None,
    config: Mapping[str, Any] | None = None,
) -> SearchResult:
    """Search until the budget is spent, and start where the folder's log ends if it has one.

    Args:
        problem: what is searched, with its evaluators.
        strategy: a registered name, or a fresh instance (its seed and options are then its own).
        budget: for example `Budget(trials=200)` or "2m".
        folder: run folder; without one nothing is written.
        executor: where evaluations run; in this process by default.
        callbacks: called with (new trials, progress) as trials finish.
        seed: of the strategy (if given by name) and of the evaluations.
        options: keyword arguments of the strategy, if given by name.
        batch: candidates an ask; by default what the strategy says, at least one a worker.
        config: anything that belongs into `manifest.json`, as JSON values.

    Raises:
        ConfigurationError: if the problem has no evaluator, or an argument does not fit.
        RunLogError: if the folder is in use, cannot be written, or holds another run.
    """
    if not problem.evaluators:
        raise ConfigurationError("run needs a problem with at least one evaluator, got none")
    if batch is not None and batch < 1:
        raise ConfigurationError(f"batch is at least 1, got {batch}")
    budget = Budget.parse(budget) if isinstance(budget, str) else budget
    executor = InProcess() if executor is None else executor
    name, strategy = _strategy(problem, strategy, seed, options)
    header = _header(problem, name, seed, options or {}, executor)
    path = None if folder is None else Path(folder)
    log = None if path is None else RunLog(path, header)
    try:
        if log is not None:
            _check_header(log, header)
        manifest = _manifest(header, budget, config, path)
        _prepare(problem, path)
        engine = Engine(
            problem, strategy, budget, executor=executor, seed=seed, log=log, batch=batch, callbacks=callbacks
        )
        if log is not None:
            engine.replay(log.content.events)
        executor.start(problem)
        progress = engine.run()
        if log is not None:
            log.sync()
        manifest["ended_by"], manifest["seconds"] = progress.stopped_by, round(progress.seconds, 3)
        result = SearchResult(problem, tuple(progress.trials), manifest, progress.cache_hits, path)
        if path is not None:
            result.to_csv(path / "pareto.csv")
            replace_file(path / "manifest.json", json.dumps(manifest, indent=2) + "\n")
        return result
    finally:
        executor.close()
        if log is not None:
            log.close()


def load_trials(problem: Problem, folder: str | Path) -> SearchResult:
    """The result of a run as far as its log goes, without running or locking anything.

    Raises:
        RunLogError: if there is no log, it is damaged, or it is of another space.
    """
    path = Path(folder)
    content = read_log(path / FILE)
    if content.header.get("space") != problem.space.digest:
        raise RunLogError(
            f"the run in {path} searched another space than this problem's; load the space it was run with"
        )
    trials = []
    for e in content.events:
        if isinstance(e, LoggedTrial):
            code = np.array(e.code, np.int16)
            code.flags.writeable = False
            candidate = Candidate(Architecture(problem.space, code), e.fidelity, e.resume_from)
            trials.append(Trial(e.number, candidate, e.state, e.metrics, e.seconds, e.error, e.at_s, e.simulated_at_s))
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        manifest = dict(content.header)
    return SearchResult(problem, tuple(trials), manifest, folder=path)


def _strategy(
    problem: Problem, strategy: str | Strategy, seed: int, options: Mapping[str, Any] | None
) -> tuple[str, Strategy]:
    if not isinstance(strategy, str):
        if options:
            raise ConfigurationError("options belong to a strategy given by name; an instance has its own already")
        return str(getattr(strategy, "name", type(strategy).__name__)), strategy
    make: Callable[..., Strategy] = get("strategies", strategy)
    try:
        return strategy, make(problem, seed=seed, **(options or {}))
    except TypeError as error:
        raise ConfigurationError(f"the strategy {strategy!r} does not take {dict(options or {})}: {error}") from error


def _header(
    problem: Problem, strategy: str, seed: int, options: Mapping[str, Any], executor: Executor
) -> dict[str, Any]:
    return {
        "space": problem.space.digest,
        "objectives": [{k: v for k, v in vars(o).items() if v is not None} for o in problem.objectives],
        "evaluators": [type(e).__name__ for e in in_order(problem.evaluators)],
        "strategy": strategy,
        "options": {k: v if isinstance(v, int | float | str | None) else repr(v) for k, v in options.items()},
        "seed": seed,
        "asynchronous": executor.asynchronous,
    }


def _check_header(log: RunLog, header: Mapping[str, Any]) -> None:
    """Compare the run that is asked for with the one in the folder."""
    for key, value in json.loads(json.dumps(header)).items():
        there = log.content.header.get(key)
        if there != value:
            raise RunLogError(
                f"{log.path.parent} holds another run: its {key} is {there!r}, now it is {value!r}; "
                f"resume it with its own settings, or give another folder"
            )


def _prepare(problem: Problem, folder: Path | None) -> None:
    checkpoint = None if folder is None else folder / "checkpoint"
    for evaluator in in_order(problem.evaluators):
        prepare = getattr(evaluator, "prepare", None)
        if prepare is not None:
            if checkpoint is not None:
                checkpoint.mkdir(exist_ok=True)
            prepare(checkpoint)


def _manifest(
    header: Mapping[str, Any], budget: Budget, config: Mapping[str, Any] | None, folder: Path | None
) -> dict[str, Any]:
    """What is needed to repeat the run; written at once, and again at its end."""
    manifest: dict[str, Any] = {
        **header,
        "budget": {k: v for k, v in vars(budget).items() if v is not None},
        "config": dict(config or {}),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "threads": os.environ.get("OMP_NUM_THREADS", "default")},
        "git": _git(),
    }
    if folder is not None:
        path = folder / "manifest.json"
        if path.exists():  # a resumed run keeps its start and lists what it was continued with
            try:
                before = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                before = {}
            again = {k: manifest[k] for k in ("started", "versions", "machine", "git", "budget")}
            manifest["started"] = before.get("started", manifest["started"])
            manifest["resumed"] = [*before.get("resumed", []), again]
        replace_file(path, json.dumps(manifest, indent=2) + "\n")
    return manifest


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "numpy": np.__version__}
    for package in ("archwright", "torch"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "")


def _git() -> dict[str, Any] | None:
    """Commit of the folder of the main script, and whether it had changes; None where there is no repository."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    here = Path(main).resolve().parent if main else Path.cwd()
    try:
        commit, status = (
            subprocess.run(["git", *a], cwd=here, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
            for a in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": bool(status)}
