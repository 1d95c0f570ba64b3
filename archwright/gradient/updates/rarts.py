"""Relaxed architecture search with a second copy of the weights (RARTS)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from archwright.gradient.core import Core, frozen
from archwright.gradient.relaxations.base import Relaxation
from archwright.gradient.updates.base import Update, check_smooth, refuse
from archwright.registry import register

if TYPE_CHECKING:
    from archwright.gradient.step import Batch, Stepper


@register("updates", "rarts", labels={"passes": 2})
@dataclass(frozen=True)
class RARTS(Update):
    """Single-level relaxation of the bilevel problem (Xue et al., 2020, equations 5 to 8).

    L = L_val(y, a) + strength L_train(w, a) + coupling / 2 ||y - w||^2 over two copies y and w of the weights. w
    follows its gradient with the training data, y with the validation data and the new w, and the architecture
    parameters both losses; no second derivative is needed. The supernet holds y; w is kept beside it.

    Attributes:
        strength: lambda of the paper.
        coupling: beta of the paper.
        sequential: take the architecture gradient at the new y and w (four passes) as the paper's Gauss-Seidel form
            does, instead of together with the weights' gradients (two passes). Both have the same fixed points.
    """

    strength: float = 1.0
    coupling: float = 0.1
    sequential: bool = False

    def check(self, relaxation: Relaxation) -> None:
        """Needs one smooth mixture and something to learn."""
        if not relaxation.learned:
            refuse("rarts", relaxation, "nothing is learned about the architecture")
        check_smooth("rarts", relaxation)

    def step(self, stepper: Stepper, train: Batch, valid: Batch, number: int) -> Tensor:
        """w, then y, then the architecture."""
        y = stepper.core
        w = self._second(stepper)
        optimizer = stepper.extra_optimizers["rarts"]
        for group, main in zip(optimizer.param_groups, stepper.weights.param_groups, strict=True):
            group["lr"] = main["lr"]
        stepper.zero_architecture()
        train_loss = self._pass(stepper, w, train, self.strength)
        self._couple(w, y)
        stepper.apply_weights(w, optimizer)
        self._pass(stepper, y, valid, 1.0)
        self._couple(y, w)
        stepper.apply_weights()
        if self.sequential:
            stepper.zero_architecture()
            with frozen(w.weight_parameters()), frozen(y.weight_parameters()):
                self._pass(stepper, w, train, self.strength)
                self._pass(stepper, y, valid, 1.0)
        stepper.apply_architecture()
        return train_loss

    def _pass(self, stepper: Stepper, core: Core, batch: Batch, strength: float) -> Tensor:
        """Add the gradients of one loss; the architecture parameters are shared by both copies."""
        for p in core.weight_parameters():
            p.grad = None
        loss = stepper.evaluate(batch, "architecture", core=core, penalised=core is stepper.core)
        (strength * loss).backward()
        return loss.detach()

    def _couple(self, one: Core, other: Core) -> None:
        """Gradient of coupling / 2 ||one - other||^2 with respect to the first."""
        with torch.no_grad():
            for p, q in zip(one.weight_parameters(), other.weight_parameters(), strict=True):
                p.grad = self.coupling * (p - q) if p.grad is None else p.grad.add_(p - q, alpha=self.coupling)

    def _second(self, stepper: Stepper) -> Core:
        known = stepper.extra.get("rarts")
        if known is None:
            known = self.second_copy(stepper.core)
            stepper.add_copy("rarts", known)
        return known

    @staticmethod
    def second_copy(core: Core) -> Core:
        """A copy of the weights that shares the architecture parameters."""
        twin = copy.deepcopy(core)
        twin.alphas, twin.betas, twin.blocked = core.alphas, core.betas, core.blocked
        return twin
