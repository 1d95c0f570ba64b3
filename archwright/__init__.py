"""archwright finds the best neural network under a budget and hands it over trained, verified and exported.

The names below are imported on first use, so that `import archwright` stays fast and does not import torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_NAMES = {
    "oneof": "archwright.space",
    "between": "archwright.space",
    "geometric": "archwright.space",
    "subset": "archwright.space",
    "repeat": "archwright.space",
    "Space": "archwright.space",
    "Architecture": "archwright.space",
    "Objective": "archwright.search.problem",
    "Problem": "archwright.search.problem",
    "parse_limit": "archwright.search.problem",
    "Candidate": "archwright.search.trial",
    "Trial": "archwright.search.trial",
    "run": "archwright.search.run",
    "build": "archwright.nets",
    "Supernet": "archwright.nets",
    "register": "archwright.registry",
    "ArchwrightError": "archwright.errors",
}

__all__ = ["__version__", "search", *_NAMES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in (
        "search",
        "space",
        "nets",
        "tasks",
        "spaces",
        "operators",
        "strategies",
        "registry",
        "costs",
        "evaluators",
        "export",
        "units",
    ):
        return importlib.import_module(f"archwright.{name}")
    raise AttributeError(f"module 'archwright' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
