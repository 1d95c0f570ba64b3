"""How a job divides its time, and how much it has spent over all its parts."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from archwright.search.budget import Budget
from archwright.search.log import replace_file

# Share of the time budget at which a stage has to have ended. What a stage leaves over goes to those after it.
ENDS: Mapping[str, float] = MappingProxyType(
    {"first": 0.08, "latency": 0.20, "supernet": 0.50, "search": 0.68, "baseline": 0.76, "finalists": 0.95}
)
# Weights of networks on the front are nearly what they will be, and there is less to search. Measured on CIFAR-10: half
# as many epochs again for all of them give 5 points of accuracy, the same time for 8 finalists one by one gives 1.4.
ENDS_FRONT: Mapping[str, float] = MappingProxyType(
    {"first": 0.08, "latency": 0.20, "supernet": 0.80, "search": 0.87, "baseline": 0.90, "finalists": 0.96}
)
ENDS_TRAIN: Mapping[str, float] = MappingProxyType(
    {"first": 0.08, "latency": 0.18, "supernet": 0.18, "search": 0.50, "baseline": 0.50, "finalists": 0.95}
)
ENDS_GRADIENT: Mapping[str, float] = MappingProxyType(
    {"first": 0.08, "latency": 0.18, "supernet": 0.18, "search": 0.60, "baseline": 0.62, "finalists": 0.95}
)
ENDS_TRAIN_TWICE = MappingProxyType({**ENDS_TRAIN, "search": 0.38, "baseline": 0.58})  # random search takes as long


class Clock:
    """Seconds of a job, kept in the run folder so that a resumed job does not get its time twice.

    Args:
        path: of the file that keeps them.
        budget: of the job.
        start: `time.monotonic()` when this part of the job began.
        ends: share of the budget at which each stage ends.
    """

    def __init__(self, path: Path, budget: Budget, start: float, ends: Mapping[str, float] = ENDS) -> None:
        self.path, self.budget, self.start, self.ends = path, budget, start, ends
        self._before = float(json.loads(path.read_text())["seconds"]) if path.exists() else 0.0

    @property
    def spent(self) -> float:
        """Seconds of the job, earlier parts included."""
        return self._before + time.monotonic() - self.start

    def keep(self) -> None:
        """Write down what has been spent."""
        replace_file(self.path, json.dumps({"seconds": self.spent}))

    def left(self, stage: str, at_least: float = 0.0) -> float | None:
        """Seconds until a stage has to end; None = no limit on time."""
        if self.budget.seconds is None:
            return None
        return max(at_least, self.ends[stage] * self.budget.seconds - self.spent)

    def late(self, stage: str, share: float = 0.1) -> bool:
        """Whether a stage has overrun its end by more than a share of the budget."""
        if self.budget.seconds is None:
            return False
        return self.spent > (self.ends[stage] + share) * self.budget.seconds
