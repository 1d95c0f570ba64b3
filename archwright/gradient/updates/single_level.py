"""Both kinds of parameters on the same loss (one-level optimisation)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from archwright.gradient.relaxations.base import Relaxation
from archwright.gradient.updates.base import Update, refuse
from archwright.registry import register

if TYPE_CHECKING:
    from archwright.gradient.step import Batch, Stepper


@register("updates", "single_level", labels={"passes": 1})
@dataclass(frozen=True)
class SingleLevel(Update):
    """One pass gives all gradients (StacNAS, Li et al., 2019; single-stage search)."""

    def check(self, relaxation: Relaxation) -> None:
        """There must be something to learn."""
        if not relaxation.learned:
            refuse("single_level", relaxation, "nothing is learned about the architecture; use first_order")

    def step(self, stepper: Stepper, train: Batch, valid: Batch, number: int) -> Tensor:
        """All gradients of the training loss."""
        loss = stepper.evaluate(train, "architecture")
        stepper.weights.zero_grad(set_to_none=True)
        stepper.zero_architecture()
        stepper.core.relaxation.surrogate(loss, stepper.core.alpha()).backward()
        stepper.apply_weights()
        stepper.apply_architecture()
        return loss.detach()
