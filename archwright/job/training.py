"""How long trainings may be: timed on a few batches, then fixed and written down, so that a resumed job keeps to it."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from archwright.errors import EvaluationError
from archwright.nets.recipe import Recipe
from archwright.nets.train import TrainResult
from archwright.search.log import replace_file
from archwright.tasks.base import Task
from archwright.tasks.split import TensorSplit

PILOTS = 3  # the quickest counts: what disturbs a pilot of milliseconds is over in seconds
LONG = 2.0  # seconds of pilots after which no third one is timed
SLACK = 2.0  # times that one batch takes at most, compared with many
Net = TypeVar("Net", bound=torch.nn.Module)


@dataclass(frozen=True)
class Length:
    """Epochs of a training, and how many rows of the training part one epoch takes."""

    epochs: int
    rows: int

    def split(self, task: Task) -> Any:
        """The rows to train on; None = all."""
        return None if self.rows >= len(task.train) else task.train.take(self.rows, np.random.default_rng(0))


def length_for(
    path: Path,
    task: Task,
    recipe: Recipe,
    most: int,
    seconds: float | None,
    trial: Callable[[Any], TrainResult],
    batches: int = 3,
    fewest: float = 0.0,
) -> Length:
    """As many epochs as fill some seconds, at least one; an epoch has fewer rows where that fills the time better.

    Args:
        path: file that keeps the length once it is fixed.
        task: data.
        recipe: its batch size counts.
        most: epochs at most.
        seconds: to fill; None = take `most` epochs.
        trial: trains a copy for one epoch on a split.
        batches: that are timed.
        fewest: rows in all that are needed; if one batch shows that they do not fit, the length is an upper
            bound and is not kept.
    """
    if path.exists():
        return Length(**json.loads(path.read_text()))
    length = Length(most, len(task.train))
    if seconds is not None:
        rng = np.random.default_rng(0)
        pilot: TensorSplit = task.train.take(batches * recipe.batch, rng)
        first: TensorSplit = task.train.take(min(len(pilot), recipe.batch), rng)
        try:
            trial(first)  # pays for set-up
            per_row = _seconds(lambda: trial(first)) / SLACK / len(first)
        except EvaluationError:
            return Length(1, length.rows)  # nothing to time; whoever trains it will say what is wrong
        few = 0.9 * seconds / per_row < fewest
        if not few:
            per_row = _quickest(lambda: trial(pilot)) / len(pilot)
        rows = max(float(recipe.batch), 0.9 * seconds / per_row)
        epochs = int(min(most, max(1.0, math.ceil(rows / len(task.train)))))
        length = Length(epochs, int(min(len(task.train), rows / epochs)))
        if few:
            return length
    replace_file(path, json.dumps({"epochs": length.epochs, "rows": length.rows}))
    return length


def _quickest(pilot: Callable[[], Any]) -> float:
    """Seconds of the quickest of some runs; the first may still set things up."""
    times: list[float] = []
    while len(times) < 2 or (len(times) < PILOTS and sum(times) < LONG):
        times.append(_seconds(pilot))
    return min(times)


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def twin(net: Net) -> Net:
    """A copy to try things on."""
    return copy.deepcopy(net)
