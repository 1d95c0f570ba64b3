"""Architecture step on validation data, then weights step on training data (DARTS, first order)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from archwright.gradient.updates.base import Update
from archwright.registry import register

if TYPE_CHECKING:
    from archwright.gradient.step import Batch, Stepper


@register("updates", "first_order", labels={"passes": 2})
@dataclass(frozen=True)
class FirstOrder(Update):
    """Alternating steps without unrolling (Liu et al., 2019, section 2.3 with xi = 0).

    In each step only the gradients that are needed are computed.

    Attributes:
        every: weights steps for one architecture step.
    """

    every: int = 1

    def step(self, stepper: Stepper, train: Batch, valid: Batch, number: int) -> Tensor:
        """Architecture, then weights."""
        if stepper.architecture is not None and number % self.every == 0:
            stepper.architecture_step(valid)
        return stepper.weights_step(train)
