"""Progressive shrinking: train the largest network, then let kernel, depth and width shrink in turn.

Once-for-All (Cai et al., 2020, section 3.3). Rates and lengths relative to each other are those of its training script.
Smaller kernels are learned from larger ones (`nets/transform.py`), and before each phase that frees more widths
channels are sorted by importance (`nets/sorting.py`).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archwright.errors import ConfigurationError
from archwright.nets.active import ActiveUpdate
from archwright.nets.checkpoint import TrainState, flat, restore_net
from archwright.nets.recipe import Recipe
from archwright.nets.sorting import sort_channels
from archwright.nets.supernet import Supernet
from archwright.nets.train import Loop, OnEpoch, Step, TrainResult
from archwright.nets.train_supernet import Draws
from archwright.space import Decision, Space
from archwright.tasks.base import Task
from archwright.tasks.split import Inputs, Split, call

ROLES = {"kernel": r"kernel", "depth": r"depth|times|layers|blocks"}


@dataclass(frozen=True)
class Phase:
    """A stretch of training in which some decisions are free.

    Attributes:
        name: for the history.
        free: role (kernel, depth, width, operator) -> how many of the largest options may be drawn, None = all.
        share: length relative to the other phases.
        rate: learning rate relative to the recipe's.
        nets: architectures a step.
    """

    name: str
    free: dict[str, int | None] = field(default_factory=dict)
    share: float = 120.0
    rate: float = 1.0
    nets: int = 1


PHASES: tuple[Phase, ...] = (
    Phase("full"),
    Phase("kernel", {"kernel": None, "operator": None}),
    Phase("depth 1", {"kernel": None, "operator": None, "depth": 2}, share=25, rate=1 / 12, nets=2),
    Phase("depth 2", {"kernel": None, "operator": None, "depth": None}, rate=1 / 4, nets=2),
    Phase("width 1", {"kernel": None, "operator": None, "depth": None, "width": 2}, share=25, rate=1 / 12, nets=4),
    Phase("width 2", {"kernel": None, "operator": None, "depth": None, "width": None}, rate=1 / 4, nets=4),
)


def role_of(decision: Decision) -> str:
    """`operator` for unordered decisions, `kernel` or `depth` by name, `width` for all other ordered ones."""
    if not decision.ordered:
        return "operator"
    words = f"{decision.name or ''} {re.split(r'[.|#]', decision.path)[-1]}".lower()
    return next((role for role, pattern in ROLES.items() if re.search(pattern, words)), "width")


def space_of(space: Space, phase: Phase) -> Space:
    """The members of a space that a phase draws from; codes mean the same as in the space."""
    allowed = {
        d.label: tuple(d.options[k] for k in sorted(codes))
        for d, codes in zip(space.decisions, codes_of(space, phase).values(), strict=True)
        if len(codes) < d.size
    }
    return space.restrict(allowed) if allowed else space


def codes_of(space: Space, phase: Phase) -> dict[int, set[int]]:
    """Decision -> the codes that a phase draws from, those nearest to the largest architecture's."""
    largest = space.largest()
    out: dict[int, set[int]] = {}
    for decision in space.decisions:
        role = role_of(decision)
        keep = phase.free.get(role, 1) if role in phase.free else 1
        if keep is None or keep >= decision.size:
            out[decision.index] = set(range(decision.size))
            continue
        top = int(largest.code[decision.index])
        if top < 0:
            top = decision.size - 1
        near = np.argsort(np.abs(np.arange(decision.size) - top), kind="stable")
        out[decision.index] = set(near[:keep].tolist())
    return out


