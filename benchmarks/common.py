"""What every benchmark writes beside its figures: the command, the machine and the versions."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

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
    result = {
        "command": "python " + " ".join([os.path.relpath(sys.argv[0], Path(__file__).parents[1]), *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "load_average": round(os.getloadavg()[0], 2),
        **figures,
    }
    text = json.dumps(result, indent=1)
    print(text)
    if write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(text + "\n")
