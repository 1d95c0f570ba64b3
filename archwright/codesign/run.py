"""A co-design run from its configuration to its report; the run folder is that of any search.

Beside the run log it holds `best/design.json` (metrics, sub-accelerators, where every layer runs), the networks of the
best design as `best/TASK.json`, and trained supernets under `checkpoint/`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archwright.codesign.config import CoDesignConfig, check, to_toml
from archwright.codesign.design import CoDesign
from archwright.codesign.joint import described, hardware_of, network_codes
from archwright.codesign.setup import Setup, prepare
from archwright.errors import ConfigurationError, RunLogError
from archwright.job.config import read_toml
from archwright.job.progress import Progress
from archwright.registry import get
from archwright.search.budget import Budget
from archwright.search.log import replace_file
from archwright.search.result import SearchResult
from archwright.search.run import run
from archwright.search.trial import Trial
from archwright.space import Architecture


@dataclass(frozen=True)
class CoDesignResult:
    """What a run hands over: its folder, all trials, and whether the best design keeps every limit."""

    folder: Path
    result: SearchResult
    feasible: bool


def run_codesign(config: CoDesignConfig, *, start: float | None = None, quiet: bool = False) -> CoDesignResult:
    """Run in a new folder.

    Raises:
        ConfigurationError: if something cannot be done, before work starts.
        RunLogError: if the folder holds a run already or is in use.
    """
    folder = Path(config.out or Path("runs") / time.strftime("%Y%m%d-%H%M%S"))
    if (folder / "run.toml").exists():
        raise RunLogError(
            f"{folder} holds a run already: archwright codesign {folder} continues it, or choose another --out"
        )
    return _run(config, folder, Progress(start, quiet=quiet))


def resume_codesign(folder: Path, *, budget: str | None = None, quiet: bool = False) -> CoDesignResult:
    """Continue a run that was stopped, or one that ended under a larger budget.

    Raises:
        RunLogError: if the folder holds no co-design run or is in use.
    """
    config = read_config(folder)
    if budget is not None:
        config = check({**config.model_dump(), "budget": budget}, "--budget")
    return _run(config, Path(folder), Progress(quiet=quiet))


def is_codesign(folder: Path) -> bool:
    """Whether a run folder holds a co-design run."""
    path = Path(folder) / "run.toml"
    return path.is_file() and "tasks" in read_toml(path)


def read_config(folder: Path) -> CoDesignConfig:
    """The configuration that a run folder keeps.

    Raises:
        RunLogError: if it holds no co-design run.
    """
    if not is_codesign(folder):
        raise RunLogError(f"{folder} holds no co-design run; start one with: archwright codesign run.toml")
    path = Path(folder) / "run.toml"
    return check(read_toml(path), str(path))


def _run(config: CoDesignConfig, folder: Path, progress: Progress) -> CoDesignResult:
    progress.say(f"tasks {', '.join(config.tasks)}, budget {config.budget}, seed {config.seed}, folder {folder}")
    setup = prepare(config)
    budget = Budget.parse(config.budget)
    try:
        (folder / "checkpoint").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make the run folder {folder}: {error.strerror}; choose another --out"
        ) from error
    replace_file(folder / "run.toml", to_toml(setup.config))
    for supernet in setup.supernets:
        with progress.stage(f"supernet of the task {supernet.name}"):
            supernet.train(folder / "checkpoint", progress.update)
    with progress.stage(f"search of {_size(setup.space.size())} joint designs with {config.strategy}"):
        result = run(
            setup.problem, strategy_of(setup), budget, folder, callbacks=(_shown(setup, progress),), seed=config.seed,
            config=config.model_dump(mode="json"),
        )  # fmt: skip
    best = result.best
    _hand_over(setup, folder, best)
    from archwright.codesign.report import write_report

    path = write_report(folder, setup=setup, result=result)
    words = "every limit holds" if result.feasible else "NO design keeps every limit; this one is nearest"
    progress.say(f"best design: {_line(setup, best)}; {words}", style="bold")
    for part in described(setup.space, best.candidate.architecture.code):
        progress.say(f"  {part}")
    progress.say(f"  {folder / 'best'}")
    progress.say(f"  {path}")
    return CoDesignResult(folder, result, result.feasible)


def _size(size: int) -> str:
    return f"{size:,}" if size < 10**7 else f"{float(size):.2e}"


def strategy_of(setup: Setup) -> Any:
    """A fresh strategy as the configuration says.

    Raises:
        ConfigurationError: if the strategy does not take its options.
    """
    from archwright.codesign.strategy import JointEvolution

    c = setup.config
    try:
        if c.strategy == "joint":
            known = setup.accurate() if c.start == "accurate" else {}
            return JointEvolution(setup.problem, seed=c.seed, known=known, **c.strategy_options)
        return get("strategies", c.strategy)(setup.problem, seed=c.seed, **c.strategy_options)
    except TypeError as error:
        raise ConfigurationError(
            f"the strategy {c.strategy!r} does not take {dict(c.strategy_options)}: {error}"
        ) from error


def _shown(setup: Setup, progress: Progress) -> Any:
    goal = setup.problem.goals[0]
    seen: list[float] = []

    def show(trials: Sequence[Trial], state: Any) -> None:
        losses = setup.problem.losses(trials)[:, 0]
        seen.extend(float(x) for t, x in zip(trials, losses, strict=True) if t.state == "complete")
        sign = 1.0 if goal.goal == "minimize" else -1.0
        best = f"{sign * min(seen):.4g}" if seen else "none yet"
        progress.update(f"best {goal.metric} {best}, {len(state.trials)} trials, {state.feasible} within the limits")

    return show


def _line(setup: Setup, trial: Trial) -> str:
    shown = dict.fromkeys([*(o.metric for o in setup.problem.objectives), "latency_ms", "energy_mj", "area_mm2"])
    return ", ".join(f"{m} {trial.metrics[m]:.4g}" for m in shown if m in trial.metrics)


def design_of(setup: Setup, cost: CoDesign, trial: Trial) -> dict[str, Any]:
    """A design as JSON values: metrics, sub-accelerators, and the layers of each network with their times."""
    code = np.asarray(trial.candidate.architecture.code)[None]
    hardware = {name: v[0].tolist() for name, v in hardware_of(setup.space, code).items()}
    times, energies = cost.layer_costs(code)
    placed = cost.schedule(code).placed[0] if np.isfinite(times).any() else np.full(times.shape[1:3], -1)
    networks = {}
    for k, (task, space) in enumerate(setup.tasks.items()):
        own = network_codes(setup.space, setup.tasks, code, task)[0]
        rows = [i for i in range(times.shape[2]) if placed[k, i] >= 0]
        layers = cost.layers(code[0], task)
        networks[task] = {
            "code": own.tolist(),
            "layers": [
                {
                    "layer": layers[i].name,
                    "accelerator": int(placed[k, i]),
                    "latency_ms": float(times[0, k, i, placed[k, i]]),
                    "energy_mj": float(energies[0, k, i, placed[k, i]]),
                }
                for i in rows
            ],
            "architecture": json.loads(Architecture(space, own).to_json()),
        }
    return {
        "trial": trial.number,
        "metrics": dict(trial.metrics),
        "accelerators": [{n: hardware[n][k] for n in hardware} for k in range(len(hardware["pes"]))],
        "networks": networks,
    }


def _hand_over(setup: Setup, folder: Path, best: Trial) -> None:
    (folder / "best").mkdir(exist_ok=True)
    design = design_of(setup, setup.cost, best)
    for task, network in design["networks"].items():
        replace_file(folder / "best" / f"{task}.json", json.dumps(network.pop("architecture")) + "\n")
    replace_file(folder / "best" / "design.json", json.dumps(design, indent=1) + "\n")