def shrink_progressively(
    supernet: Supernet,
    task: Task,
    recipe: Recipe | None = None,
    *,
    phases: Sequence[Phase] = PHASES,
    seed: int = 0,
    state: TrainState | None = None,
    on_epoch: OnEpoch | None = None,
    device: torch.device | str | None = None,
    split: Split | None = None,
    transforms: bool = True,
) -> TrainResult:
    """Train a supernet phase by phase, in place; after the first the largest network's copy is the teacher.

    Args:
        supernet: with shared weights.
        task: data and losses.
        recipe: its epochs are shared out among the phases, one at least each; phases without a decision to free are
            left out.
        phases: see `Phase`.
        seed: of all that is random.
        state: an earlier call's state to go on from.
        on_epoch: as in `train`; True stops after this epoch.
        device: where to train; the supernet's own when None.
        split: training data other than the task's own.
        transforms: learn matrices from kernels to smaller ones.

    Raises:
        ConfigurationError: if there is no phase.
        EvaluationError: as `train`.
    """
    recipe = recipe or Recipe()
    if transforms:
        supernet.transform_kernels()
    plan = _plan(supernet.space, phases, recipe)
    first = int(state.notes["phase"]) if state is not None else 0
    teacher: nn.Module | None = None
    if state is not None and state.part("teacher"):
        teacher = supernet.extract(supernet.space.largest())
        restore_net(teacher, state.part("teacher"), "teacher")
    result: TrainResult | None = None
    history: list[dict[str, Any]] = [] if state is None else list(state.notes["earlier"])
    seconds, stopped = 0.0, False
    for number in range(first, len(plan)):
        phase, own = plan[number]
        if number and teacher is None:
            teacher = copy.deepcopy(supernet.extract(supernet.space.largest()))
        if number > first and phase.free.get("width", 1) != plan[number - 1][0].free.get("width", 1):
            sort_channels(supernet, codes_of(supernet.space, plan[number - 1][0]))
        notes = {"phase": number, "earlier": history}
        resumed = state if number == first else None
        loop = Loop(supernet, task, own, seed=seed * 101 + number, device=device, state=resumed, split=split)
        add = _adder(notes, teacher)
        stop = _Stop(on_epoch, add, phase.name)
        step = _step(supernet, task, own, phase, teacher)
        result = loop.run(step, on_epoch=stop, update=ActiveUpdate(supernet))
        seconds += result.seconds
        final = add(result.state)
        records = [{**r, "phase": phase.name} for r in result.history]
        result = TrainResult([*history, *records], final, seconds)
        history, stopped = result.history, stop.stopped
        if stopped:
            break
    if result is None:
        raise ConfigurationError("progressive shrinking needs one phase at least, got none")
    return result


class _Stop:
    """The caller's `on_epoch` with the whole state; remembers whether it asked to stop."""

    def __init__(self, on_epoch: OnEpoch | None, add: Callable[[TrainState], TrainState], phase: str) -> None:
        self.on_epoch, self.add, self.phase, self.stopped = on_epoch, add, phase, False

    def __call__(self, record: dict[str, Any], state: Callable[[], TrainState]) -> bool:
        record["phase"] = self.phase
        if self.on_epoch is not None:
            self.stopped = bool(self.on_epoch(record, lambda: self.add(state())))
        return self.stopped


def _adder(notes: dict[str, Any], teacher: nn.Module | None) -> Callable[[TrainState], TrainState]:
    def add(state: TrainState) -> TrainState:
        tensors = dict(state.tensors)
        if teacher is not None:
            tensors |= flat("teacher", teacher.state_dict())
        return TrainState(state.epoch, tensors, state.history, {**state.notes, **notes})

    return add


def _plan(space: Space, phases: Sequence[Phase], recipe: Recipe) -> list[tuple[Phase, Recipe]]:
    useful: list[Phase] = []
    seen: set[str] = set()
    for phase in phases:
        digest = space_of(space, phase).digest
        if digest not in seen:
            useful.append(phase)
            seen.add(digest)
    total = sum(p.share for p in useful)
    return [
        (p, replace(recipe, epochs=max(1, round(recipe.epochs * p.share / total)), lr=recipe.lr * p.rate))
        for p in useful
    ]


def _step(supernet: Supernet, task: Task, recipe: Recipe, phase: Phase, teacher: nn.Module | None) -> Step:
    draw = Draws(supernet, space_of(supernet.space, phase))

    def step(inputs: Inputs, targets: Tensor, rng: np.random.Generator) -> Tensor:
        supernet.reset_active()
        soft: Tensor | None = None
        if teacher is not None:
            with torch.no_grad():
                soft = call(teacher.eval(), inputs)
        total = torch.zeros((), device=targets.device)
        for _ in range(phase.nets):
            outputs = supernet(inputs, draw(rng))
            task.check(outputs)
            loss = task.loss(outputs, targets, smoothing=recipe.label_smoothing)
            if soft is not None:
                loss = loss + task.distill(outputs, soft)  # kd_ratio 1
            loss.backward()
            total += loss.detach() / phase.nets
        return total

    return step


__all__ = ["PHASES", "Phase", "role_of", "shrink_progressively", "space_of"]
