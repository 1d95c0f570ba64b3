"""A method of differentiable search as a value: four parts, penalties, and how both kinds of parameters are trained."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from archwright.errors import ConfigurationError, nearest

if TYPE_CHECKING:
    from archwright.gradient.mixings.base import MixingMethod
    from archwright.gradient.penalties.base import Penalty
    from archwright.gradient.relaxations.base import Relaxation
    from archwright.gradient.selections.base import Selection
    from archwright.gradient.updates.base import Update


@dataclass(frozen=True)
class Training:
    """How one kind of parameters is trained.

    Attributes:
        optimizer: sgd (momentum) or adam.
        lr: at the start.
        lr_end: at the end of a cosine; None keeps the rate.
        momentum: of sgd.
        betas: of adam.
        weight_decay: added to the gradient.
        clip: largest norm of the gradient, 0 = off.
        schedule: cosine, or `cosine_power` of sharpDARTS (Hundt et al., 2019, equation 2).
        power: order of `cosine_power`.
    """

    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.025
    lr_end: float | None = 0.001
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 3e-4
    clip: float = 5.0
    schedule: Literal["cosine", "cosine_power"] = "cosine"
    power: float = 10.0

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """A fresh optimizer."""
        if self.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)
        return torch.optim.Adam(parameters, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)

    def rate(self, progress: float) -> float:
        """Learning rate at a share of the search, in [0, 1]."""
        if self.lr_end is None:
            return self.lr
        from archwright.gradient.schedules import cosine, cosine_power

        if self.schedule == "cosine":
            return cosine(progress, self.lr, self.lr_end)
        return cosine_power(progress, self.lr, self.lr_end, self.power)


@dataclass(frozen=True)
class Method:
    """Four parts and their settings; see `archwright list recipes` for the published combinations.

    Attributes:
        relaxation: architecture parameters to weights.
        mixing: how candidates are combined.
        update: how weights and architecture parameters are updated.
        selection: from architecture parameters to one architecture.
        penalties: what is added to the losses.
        weights: training of the shared weights.
        architecture: training of the architecture parameters.
        epochs: of the search.
        batch: examples a step, of each split.
        warmup: epochs in which only the weights are trained, at the start of every stage of the selection.
        train_share: share of the training data for the weights, the rest is for the architecture.
        split: `half` cuts the training data once, `valid` takes the task's validation part for the architecture,
            `fresh` cuts anew every epoch, so that both see all examples but never in the same epoch (row 140).
        keep: `best` returns the derived architecture of the epoch with the best validation measure, `last` the last;
            the measure is that of the mixture where one is run, otherwise of the derived path.
        augment: whether the task's augmentation is applied to both.
        autocast: compute losses in bfloat16 where that is safe; parameters and their updates stay in float32.
        compile: passes with a gradient are one piece of code of torch's compiler, on CUDA devices a captured graph.
            The first step compiles for minutes where the supernet has many cells. Not for methods whose passes differ
            from step to step: see `check_compiles`.
    """

    relaxation: Relaxation
    mixing: MixingMethod
    update: Update
    selection: Selection
    penalties: tuple[Penalty, ...] = ()
    weights: Training = field(default_factory=Training)
    architecture: Training = field(
        default_factory=lambda: Training("adam", 3e-4, None, betas=(0.5, 0.999), weight_decay=1e-3, clip=0.0)
    )
    epochs: int = 50
    batch: int = 64
    warmup: int = 0
    train_share: float = 0.5
    split: Literal["half", "valid", "fresh"] = "half"
    keep: Literal["best", "last"] = "best"
    augment: bool = True
    autocast: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.warmup <= self.epochs or self.epochs < 1 or self.batch < 1:
            raise ConfigurationError(
                f"a method needs epochs >= 1, warmup within them and batch >= 1, got epochs={self.epochs}, "
                f"warmup={self.warmup}, batch={self.batch}"
            )
        if not 0.0 < self.train_share < 1.0:
            raise ConfigurationError(f"train_share must lie between 0 and 1, got {self.train_share}")
        self.mixing.check(self.relaxation)
        self.update.check(self.relaxation)
        self.selection.check(self.relaxation)
        for penalty in self.penalties:
            penalty.check(self.relaxation)
        if self.compile:
            self.check_compiles()

    def check_compiles(self) -> None:
        """See that every step runs the same operators on the same tensors, so that its code can be kept.

        Raises:
            ConfigurationError: if it does not, with the reason.
        """
        if self.relaxation.one_path:
            raise ConfigurationError(
                f"compile=True needs steps that run the same operators; {type(self.relaxation).__name__} draws another "
                "path at each, which would be compiled anew; use compile=False"
            )
        if not self.mixing.steady:
            raise ConfigurationError(
                f"compile=True needs steps that read the same tensors; {type(self.mixing).__name__} replaces those of "
                "the operators at each; use compile=False"
            )

    def with_(self, **changes: Any) -> Method:
        """A copy with other settings.

        Raises:
            ConfigurationError: if a setting is unknown.
        """
        known = [f.name for f in fields(self)]
        for name in changes:
            if name not in known:
                raise ConfigurationError(f"a method has no setting {name!r}; {nearest(name, known)}")
        return replace(self, **changes)

    def stage_at(self, epoch: int) -> int:
        """The selection's stage of an epoch."""
        return max(i for i, begin in enumerate(self._begins()) if epoch >= begin)

    def stage_span(self, stage: int) -> tuple[int, int]:
        """First epoch of a stage and its number of epochs."""
        begin, end = (*self._begins(), self.epochs)[stage : stage + 2]
        return begin, max(1, end - begin)

    def _begins(self) -> tuple[int, ...]:
        return tuple(int(share * self.epochs + 1e-9) for share in self.selection.starts)

    def describe(self) -> dict[str, str]:
        """Names of the parts."""
        return {
            "relaxation": type(self.relaxation).__name__,
            "mixing": type(self.mixing).__name__,
            "update": type(self.update).__name__,
            "selection": type(self.selection).__name__,
            "penalties": ", ".join(type(p).__name__ for p in self.penalties) or "none",
        }
