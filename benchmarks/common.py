"""What every benchmark writes beside its figures: the command, the machine and the versions."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """Processor, cores and versions."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    versions = {n: importlib.metadata.version(n) for n in ("archwright", "torch", "numpy")}
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def finish(name: str, figures: dict[str, Any], *, write: bool = True) -> None:
    """Print the figures and write them to `results/NAME.json`."""
    text = json.dumps(described(figures), indent=1)
    print(text)
    if write:
        _write(name, text)


def in_parts(name: str, parts: Mapping[str, Callable[[], Any]], only: str | None) -> dict[str, Any]:
    """Figures of all parts, or of one of them beside what `results/NAME.json` holds of the others."""
    path = RESULTS / f"{name}.json"
    known = json.loads(path.read_text()) if only and path.exists() else {}
    return {
        part: measure() if only in (None, part) else known[part]
        for part, measure in parts.items()
        if only in (None, part) or part in known
    }


def write(name: str, figures: dict[str, Any]) -> None:
    """Write figures to `results/NAME.json`; long runs do so after every part."""
    _write(name, json.dumps(described(figures), indent=1))


def joined(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `results/NAME.json` holds if it is of these settings, else the settings alone; processes share the file."""
    path = RESULTS / f"{name}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    settings = json.loads(json.dumps(settings))
    return known if known.get("settings") == settings else {"settings": settings}


def ahead(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, Any]:
    """Mean of `first` less `second` over the seeds that both have, with Student's interval at 95 %."""
    seeds = sorted(set(first) & set(second))
    gaps = np.array([first[s] - second[s] for s in seeds])
    found: dict[str, Any] = {"seeds": len(seeds)}
    if len(seeds):
        found["mean"] = round(float(gaps.mean()), 3)
    if len(seeds) > 1:
        ends = stats.t.interval(0.95, len(seeds) - 1, gaps.mean(), stats.sem(gaps)) if gaps.std() else [gaps[0]] * 2
        found["interval"] = [round(float(v), 3) for v in ends]
    return found


def shown(argument: str) -> str:
    """An argument as it is written down: a path of this machine becomes a word for what it was."""
    if not argument.startswith("/"):
        return argument
    return "PEERS" if "python" in Path(argument).name else "FOLDER"


def described(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures with the command, the machine and its load."""
    return {
        "command": "python "
        + " ".join([os.path.relpath(sys.argv[0], Path(__file__).parents[1]), *map(shown, sys.argv[1:])]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "load_average": round(os.getloadavg()[0], 2),
        **figures,
    }


def _write(name: str, text: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
