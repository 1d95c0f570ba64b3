"""From a run folder to report.html."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from archwright.costs.lut import LatencyTable
from archwright.job.config import RunConfig
from archwright.job.sparse import FILE
from archwright.nets.build import program_of
from archwright.report.collect import from_result, layer_costs
from archwright.report.data import Calibration, ReportData
from archwright.report.diagram import describe
from archwright.report.html import report
from archwright.search.problem import Problem
from archwright.search.result import SearchResult
from archwright.space import Architecture


def write_report(
    folder: str | Path,
    *,
    setup: Any = None,
    problem: Problem | None = None,
    result: SearchResult | None = None,
    baseline: SearchResult | None = None,
) -> Path:
    """Write report.html of a run; what is not given is read from the folder.

    Args:
        folder: of the run.
        setup: the job's, where it is at hand.
        problem: likewise.
        result: likewise.
        baseline: random search of equal length.

    Raises:
        RunLogError: if the folder holds no run.
    """
    from archwright.job.run import read_config
    from archwright.job.setup import prepare
    from archwright.search.run import load_trials

    folder = Path(folder)
    config = read_config(folder)
    setup = setup or prepare(config)
    problem = problem or Problem(setup.space, setup.objectives)
    result = result or load_trials(problem, folder)
    random = folder / "checkpoint" / "random"
    if baseline is None and (random / "trials.jsonl").exists():
        baseline = load_trials(problem, random)
    return report(_data(folder, config, setup, result, baseline), folder / "report.html")


def _data(
    folder: Path, config: RunConfig, setup: Any, result: SearchResult, baseline: SearchResult | None
) -> ReportData:
    kept = folder / "checkpoint"
    finalists = _json(kept / "finalists.json") or []
    chosen = next((f for f in finalists if f["chosen"]), None)
    trial = None if chosen is None else next(t for t in result.trials if t.number == chosen["number"])
    more: dict[str, Any] = {
        "space": config.space,
        "command": command_of(config),
        "settings": {"data": setup.task.name, "strategy": str(result.provenance.get("strategy", config.strategy))}
        | {
            k: str(getattr(config, k))
            for k in ("evaluation", "training", "budget", "seed", "workers", "backend", "threads", "batch")
        }
        | {
            f"without training, {words}": ", ".join(f"{m} {v:.4g}" for m, v in metrics.items())
            for words, metrics in setup.task.baselines().items()
        },
        "seconds": (_json(kept / "clock.json") or {}).get("seconds"),
        "calibrations": _calibrations(setup, finalists, kept),
        "missing": {
            "calibrations": "No limit or goal of this run is on latency."
            if not setup.latency
            else "No finalist was measured yet.",
            "curves": "No feasible trial was found.",
        },
    }
    random_masks = _json(kept / FILE)
    if random_masks is not None:
        more["settings"]["random masks"] = random_masks["line"]
    if chosen is not None and trial is not None:
        architecture = Architecture(setup.space, np.array(chosen["code"], dtype=np.int16))
        more |= {
            "predicted": chosen["predicted"],
            "measured": chosen["metrics"],
            "description": describe(architecture, setup.task.input_shape),
        }
        if (kept / "latency.json").exists():
            table = LatencyTable.load(kept / "latency.json", setup.space, setup.task.input_shape)
            more["layer_costs"] = layer_costs(table, program_of(architecture, setup.task.input_shape))
    return from_result(
        result, title=f"{setup.task.name}: {folder.name}", chosen=trial,
        baselines={} if baseline is None else {"random search": baseline}, **more,
    )  # fmt: skip


def _calibrations(setup: Any, finalists: list[dict[str, Any]], kept: Path) -> tuple[Calibration, ...]:
    """Predicted against measured latency: the table's unseen test networks, and the finalists."""
    found = []
    path = kept / "latency.json"
    table = LatencyTable.load(path, setup.space, setup.task.input_shape).report if path.exists() else None
    pairs = [
        (f["predicted"]["latency_ms"], f["metrics"]["latency_ms"], f"trial {f['number']}")
        for f in finalists
        if "latency_ms" in f["predicted"] and "latency_ms" in f["metrics"]
    ]
    if table is not None:
        pairs += [(p, m, "unseen network") for p, m in zip(table.predicted_ms, table.measured_ms, strict=True)]
    if pairs:
        predicted, measured, labels = zip(*pairs, strict=True)
        aside = "" if table is None else ", and networks kept aside when the table was made"
        found.append(
            Calibration("latency_ms", predicted, measured, labels, f"Finalists, measured after the search{aside}.")
        )
    return tuple(found)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def command_of(config: RunConfig) -> str:
    """The command line that repeats a run."""
    parts = ["archwright", "search"]
    for key, info in RunConfig.model_fields.items():
        value = getattr(config, key)
        if value == info.get_default(call_default_factory=True) or value is None:
            continue
        flag = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            parts.append(flag if value else f"--no-{key.replace('_', '-')}")
        elif isinstance(value, dict):
            parts += [x for k, v in value.items() for x in (flag, f"{k}={json.dumps(v)}")]
        elif isinstance(value, tuple):
            parts += [x for v in value for x in (flag, str(v))]
        else:
            parts += [flag, str(value)]
    return shlex.join(parts)
