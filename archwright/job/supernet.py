"""Shared weights in the main job: which training of a supernet fits into the time, and that training.

The sandwich rule makes all networks good, but takes many steps. Where the time allows fewer than one network's training
would have, single paths are drawn from a sample of the front that the costs promise: the weights become those of the
networks that matter (the idea of AttentiveNAS, Wang et al., 2021, section 3, with a zero-cost score in place of its
accuracy predictor). Measured on CIFAR-10 (14,000 images, 80 s of one core), networks on the front inherit 39 to 55 %
accuracy so, 36 to 43 % from uniform single paths and 33 to 43 % from the sandwich.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from archwright.evaluators.inherited import InheritedEvaluator
from archwright.evaluators.train import TrainEvaluator
from archwright.job.clock import ENDS, ENDS_FRONT
from archwright.job.training import Length, length_for, twin
from archwright.nets.checkpoint import TrainState, restore_net
from archwright.nets.progressive import shrink_progressively
from archwright.nets.recipe import Recipe
from archwright.nets.supernet import Supernet
from archwright.nets.train import Pace
from archwright.nets.train_supernet import train_supernet
from archwright.search.log import replace_file
from archwright.search.problem import Problem
from archwright.space import Architectures
from archwright.strategies.prior import Prior

if TYPE_CHECKING:
    from archwright.job.stages import Stages

FEWEST_STEPS = 150  # with fewer, subnets rank badly
FRONT = 64  # networks that stand for the front
FEWEST_TRIALS = 60  # that the valid rows of a trial leave time for
FEWEST_SAMPLES, MOST_SAMPLES = 500, 2000  # of those rows; the standard error of an accuracy is 2 and 1 points
CALIBRATION = 512  # rows for batch-norm statistics
TIMED = 4  # networks
PILOT_BATCHES = 12  # networks differ in time, so more than a few steps are timed


@dataclass(frozen=True)
class Plan:
    """How a supernet is trained: sandwich, single-path, front or progressive; how long; among which networks."""

    training: str
    length: Length
    among: Architectures | None = None


def shared_weights(job: Stages, latency: Sequence[Any]) -> InheritedEvaluator | None:
    """The evaluator over a trained supernet, or None if there is so little time that shared weights would not do."""
    torch.manual_seed(job.config.seed)
    supernet = Supernet(job.space, job.task.input_shape).to(job.config.device)
    path, done = job.kept / "supernet.safetensors", job.kept / "supernet.done"
    state = TrainState.load(path) if path.exists() else None
    if done.exists() and state is not None:
        restore_net(supernet, state.part("net"), "supernet")
    else:
        with job.progress.stage("supernet"):
            recipe = replace(job.recipe, epochs=job.config.supernet_epochs, weight_decay=0.01, lr=2 * job.recipe.lr)
            plan = plan_for(job, supernet, latency, recipe)
            if plan is None:
                return None
            trained = _train(job, supernet, plan, replace(recipe, epochs=plan.length.epochs), state)
            trained.state.save(path)
            last = trained.history[-1]
            replace_file(
                done, json.dumps({"epochs": last["epoch"], "rows": plan.length.rows, "training": plan.training})
            )
            job.progress.say(
                f"  {last['epoch']} epochs of {plan.length.rows} rows ({plan.length.epochs} planned), "
                f"loss {last['loss']:.3f}"
            )
        job.clock.keep()
    made = json.loads(done.read_text())
    job.training = made["training"]
    if job.training == "front":  # all its epochs leave time to train finalists on
        job.clock.ends = ENDS if made["epochs"] == job.config.supernet_epochs else ENDS_FRONT
    return InheritedEvaluator(supernet, job.task, samples=_samples(job, supernet), seed=job.config.seed)


def _samples(job: Stages, supernet: Supernet) -> int:
    """Rows of the valid part that a trial is measured on: so many that enough trials fit into the search."""
    path, most = job.kept / "samples.json", min(len(job.task.valid), MOST_SAMPLES)
    if not path.exists():
        seconds, count = job.clock.left("search", 2.0), most
        if seconds is not None and most > FEWEST_SAMPLES:
            pilot = InheritedEvaluator(supernet, job.task, batches=1, samples=FEWEST_SAMPLES)
            larger = job.space.sample(TIMED, np.random.default_rng(0))
            pilot.evaluate(larger[:1])
            began = time.perf_counter()
            pilot.evaluate(larger)
            per_row = (time.perf_counter() - began) / TIMED / (FEWEST_SAMPLES + len(pilot.calibration))
            rows = seconds / FEWEST_TRIALS / per_row - CALIBRATION
            count = int(min(most, max(rows, FEWEST_SAMPLES)))
        replace_file(path, json.dumps(count))
    return int(json.loads(path.read_text()))


def plan_for(job: Stages, supernet: Supernet, latency: Sequence[Any], recipe: Recipe) -> Plan | None:
    """The configured training, or the one that fits into the time; None if none does."""
    wanted = job.config.training
    if wanted == "front":
        return _front(job, supernet, latency, recipe)
    free = wanted == "auto" and job.setup.budget.seconds is not None
    needed = max(FEWEST_STEPS, job.config.epochs * len(job.task.train) // recipe.batch)
    length = _length(job, supernet, recipe, "sandwich", 3, fewest=needed * recipe.batch if free else 0)
    if not free:
        return Plan("sandwich" if wanted == "auto" else wanted, length)
    steps = _steps(length, recipe)
    if steps >= needed:
        return Plan("sandwich", length)
    about = f"  there is time for about {steps} steps of the sandwich rule, which needs {needed}: "
    plan = _front(job, supernet, latency, recipe) if _is_told(job, latency) else None
    if plan is not None and (_steps(plan.length, recipe) >= FEWEST_STEPS or job.config.evaluation == "supernet"):
        job.progress.say(f"{about}networks near the front that costs and MACs promise are trained instead")
        return plan
    length = _length(job, supernet, recipe, "sandwich", 3)
    if job.config.evaluation == "supernet" or _steps(length, recipe) >= FEWEST_STEPS:
        return Plan("sandwich", length)
    job.progress.say(f"{about}each trial is trained by itself instead")
    replace_file(job.kept / "alone", f"{steps} steps\n")
    return None


def _front(job: Stages, supernet: Supernet, latency: Sequence[Any], recipe: Recipe) -> Plan:
    job.clock.ends = ENDS_FRONT
    among = Prior(_problem(job, latency)).front(FRONT, np.random.default_rng([job.config.seed, 3]))
    return Plan("front", _length(job, supernet, recipe, "front", PILOT_BATCHES, among), among)


def _problem(job: Stages, latency: Sequence[Any]) -> Problem:
    return job.setup.problem(*latency, TrainEvaluator(job.task, job.recipe))


def _is_told(job: Stages, latency: Sequence[Any]) -> bool:
    """Whether cost models know a goal or a limit, so that a front can be told before any training."""
    known = {m for e in (job.setup.counts, *latency) if getattr(e, "cheap", False) for m in e.metrics}
    return any(o.metric in known for o in job.setup.objectives)


def _steps(length: Length, recipe: Recipe) -> int:
    return length.epochs * length.rows // recipe.batch


def _length(
    job: Stages,
    supernet: Supernet,
    recipe: Recipe,
    name: str,
    batches: int,
    among: Architectures | None = None,
    fewest: float = 0.0,
) -> Length:
    method: Any = {"method": "sandwich"} if among is None else {"method": "single_path", "among": among}
    copy = twin(supernet)  # one for all pilots, as every subnet costs once to be set up
    return length_for(
        job.kept / f"{name}_length.json", job.task, recipe, job.config.supernet_epochs,
        job.clock.left("supernet", 5.0),
        lambda part: train_supernet(copy, job.task, replace(recipe, epochs=1), split=part, **method),
        batches=batches, fewest=fewest,
    )  # fmt: skip


def _train(job: Stages, supernet: Supernet, plan: Plan, recipe: Recipe, state: TrainState | None) -> Any:
    """Train until its share of the time is over; a checkpoint every epoch."""

    def on_epoch(record: Mapping[str, Any], state_of: Any) -> bool:
        state_of().save(job.kept / "supernet.safetensors")
        job.clock.keep()
        job.progress.update(f"epoch {record['epoch']} of {plan.length.epochs}, loss {record['loss']:.3f}")
        return job.clock.late("supernet")

    in_time = partial(train_supernet, pace=Pace(partial(job.clock.left, "supernet"), job.config.supernet_epochs))
    trainer: Any = {
        "sandwich": partial(in_time, method="sandwich"),
        "single-path": partial(in_time, method="single_path"),
        "front": partial(in_time, method="single_path", among=plan.among),
        "progressive": shrink_progressively,
    }[plan.training]
    part = {} if plan.length.rows >= len(job.task.train) else {"split": plan.length.split(job.task)}
    return trainer(supernet, job.task, recipe, seed=job.config.seed, state=state, on_epoch=on_epoch, **part)
