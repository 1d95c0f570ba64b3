"""The loop of differentiable search.

What the loop guarantees, whatever the method: the validation stream is never restarted within an epoch; architecture
parameters are saved with the weights and are the same on every rank; the best derived architecture is kept, not the
last; nothing names a device; a stopped search goes on exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archwright.errors import ConfigurationError, EvaluationError
from archwright.gradient import distributed
from archwright.gradient.core import Core
from archwright.gradient.data import SearchData
from archwright.gradient.journal import Journal
from archwright.gradient.measure import batch_statistics, measure
from archwright.gradient.method import Method
from archwright.gradient.relaxations.base import Draw
from archwright.gradient.result import GradientResult, epoch_record
from archwright.gradient.state import restore, state_of
from archwright.gradient.step import Stepper
from archwright.nets.checkpoint import TrainState
from archwright.nets.compiled import Compiled
from archwright.nets.flow import Weights
from archwright.nets.train import to_format
from archwright.space import Architecture, Space
from archwright.tasks.base import Task

OnEpoch = Callable[[dict[str, Any]], bool | None]
MEASURED = 8  # batches that each measurement after an epoch takes
CHECKPOINT = "search.safetensors"


class GradientSearch:
    """A search by gradients over one space and task.

    Args:
        space: with a network.
        task: data and loss.
        method: the four parts.
        seed: of all that is random.
        device: where to search; the CPU when None.
        folder: for the log and the checkpoint; a search found there is gone on with.
        autocast: compute losses in bfloat16, also where the method does not say so.
        compile: run passes as compiled code, also where the method does not say so; see `Method.compile`.

    Raises:
        SpaceError: if the space cannot be mixed.
        ConfigurationError: if parts do not go together, cannot be compiled as asked, or the data are too few.
    """

    def __init__(
        self,
        space: Space,
        task: Task,
        method: Method,
        *,
        seed: int = 0,
        device: torch.device | str | None = None,
        folder: str | Path | None = None,
        autocast: bool = False,
        compile: bool = False,
    ) -> None:
        method = method.with_(autocast=method.autocast or autocast, compile=method.compile or compile)
        self.space, self.task, self.method, self.seed = space, task, method, seed
        self.device = torch.device(device) if device is not None else torch.device("cpu")
        self.stage = 0
        self.core = self._core(0)
        augment = task.augmentation if method.augment else None
        self.data = SearchData(
            task,
            split=method.split,
            train_share=method.train_share,
            batch=method.batch,
            seed=seed,
            augment=augment,
            device=self.device,
            even=method.compile,
        )
        self.stepper = self._stepper()
        self.epoch, self.measured = 0, MEASURED
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.folder = None if folder is None else Path(folder)
        if self.folder is not None and (self.folder / CHECKPOINT).exists():
            self.restore(TrainState.load(self.folder / CHECKPOINT))

    def _core(self, stage: int) -> Core:
        method, shape = self.method, self.task.input_shape
        stacked = method.selection.supernet_space(self.space, stage)
        seed = self.seed + 7919 * stage
        made = Core(self.space, shape, relaxation=method.relaxation, mixing=method.mixing, seed=seed, stacked=stacked)
        core = made.to(self.device)
        core.compiled = self._compiled()
        if len(shape) == 3:
            to_format(core.supernet, torch.channels_last)
        if distributed.active():
            core.supernet.join_norms()
            distributed.synchronise(core)
        return core

    def _compiled(self) -> Compiled:
        if not self.method.compile:
            return "no"
        if distributed.active():
            raise ConfigurationError(
                "compile=True is for one process: batch norms over several exchange their statistics within a pass; "
                "use compile=False, or one process"
            )
        return "code" if self.method.update.keeps_gradients else "graphs"

    def enter(self, stage: int, *, carry: bool = True) -> None:
        """Begin a stage: its supernet with fresh optimizers.

        Args:
            stage: number from 0.
            carry: take over what the selection takes over from the stage before, and remove options.
        """
        old, self.core, self.stage = self.core, self._core(stage), stage
        if carry:
            self.method.selection.carry(old, self.core, stage)
            self.best = None  # that of another supernet is no measure
            for penalty in self.method.penalties:
                penalty.restart()
        self.stepper = self._stepper()

    def _stepper(self) -> Stepper:
        method = self.method
        learned = [p for p in self.core.architecture_parameters() if p.requires_grad]
        return Stepper(
            core=self.core,
            loss=lambda outputs, targets: self.task.loss(outputs, targets),
            weights=method.weights.build(self.core.weight_parameters()),
            architecture=method.architecture.build(learned) if learned else None,
            penalties=method.penalties,
            clip=method.weights.clip,
            autocast=method.autocast,
            make_optimizer=method.weights.build,
            captured=self.core.compiled == "graphs",
        )

    # ---- running -------------------------------------------------------------------------------------------------

    def run(self, *, epochs: int | None = None, on_epoch: OnEpoch | None = None, random: int = 20) -> GradientResult:
        """Search until `epochs` of the method's epochs are over; all of them when None.

        Args:
            epochs: stop there; the search can go on later.
            on_epoch: called with each epoch's record; True stops the search.
            random: architectures that are drawn at random and measured in the same supernet for comparison.

        Raises:
            EvaluationError: if a loss is not finite, or ranks differ.
        """
        until = self.method.epochs if epochs is None else epochs
        if not 0 <= until <= self.method.epochs:
            raise ConfigurationError(f"epochs must lie in 0..{self.method.epochs} (the method's), got {until}")
        with Journal(self.folder, self.space, self.task, self.method) as journal:
            while self.epoch < until:
                record = self.advance()
                journal.write(self)
                if on_epoch is not None and on_epoch(record):
                    break
        return self.result(random)

    def advance(self) -> dict[str, Any]:
        """One more epoch and the checkpoint after it; the epoch's record."""
        elsewhere: dict[str, Any] = {"devices": []}
        if self.device.type != "cpu":
            elsewhere = {"devices": [self.device], "device_type": self.device.type}
        with torch.random.fork_rng(**elsewhere):
            record = self._one_epoch()
        if self.folder is not None and distributed.rank_and_size()[0] == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.state().save(self.folder / CHECKPOINT)
        return record

    def _one_epoch(self) -> dict[str, Any]:
        started = time.perf_counter()
        while self.stage < self.method.stage_at(self.epoch):
            self.enter(self.stage + 1)
        self.core.train()
        self.method.selection.before_epoch(self)
        first = self.method.stage_span(self.stage)[0] + self.method.warmup  # epoch that learns the architecture
        learn = self.epoch >= first
        losses: list[Tensor] = []
        for i, (train, valid) in enumerate(self.data.batches(self.epoch)):
            self._set_step(self.epoch * self.data.steps + i)
            train, valid = distributed.part_of(train), distributed.part_of(valid)
            if learn:
                number = (self.epoch - first) * self.data.steps + i
                losses.append(self.method.update.step(self.stepper, train, valid, number))
            else:
                losses.append(self.stepper.weights_step(train))
            if self.device.type == "cpu" or i % 50 == 49:  # asking an accelerator at each step stalls it
                self._check(losses[-1], i)
        self._check(losses[-1], len(losses) - 1)
        distributed.average_statistics(self.core)
        distributed.check_equal(self.core.architecture_parameters(), "architecture parameters")
        self.epoch += 1
        self.stepper.progress = self.core.progress = self.epoch / self.method.epochs
        for penalty in self.method.penalties:
            penalty.epoch(self.core)
        self.method.selection.after_epoch(self)
        record = self._record(torch.stack(losses).mean().item(), time.perf_counter() - started)
        self.history.append(record)
        return record

    def _set_step(self, number: int) -> None:
        """Rates, progress and random numbers of a step, from its number alone."""
        steps = self.data.steps * self.method.epochs
        s = self.stepper
        s.progress = self.core.progress = number / steps
        seed = int(np.random.SeedSequence([self.seed, 0x57E9, number]).generate_state(1)[0])
        s.generator.manual_seed(seed)
        torch.manual_seed(seed)  # of dropout; the caller's generator is put back after the epoch
        begin, length = self.method.stage_span(self.stage)
        part = (number - begin * self.data.steps) / (length * self.data.steps)
        for group in s.weights.param_groups:
            group["lr"] = self.method.weights.rate(part)
        for group in s.architecture.param_groups if s.architecture is not None else ():
            group["lr"] = self.method.architecture.rate(part)

    def _check(self, loss: Tensor, step: int) -> None:
        if not bool(torch.isfinite(loss)):
            raise EvaluationError(
                f"the search loss is {float(loss)} at epoch {self.epoch}, step {step}; lower the learning rate "
                f"(now {self.method.weights.lr}) or check the data"
            )

    # ---- measuring -----------------------------------------------------------------------------------------------

    def _record(self, train_loss: float, seconds: float) -> dict[str, Any]:
        record = epoch_record(self, train_loss, seconds)
        metric = record["judged_by"]
        better = self.best is None or (metric > self.best["judged_by"]) == self.task.maximize
        if self.epoch > self.method.warmup and better:
            self.best = record
        return record

    @torch.no_grad()
    def inherited(self, architecture: Architecture, batches: int | None = None) -> dict[str, float]:
        """Loss and metrics of an architecture with the shared weights and the statistics of each batch.

        Args:
            architecture: of the searched space.
            batches: of the architecture's part of the data, `measured` when None; 0 = all.
        """
        weights = self.core.one_hot(architecture.code.tolist())
        return self._measured(lambda: weights, batches)

    @torch.no_grad()
    def mixture_measure(self, batches: int | None = None) -> dict[str, float]:
        """Loss and metrics of the mixture without noise."""
        weights = self.core.expected_weights()
        return self._measured(lambda: weights, batches)

    @torch.no_grad()
    def sampled_measure(self) -> dict[str, float]:
        """Loss and metrics of the supernet as a step runs it now: every batch on weights that are drawn for it."""
        sequence = np.random.SeedSequence([self.seed, 0xD4A3, self.epoch])
        generator = torch.Generator().manual_seed(int(sequence.generate_state(1)[0]))
        draw = Draw(generator, self.core.progress, "weights", self.core.blocked)
        return self._measured(lambda: self.core.weights(draw), None)

    def mixture_loss(self, batches: int | None = None) -> float:
        """Loss of the mixture without noise."""
        return self.mixture_measure(batches)["loss"]

    def _measured(self, weights: Callable[[], Weights], batches: int | None) -> dict[str, float]:
        epoch, batches = max(0, self.epoch - 1), self.measured if batches is None else batches
        with batch_statistics(self.core.supernet):
            return measure(self.task, lambda x: self.core.outputs(x, weights()), self.data.some(epoch, batches))

    def random_baseline(self, count: int) -> dict[str, float]:
        """Random architectures in the same supernet: mean and best of the task's metric (Li and Talwalkar, 2019)."""
        if not count:
            return {}
        rng = np.random.default_rng([self.seed, 0xFA1E])
        found = [self.inherited(a, 4)[self.task.metric] for a in self.space.sample(count, rng)]
        best = max(found) if self.task.maximize else min(found)
        return {"mean": float(np.mean(found)), "best": float(best), "count": float(count)}

    # ---- what selections use -------------------------------------------------------------------------------------

    @contextmanager
    def without(self, decision: int, option: int) -> Iterator[None]:
        """The supernet without one option of a decision."""
        before = dict(self.core.blocked)
        try:
            self.core.block(decision, [option])
            yield
        finally:
            self.core.blocked = before

    @contextmanager
    def only(self, decision: int, option: int) -> Iterator[None]:
        """The supernet with one option of a decision alone."""
        before = dict(self.core.blocked)
        try:
            self.core.fix(decision, option)
            yield
        finally:
            self.core.blocked = before

    def tune(self, epochs: float, *, seed: int) -> None:
        """Train the shared weights alone for some epochs at a tenth of the first rate (Wang et al., 2021)."""
        self.core.train()
        steps, done = round(epochs * self.data.steps), 0
        for group in self.stepper.weights.param_groups:
            group["lr"] = self.method.weights.lr / 10.0
        while done < steps:
            for train, _ in self.data.batches(10_000 + 100 * seed + done // self.data.steps):
                if done >= steps:
                    return
                sequence = np.random.SeedSequence([self.seed, 0x7E, seed, done])
                self.stepper.generator.manual_seed(int(sequence.generate_state(1)[0]))
                self._check(self.stepper.weights_step(distributed.part_of(train)), done)
                done += 1

    # ---- state ---------------------------------------------------------------------------------------------------

    def state(self) -> TrainState:
        """Everything that the next epoch needs."""
        return state_of(self)

    def restore(self, state: TrainState) -> None:
        """Go on from a state.

        Raises:
            EvaluationError: if it is of another search.
        """
        restore(self, state)

    def result(self, random: int = 20) -> GradientResult:
        """What was found so far; a selection that trains the supernet on does so after the last epoch.

        Args:
            random: as in `run`.
        """
        if self.epoch < self.method.epochs:
            last = self.method.selection.choose(self)
        else:
            last = self.method.selection.finish(self)
        chosen, epoch = last, self.epoch
        trains = type(self.method.selection).finish is not _plain_finish()
        if self.method.keep == "best" and self.best is not None and not trains:
            chosen = self.space.architectures(np.array([self.best["code"]]))[0]
            epoch = int(self.best["epoch"])
        return GradientResult(chosen, last, epoch, list(self.history), self.random_baseline(random), self)


def _plain_finish() -> Any:
    from archwright.gradient.selections.base import Selection

    return Selection.finish


def search(
    space: Space,
    task: Task,
    method: Method | str = "darts",
    *,
    seed: int = 0,
    on_epoch: OnEpoch | None = None,
    **changes: Any,
) -> GradientResult:
    """Search with a method or a recipe by name; `changes` are settings of the method, such as `epochs=10`."""
    from archwright.gradient.recipes import recipe

    made = recipe(method, **changes) if isinstance(method, str) else method.with_(**changes)
    return GradientSearch(space, task, made, seed=seed).run(on_epoch=on_epoch)


__all__ = ["GradientResult", "GradientSearch", "OnEpoch", "search"]
