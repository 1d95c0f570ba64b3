"""Training: one loop for plain networks and, with another step, for supernets.

Data stay in memory and batches are rows of a permuted index, without worker processes: on small data the loader costs
more than the network. Random numbers of an epoch come from (seed, epoch) alone, so training that stops and goes on
gives the same weights as training without a stop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from archwright.errors import ConfigurationError, EvaluationError
from archwright.nets.checkpoint import TrainState, flat, optimizer_tensors, restore_net, restore_optimizer
from archwright.nets.recipe import Recipe
from archwright.tasks.base import SplitName, Task
from archwright.tasks.split import Inputs, Split, TensorSplit, call, to_device

CACHED_POSITIONS = 2**16  # pixels of a batch that is only evaluated
FEWEST_ROWS, MOST_ROWS = 16, 512


@dataclass(frozen=True)
class TrainResult:
    """What a training leaves beside the network, which is trained in place.

    Attributes:
        history: one record an epoch: epoch, loss, lr, seconds, and what the method adds.
        state: to go on from.
        seconds: of this call.
    """

    history: list[dict[str, Any]]
    state: TrainState
    seconds: float


@dataclass(frozen=True)
class Pace:
    """Time for a schedule that is planned anew after every epoch, so that its rate falls to the end in time.

    Attributes:
        left: gives the seconds that are left; None = no limit.
        most: epochs at most.
    """

    left: Callable[[], float | None]
    most: int


class Step(Protocol):
    """Forward and backward of one batch; gradients are zero before and complete after."""

    def __call__(self, inputs: Inputs, targets: Tensor, rng: np.random.Generator) -> Tensor:
        """The loss that is reported, detached."""
        ...


Update = Callable[[torch.optim.Optimizer], None]
OnEpoch = Callable[[dict[str, Any], Callable[[], TrainState]], bool | None]


def train(
    net: nn.Module,
    task: Task,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    epochs: int | None = None,
    state: TrainState | None = None,
    on_epoch: OnEpoch | None = None,
    device: torch.device | str | None = None,
) -> TrainResult:
    """Train a network in place.

    Args:
        net: plain module, task inputs -> (batch, outputs).
        task: data and loss.
        recipe: of the whole training; the default recipe when None.
        seed: of batches, augmentation and dropout.
        epochs: stop after this many epochs of the schedule; all of the recipe's when None.
        state: an earlier result's state to go on from.
        on_epoch: called with the epoch's record and a function that makes the state; True stops the training.
        device: where to train; the network's own device when None. The network stays there.

    Raises:
        EvaluationError: if the loss is not finite, or the network does not fit the task or the state.
    """
    recipe = recipe or Recipe()

    def step(inputs: Inputs, targets: Tensor, rng: np.random.Generator) -> Tensor:
        share, other = 1.0, targets
        if recipe.mixup and isinstance(inputs, Tensor) and inputs.is_floating_point():
            share, order = rng.beta(recipe.mixup, recipe.mixup), torch.from_numpy(rng.permutation(len(inputs)))
            inputs, other = share * inputs + (1.0 - share) * inputs[order], targets[order]
        outputs = call(net, inputs)
        task.check(outputs)
        loss = share * task.loss(outputs, targets, smoothing=recipe.label_smoothing)
        if share < 1.0:
            loss = loss + (1.0 - share) * task.loss(outputs, other, smoothing=recipe.label_smoothing)
        loss.backward()
        return loss.detach()

    loop = Loop(net, task, recipe, seed=seed, device=device, state=state)
    return loop.run(step, epochs=epochs, on_epoch=on_epoch)


def fine_tune(
    net: nn.Module,
    task: Task,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    epochs: int | None = None,
    state: TrainState | None = None,
    on_epoch: OnEpoch | None = None,
    device: torch.device | str | None = None,
) -> TrainResult:
    """Train a network that already has good weights: a third of the rate and a quarter of the epochs of `recipe`.

    Arguments and errors as `train`, but `epochs` is the length of the schedule.
    """
    recipe = recipe or Recipe()
    gentle = replace(recipe, lr=recipe.lr / 3.0, epochs=epochs or max(1, recipe.epochs // 4), warmup=recipe.warmup)
    return train(net, task, gentle, seed=seed, state=state, on_epoch=on_epoch, device=device)


@torch.inference_mode()
def evaluate(
    net: nn.Module,
    task: Task,
    split: SplitName | Split = "valid",
    *,
    batch: int | None = None,
    device: torch.device | str | None = None,
) -> dict[str, float]:
    """Metrics of a network on a split, in evaluation mode; the network's modes are put back.

    Args:
        net: its device counts.
        task: data and metrics.
        split: name of a part of the task's data, or other data.
        batch: rows at once; what is fast when None.
        device: the network's when None.

    Raises:
        EvaluationError: if the outputs do not fit the task or are not finite.
    """
    data = task.split(split) if isinstance(split, str) else split
    place = torch.device(device) if device is not None else device_of(net)
    batch = batch or rows_at_once(task, place)

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, targets in data.batches(batch):
            outputs = call(net, to_device(inputs, place))
            task.check(outputs)
            if not bool(torch.isfinite(outputs).all()):
                raise EvaluationError(f"the network's outputs on the task {task.name!r} are not finite; lower the rate")
            yield outputs, targets.to(place)

    with modes_kept(net):
        net.eval()
        return task.measure_batches(pairs())


def rows_at_once(task: Task, device: torch.device) -> int:
    """Rows of a batch that is only evaluated: on a CPU few enough for the activations of images to stay in its cache.

    Measured on 32 x 32 images: batches of 64 take 0.2 ms a row, batches of 512 take 0.7 ms.
    """
    positions = math.prod(task.input_shape[1:]) if device.type == "cpu" else 1
    return max(FEWEST_ROWS, min(MOST_ROWS, CACHED_POSITIONS // max(1, positions)))


class Loop:
    """Epochs, schedule, checks and state of a training; the step is given.

    Args:
        net: trained in place.
        task: data.
        recipe: of the whole training.
        seed: of all that is random.
        device: the network's when None.
        state: to go on from.
        split: training data other than the task's own.
    """

    def __init__(
        self,
        net: nn.Module,
        task: Task,
        recipe: Recipe,
        *,
        seed: int = 0,
        device: torch.device | str | None = None,
        state: TrainState | None = None,
        split: Split | None = None,
    ) -> None:
        self.device = torch.device(device) if device is not None else device_of(net)
        self.net, self.task, self.recipe, self.seed = net.to(self.device), task, recipe, seed
        self.channels_last = recipe.channels_last and len(task.input_shape) == 3
        if self.channels_last:
            to_format(net, torch.channels_last)
        self.split = split or task.train
        if isinstance(self.split, TensorSplit) and self.device.type != "cpu":
            self.split = self.split.to(self.device)
        self.optimizer = recipe.optimizer_for(net)
        self.epoch, self.history = 0, list[dict[str, Any]]()
        self.notes: dict[str, Any] = {}
        self.ema = {k: v.detach().clone() for k, v in net.state_dict().items()} if recipe.ema else {}
        if state is not None:
            self._restore(state)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps an epoch."""
        return max(1, len(self.split) // self.recipe.batch)

    def run(
        self,
        step: Step,
        *,
        epochs: int | None = None,
        on_epoch: OnEpoch | None = None,
        update: Update | None = None,
        pace: Pace | None = None,
    ) -> TrainResult:
        """Train until `epochs` (of the schedule's epochs) are finished.

        Args:
            step: forward and backward of a batch.
            epochs: all of the schedule's when None.
            on_epoch: as in `train`.
            update: stands in for `optimizer.step()`.
            pace: of a schedule that has to end in time, whatever the recipe planned; `epochs` is not for it.
        """
        started = time.perf_counter()
        until = self.recipe.epochs if epochs is None else epochs
        if not 0 <= until <= self.recipe.epochs:
            raise ConfigurationError(f"epochs must lie in 0..{self.recipe.epochs} (the recipe's), got {until}")
        with modes_kept(self.net):
            while self.epoch < until:
                record = self._epoch(step, update)
                self.history.append(record)
                if pace is not None:
                    until = self._fit(record["seconds"], pace)
                if on_epoch is not None and on_epoch(record, self.state):
                    break
        result = TrainResult(list(self.history), self.state(), time.perf_counter() - started)
        if self.ema:
            restore_net(self.net, self.ema, "average")
        if self.channels_last:
            to_format(self.net, torch.contiguous_format)
        return result

    def _fit(self, seconds: float, pace: Pace) -> int:
        """Epochs of the schedule, which becomes as long as the last one's seconds say that it may."""
        left = pace.left()
        if left is not None and self.epoch < self.recipe.epochs:
            fitting = min(pace.most, self.epoch + max(1, round(left / max(seconds, 1e-9))))
            self.recipe = replace(self.recipe, epochs=fitting)
            self.notes["epochs"] = fitting
        return self.recipe.epochs

    def state(self) -> TrainState:
        """A copy of the present state."""
        tensors = flat("net", self.net.state_dict())
        tensors |= flat("optimizer", optimizer_tensors(self.optimizer))
        tensors |= flat("ema", self.ema)
        return TrainState(self.epoch, tensors, [dict(r) for r in self.history], dict(self.notes))

    def _restore(self, state: TrainState) -> None:
        restore_net(self.net, state.part("net"), "training state")
        restore_optimizer(self.optimizer, state.part("optimizer"))
        if self.ema:
            self.ema = {k: v.to(self.device) for k, v in state.part("ema").items()}
        self.epoch, self.history, self.notes = state.epoch, [dict(r) for r in state.history], dict(state.notes)
        if "epochs" in self.notes:
            self.recipe = replace(self.recipe, epochs=int(self.notes["epochs"]))

    def _epoch(self, step: Step, update: Update | None) -> dict[str, Any]:
        started, recipe = time.perf_counter(), self.recipe
        rng = np.random.default_rng([self.seed, 0x7EA1, self.epoch])
        augment = self.task.augmentation if recipe.augment else None
        losses: list[Tensor] = []
        total, rate = self.steps_per_epoch * recipe.epochs, 0.0
        self.net.train()
        with seeded(int(rng.integers(2**62)), self.device):
            for inputs, targets in self.split.batches(recipe.batch, rng=rng, shuffle=True, augment=augment):
                rate = recipe.rate(self.epoch * self.steps_per_epoch + len(losses), total)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                self.optimizer.zero_grad(set_to_none=True)
                inputs = to_device(inputs, self.device)
                if self.channels_last and isinstance(inputs, Tensor):
                    inputs = in_format(inputs, torch.channels_last)
                losses.append(step(inputs, targets.to(self.device), rng))
                if self.device.type == "cpu" or len(losses) % 50 == 0:  # asking an accelerator at each step stalls it
                    self._check(losses)
                if recipe.clip:
                    nn.utils.clip_grad_norm_(self.net.parameters(), recipe.clip)
                if update is None:
                    self.optimizer.step()
                else:
                    update(self.optimizer)
                self._average()
        self._check(losses)
        self.epoch += 1
        mean = float(torch.stack(losses).mean())
        return {"epoch": self.epoch, "loss": mean, "lr": rate, "seconds": time.perf_counter() - started}

    def _check(self, losses: list[Tensor]) -> None:
        if bool(torch.isfinite(losses[-1])):
            return
        first = int((~torch.isfinite(torch.stack(losses))).nonzero()[0])
        raise EvaluationError(
            f"the training loss is {float(losses[first])} at epoch {self.epoch}, step {first}; "
            f"lower the learning rate (now {self.recipe.lr}) or check the data"
        )

    @torch.no_grad()
    def _average(self) -> None:
        for name, value in self.net.state_dict().items() if self.ema else ():
            mean = self.ema[name]
            if value.is_floating_point():
                mean.lerp_(value, 1.0 - self.recipe.ema)
            else:
                mean.copy_(value)


def device_of(net: nn.Module) -> torch.device:
    """The device of a network's first parameter; the CPU if it has none."""
    return next((p.device for p in net.parameters()), torch.device("cpu"))


@contextmanager
def modes_kept(net: nn.Module) -> Iterator[None]:
    """Put every module's training flag back at the end."""
    modes = [(m, m.training) for m in net.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's generators seeded for a while; before and after they are as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def to_format(net: nn.Module, memory_format: torch.memory_format) -> None:
    """Convolution weights in a memory format; values stay."""
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = in_format(parameter.data, memory_format)


def in_format(x: Tensor, memory_format: torch.memory_format) -> Tensor:
    """A copy of (b, C, H, W) with exactly the strides of a memory format.

    `Tensor.contiguous` leaves tensors with C = 1 or H = W = 1 as they are, because their strides fit both formats, and
    convolutions then fall back to the slow one.
    """
    return torch.empty_like(x, memory_format=memory_format).copy_(x)


__all__ = ["Loop", "Recipe", "TrainResult", "TrainState", "evaluate", "fine_tune", "train"]
