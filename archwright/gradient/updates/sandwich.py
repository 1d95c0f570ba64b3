"""Largest, smallest and random subnets in one step (BigNAS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from archwright.gradient.relaxations.base import Relaxation
from archwright.gradient.updates.base import Update, refuse
from archwright.registry import register

if TYPE_CHECKING:
    from archwright.gradient.step import Batch, Stepper


@register("updates", "sandwich", labels={"passes": 4})
@dataclass(frozen=True)
class Sandwich(Update):
    """Sandwich rule with in-place distillation (Yu et al., 2020, sections 3.1 and 3.2).

    Attributes:
        middle: random subnets a step.
        distil: whether all but the largest learn from the largest's outputs instead of the labels.
    """

    middle: int = 2
    distil: bool = True

    def check(self, relaxation: Relaxation) -> None:
        """Paths are drawn uniformly; nothing is learned about the architecture."""
        if relaxation.learned:
            refuse(
                "sandwich",
                relaxation,
                "it draws its own subnets and learns no architecture; use the relaxation 'uniform'",
            )

    def step(self, stepper: Stepper, train: Batch, valid: Batch, number: int) -> Tensor:
        """One optimizer step on the gradients of all subnets together."""
        core, (inputs, targets) = stepper.core, train
        space = core.inner
        rng = np.random.default_rng(stepper.generator.initial_seed())
        drawn = [space.largest(), *space.sample(self.middle, rng), space.smallest()]
        stepper.weights.zero_grad(set_to_none=True)
        losses: list[Tensor] = []
        teacher: Tensor | None = None
        for architecture in drawn:
            with stepper.precision():
                outputs = core.path(inputs, architecture)
                if teacher is None or not self.distil:
                    loss = stepper.loss(outputs, targets)
                else:
                    loss = -(teacher.softmax(-1) * outputs.log_softmax(-1)).sum(-1).mean()
            loss.backward()
            losses.append(loss.detach())
            if teacher is None:
                teacher = outputs.detach()
        stepper.apply_weights()
        return losses[0]
