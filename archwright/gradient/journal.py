"""The log of a search by gradients: the same file as that of the other strategies, one line an epoch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.gradient.distributed import rank_and_size
from archwright.search.log import Ask, LoggedTrial, RunLog, ask_line, trial_line
from archwright.search.trial import Candidate, Trial

if TYPE_CHECKING:
    from archwright.gradient.method import Method
    from archwright.gradient.search import GradientSearch
    from archwright.space import Space
    from archwright.tasks.base import Task


class Journal:
    """Writes the derived architecture of every epoch as a trial whose fidelity is the share of the search that is over.

    Without a folder, and on every rank but the first, nothing is written.
    """

    def __init__(self, folder: Path | None, space: Space, task: Task, method: Method) -> None:
        self.log: RunLog | None = None
        self.written = 0
        if folder is not None and rank_and_size()[0] == 0:
            header = {"space": space.digest, "task": task.name, "strategy": "gradient", "method": method.describe()}
            self.log = RunLog(folder, header)
            self.written = sum(isinstance(e, LoggedTrial) for e in self.log.content.events)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        if self.log is not None:
            self.log.close()

    def write(self, search: GradientSearch) -> None:
        """The epochs that are not in the log yet; more than one only after a kill between checkpoint and log."""
        if self.log is None:
            return
        for record in search.history[self.written :]:
            self._write(self.log, search, record)

    def _write(self, log: RunLog, search: GradientSearch, record: dict[str, Any]) -> None:
        number = int(record["epoch"]) - 1
        architecture = search.space.architectures(np.array([record["code"]]))[0]
        metrics = {
            search.task.metric: float(record[search.task.metric]),
            "search_loss": float(record["train_loss"]),
        }
        trial = Trial(
            number=number,
            candidate=Candidate(architecture, fidelity=record["epoch"] / search.method.epochs),
            state="complete",
            metrics=metrics,
            seconds=float(record["seconds"]),
        )
        log.write([ask_line(Ask(1, number, 1)), trial_line(trial)])
        self.written += 1
