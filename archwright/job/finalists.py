"""The last round: the most promising networks are trained on, measured again, and the best of them is chosen.

Predicted values stand beside measured ones; limits are judged by what was measured.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from archwright.job.sparse import TRAININGS, fit, rule_of
from archwright.job.training import length_for, twin
from archwright.nets.build import Network, build
from archwright.nets.checkpoint import TrainState, flat, restore_net
from archwright.nets.train import evaluate, to_format
from archwright.search.problem import Problem
from archwright.search.result import SearchResult
from archwright.search.trial import Trial
from archwright.space import Architecture
from archwright.tasks.base import SplitName, Task

if TYPE_CHECKING:
    from archwright.job.stages import Stages


TRAINING_COSTS = 4.0  # times the seconds of measuring, a row
MEASURED = 0.4  # seconds of each network's latency at the end
WORTHWHILE = 0.25  # epochs of training that a network with weights needs at least to become better


@dataclass(frozen=True)
class Finalist:
    """A network of the last round.

    Attributes:
        number: of its trial.
        architecture: its architecture.
        network: trained.
        predicted: what the search believed.
        metrics: measured now; quality on the test part, `valid_...` on the valid part.
        valid: quality on the valid part, by which finalists are compared.
        violation: of the limits, by measured values; 0 = all hold.
    """

    number: int
    architecture: Architecture
    network: Network
    predicted: dict[str, float]
    metrics: dict[str, float]
    valid: dict[str, float]
    violation: float = 0.0

    def to_json(self, chosen: bool) -> dict[str, Any]:
        """Plain values for the run folder."""
        return {
            "number": self.number, "chosen": chosen, "code": self.architecture.code.tolist(),
            "predicted": self.predicted, "metrics": self.metrics, "valid": self.valid, "violation": self.violation,
        }  # fmt: skip


def choose(problem: Problem, result: SearchResult, count: int) -> list[Trial]:
    """Trials worth finishing: the best by the first goal, then evenly along the front, then the next best feasible.

    Without a feasible trial, the ones nearest to the limits.
    """
    best = result.best
    if not result.feasible:
        order = np.argsort(result.violation, kind="stable")
        return _distinct([best, *(result.trials[i] for i in order if result.trials[i].state != "failed")], count)
    front = sorted(result.front, key=lambda t: float(problem.losses([t])[0, 0]))
    spread = [front[round(i)] for i in np.linspace(0, len(front) - 1, min(count, len(front)))]
    complete = [t for t in result.trials if t.state == "complete"]
    others = [complete[i] for i in np.argsort(problem.losses(complete)[:, 0], kind="stable")]
    return _distinct([best, *spread, *others], count)


def _distinct(trials: Sequence[Trial], count: int) -> list[Trial]:
    first: dict[bytes, Trial] = {}
    for trial in trials:
        first.setdefault(trial.candidate.architecture.key, trial)
    return list(first.values())[:count]


def finish(job: Stages, problem: Problem, trial: Trial, quality: Any, index: int, count: int) -> Finalist:
    """Train one finalist on, and measure its quality.

    It starts from its extraction from the supernet, or from the weights of its trial, or else from scratch. The better
    of the weights before and after on the valid part is kept.
    """
    architecture = trial.candidate.architecture
    path = job.kept / f"finalist{trial.number}.safetensors"
    begun: Network | None = quality.network(architecture) if hasattr(quality, "network") else None
    net = build(architecture, job.task.input_shape, seed=job.config.seed) if begun is None else begun
    if path.exists():
        restore_net(net, TrainState.load(path).part("net"), "finalist")
        valid = _measured(net, job.task, "valid")
    else:
        net, valid = _trained(job, net, begun is not None, index, count, path)
    test = _measured(net, job.task, "test")
    metrics = test | job._counts(architecture) | {f"valid_{k}": v for k, v in valid.items()}
    job.progress.say(f"  trial {trial.number}: {job.task.metric} {test[job.task.metric]:.4g} on the test part")
    return Finalist(trial.number, architecture, net, dict(trial.metrics), metrics, valid)


def _measured(net: Network, task: Task, split: SplitName) -> dict[str, float]:
    """Metrics on a split; images in the memory format that is twice as fast."""
    to_format(net, torch.channels_last)
    try:
        return evaluate(net, task, split)
    finally:
        to_format(net, torch.contiguous_format)


def _trained(
    job: Stages, net: Network, begun: bool, index: int, count: int, path: Any
) -> tuple[Network, dict[str, float]]:
    """The better of the weights before and after training, and its metrics on the valid part."""
    recipe, task = job.recipe, job.task
    began = time.perf_counter()
    before = _measured(net, task, "valid")
    measured = time.perf_counter() - began
    to_come = measured * (1.0 + len(task.test) / max(1, len(task.valid)))
    left, last = job.clock.left("finalists", 2.0), 1.5 * count * MEASURED if job.setup.latency else 0.0
    trainings = count - index + (TRAININGS if rule_of(job) is not None else 0)
    seconds = None if left is None else max(0.0, (left - last) / trainings * 0.9 - to_come)
    epoch = TRAINING_COSTS * measured * len(task.train) / max(1, len(task.valid))
    if begun and seconds is not None and seconds < WORTHWHILE * epoch:  # the time is worth more to the next ones
        TrainState(0, flat("net", net.state_dict())).save(path)
        return net, before
    length = length_for(
        job.kept / f"finalist{index}_length.json", task, recipe, 2 * recipe.epochs, seconds,
        lambda part: fit(job, twin(net), replace(task, train=part), replace(recipe, epochs=1)),
    )  # fmt: skip
    part = length.split(task)
    smaller = task if part is None else replace(task, train=part)
    # The full rate, not a gentle one: a warm restart learns more in the little time there is.
    tuned = twin(net)
    result = fit(job, tuned, smaller, replace(recipe, epochs=length.epochs))
    after = _measured(tuned, task, "valid")
    better = not begun or (after[task.metric] >= before[task.metric]) == task.maximize
    kept, valid = (tuned, after) if better else (net, before)
    TrainState(result.state.epoch, flat("net", kept.state_dict())).save(path)
    return kept, valid


def remeasured(job: Stages, finalists: Sequence[Finalist]) -> list[Finalist]:
    """The finalists with latency measured in turns, and their violation of the limits."""
    extra: list[dict[str, float]] = [{} for _ in finalists]
    if job.setup.latency:
        reports = job.meter(MEASURED).measure([f.network for f in finalists], job.task.input_shape)
        extra = [{"latency_ms": r.median_ms, "latency_p95_ms": r.p95_ms, "latency_iqr_ms": r.iqr_ms} for r in reports]
    limits = job._limits()
    out = []
    for finalist, more in zip(finalists, extra, strict=True):
        metrics = finalist.metrics | more
        judged = metrics | finalist.valid
        violation = float(limits.violation_of({m: np.array([v]) for m, v in judged.items()}, 1)[0])
        out.append(replace(finalist, metrics=metrics, violation=violation))
    return out


def pick(problem: Problem, finalists: Sequence[Finalist]) -> Finalist:
    """The finalist with the least violation, then the best first goal on the valid part."""

    def rank(f: Finalist) -> tuple[float, float]:
        judged = f.metrics | f.valid
        loss = problem.losses_of({m: np.array([v]) for m, v in judged.items()}, 1)[0, 0]
        return f.violation, float(loss)

    return min(finalists, key=rank)
