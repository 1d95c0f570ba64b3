"""Training a supernet in one stage: the sandwich rule with in-place distillation, or one uniform path a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from archwright.errors import ConfigurationError, nearest
from archwright.nets.active import ActiveUpdate
from archwright.nets.checkpoint import TrainState
from archwright.nets.recipe import Recipe
from archwright.nets.supernet import Supernet
from archwright.nets.train import Loop, OnEpoch, Pace, Step, TrainResult
from archwright.space import Architecture, Architectures, Space
from archwright.tasks.base import Task
from archwright.tasks.split import Inputs, Split

Method = Literal["sandwich", "single_path"]
DRAWN_AT_ONCE = 256  # drawing one architecture costs as much as drawing many


def train_supernet(
    supernet: Supernet,
    task: Task,
    recipe: Recipe | None = None,
    *,
    method: Method = "sandwich",
    random_nets: int = 2,
    seed: int = 0,
    epochs: int | None = None,
    state: TrainState | None = None,
    on_epoch: OnEpoch | None = None,
    device: torch.device | str | None = None,
    split: Split | None = None,
    among: Architectures | None = None,
    pace: Pace | None = None,
) -> TrainResult:
    """Train all networks of a space at once, in place.

    Args:
        supernet: with shared weights.
        task: data and losses.
        recipe: of the whole training; the default recipe when None.
        method: `sandwich`, or `single_path`: one architecture drawn uniformly over options a step, on the labels
            (Guo et al., 2020, section 3.1).
        random_nets: of the sandwich, beside the largest and the smallest.
        seed: of batches, augmentation, dropout and architectures.
        epochs: stop after this many epochs of the schedule; all of the recipe's when None.
        state: an earlier result's state to go on from.
        on_epoch: as in `train`.
        device: where to train; the supernet's own when None.
        split: training data other than the task's own.
        among: draw single paths from these only, so that the weights become theirs sooner than the whole space's.
        pace: as in `Loop.run`.

    Raises:
        ConfigurationError: if the method is unknown, or draws from the whole space and is given `among`.
        EvaluationError: as `train`.
    """
    recipe = recipe or Recipe()
    if method not in METHODS:
        raise ConfigurationError(f"unknown supernet method {method!r}; {nearest(method, METHODS)}")
    if random_nets < 0:
        raise ConfigurationError(f"random_nets is 0 or more, got {random_nets}")
    if among is not None and (method != "single_path" or not len(among)):
        raise ConfigurationError(f"`among` is for the method single_path and at least one architecture, got {method!r}")
    loop = Loop(supernet, task, recipe, seed=seed, device=device, state=state, split=split)
    step = METHODS[method](supernet, task, recipe, random_nets)
    if among is not None and isinstance(step, SinglePath):
        step.draw = _drawn_from(among)
    return loop.run(step, epochs=epochs, on_epoch=on_epoch, update=ActiveUpdate(supernet), pace=pace)


class Draws:
    """Architectures of a space, drawn in batches from the epoch's generator.

    `space` may be a part of the supernet's space (`Space.restrict`): codes mean the same in both.
    """

    def __init__(self, supernet: Supernet, space: Space | None = None) -> None:
        self.supernet, self.space = supernet, space or supernet.space
        self._rng: np.random.Generator | None = None
        self._left: Iterator[Architecture] = iter(())

    def __call__(self, rng: np.random.Generator) -> Architecture:
        """The next one; what is left of an earlier epoch's draws is dropped, so that resuming is exact."""
        if rng is not self._rng:
            self._rng, self._left = rng, iter(())
        found = next(self._left, None)
        if found is None:
            codes = self.space.sample(DRAWN_AT_ONCE, rng).codes
            batch = self.supernet.space.architectures(codes)
            self._left = (batch[i] for i in range(len(batch)))
            found = next(self._left)
        return found


def _drawn_from(among: Architectures) -> Callable[[np.random.Generator], Architecture]:
    return lambda rng: among[int(rng.integers(len(among)))]


@dataclass
class Sandwich:
    """One step: largest on the labels, smallest and some random ones on the largest's outputs.

    BigNAS (Yu et al., 2020, sections 3.1 and 3.2): gradients are added up and one optimizer step follows; dropout and
    label smoothing act on the largest alone. Weight decay acts on what took part.
    """

    supernet: Supernet
    task: Task
    recipe: Recipe
    random_nets: int = 2

    def __post_init__(self) -> None:
        self.largest, self.smallest = self.supernet.space.largest(), self.supernet.space.smallest()
        self.draw = Draws(self.supernet)
        self._drops = bool(dropouts(self.supernet))

    def __call__(self, inputs: Inputs, targets: Tensor, rng: np.random.Generator) -> Tensor:
        """Gradients of all networks of the step; returns the largest's loss."""
        self.supernet.reset_active()
        outputs = self.supernet(inputs, self.largest)
        self.task.check(outputs)
        loss = self.task.loss(outputs, targets, smoothing=self.recipe.label_smoothing)
        loss.backward()
        teacher = outputs.detach()
        students = [self.smallest, *(self.draw(rng) for _ in range(self.random_nets))]
        with without_dropout([self.supernet.subnet(a) for a in students] if self._drops else ()):
            for architecture in students:
                student = self.supernet(inputs, architecture)
                self.task.distill(student, teacher).backward()
        return loss.detach()


@dataclass
class SinglePath:
    """One step: one uniformly drawn architecture on the labels (Guo et al., 2020, Single Path One-Shot)."""

    supernet: Supernet
    task: Task
    recipe: Recipe
    random_nets: int = 1

    def __post_init__(self) -> None:
        self.draw: Callable[[np.random.Generator], Architecture] = Draws(self.supernet)

    def __call__(self, inputs: Inputs, targets: Tensor, rng: np.random.Generator) -> Tensor:
        """Gradients of the drawn network."""
        self.supernet.reset_active()
        outputs = self.supernet(inputs, self.draw(rng))
        self.task.check(outputs)
        loss = self.task.loss(outputs, targets, smoothing=self.recipe.label_smoothing)
        loss.backward()
        return loss.detach()


METHODS: dict[str, Callable[[Supernet, Task, Recipe, int], Step]] = {"sandwich": Sandwich, "single_path": SinglePath}


def dropouts(net: nn.Module) -> list[Any]:
    """Dropout layers of a network that drop something."""
    return [m for m in net.modules() if isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0]


@contextmanager
def without_dropout(nets: Iterable[nn.Module]) -> Iterator[None]:
    """Dropout layers off for a while."""
    layers = list({id(m): m for net in nets for m in dropouts(net)}.values())
    rates = [m.p for m in layers]
    for layer in layers:
        layer.p = 0.0
    try:
        yield
    finally:
        for layer, rate in zip(layers, rates, strict=True):
            layer.p = rate


__all__ = ["Draws", "Method", "Sandwich", "SinglePath", "train_supernet"]
