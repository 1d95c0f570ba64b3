"""Networks of recipes that search under masks: trained under masks, and never shown without random masks beside them.

Whether a recipe does is asked of its mixing alone, so that this holds for every method of sparsity.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from archwright.analysis.random_sparse import beside_random
from archwright.gradient.mixings.masked import MaskedWeights
from archwright.job.training import Length
from archwright.nets.build import build
from archwright.nets.recipe import Recipe
from archwright.nets.train import TrainResult, train
from archwright.nets.train_sparse import train_sparse
from archwright.search.log import replace_file
from archwright.tasks.base import Task

if TYPE_CHECKING:
    from archwright.job.finalists import Finalist
    from archwright.job.stages import Stages

FILE = "finalists_random_masks.json"  # forgotten with the finalists
TRAININGS = 3  # that random masks take beside a network: two, and looking at the masks
MOST_CANDIDATES = 20


def rule_of(job: Stages) -> MaskedWeights | None:
    """The masks that the job's recipe searches under; None where it searches dense networks."""
    mixing = None if job.epochs is None else job.epochs.search.method.mixing
    return mixing if isinstance(mixing, MaskedWeights) else None


def fit(job: Stages, net: nn.Module, task: Task, recipe: Recipe) -> TrainResult:
    """Train a finalist, under the masks of the job's recipe where it has any."""
    rule, seed = rule_of(job), job.config.seed
    if rule is None:
        return train(net, task, recipe, seed=seed)
    return train_sparse(net, task, recipe, rule.masks(net), seed=seed)


def random_masks(job: Stages, best: Finalist, index: int) -> None:
    """Random masks at the sparsity of the best finalist, trained as long as it was; said, and kept in the folder.

    Args:
        job: whose recipe searched.
        best: finalist that is handed over.
        index: its place among the finalists, whose length of training is taken.
    """
    rule, path = rule_of(job), job.kept / FILE
    if rule is None or path.exists():
        return
    with job.progress.stage("random masks beside it"):
        file = job.kept / f"finalist{index}_length.json"  # not there if it was not trained on, for want of time
        length = Length(**json.loads(file.read_text())) if file.exists() else Length(1, len(job.task.train))
        part = length.split(job.task)
        made = beside_random(
            job.config.strategy,
            best.metrics,
            lambda: build(best.architecture, job.task.input_shape, seed=job.config.seed),
            job.task if part is None else replace(job.task, train=part),
            replace(job.recipe, epochs=length.epochs),
            rule.sparsity,
            candidates=max(2, min(MOST_CANDIDATES, 2 * length.epochs)),  # looked at in less than a training's time
            seed=job.config.seed,
        )
        line = made.line(job.task.metric)
        job.progress.say(f"  {line}")
    replace_file(path, json.dumps({"line": line, **made.to_json()}))


__all__ = ["FILE", "TRAININGS", "fit", "random_masks", "rule_of"]
