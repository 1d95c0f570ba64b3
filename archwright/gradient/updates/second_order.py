"""Architecture gradient through one unrolled weights step (DARTS, second order)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from archwright.gradient.distributed import averaged
from archwright.gradient.relaxations.base import Relaxation
from archwright.gradient.updates.base import Update, check_smooth, refuse
from archwright.registry import register

if TYPE_CHECKING:
    from archwright.gradient.step import Batch, Stepper


@register("updates", "second_order", labels={"passes": 5})
@dataclass(frozen=True)
class SecondOrder(Update):
    """Unrolled update with the finite-difference Hessian product (Liu et al., 2019, equations 6 to 8).

    Attributes:
        epsilon: numerator of the finite difference, divided by the norm of the weights' gradient.
    """

    keeps_gradients: ClassVar[bool] = True

    epsilon: float = 0.01

    def check(self, relaxation: Relaxation) -> None:
        """Needs one smooth mixture and something to learn."""
        check_smooth("second_order", relaxation)
        if not relaxation.learned:
            refuse("second_order", relaxation, "nothing is learned about the architecture")

    def step(self, stepper: Stepper, train: Batch, valid: Batch, number: int) -> Tensor:
        """Unrolled architecture step, then weights step."""
        self.architecture_gradient(stepper, train, valid)
        stepper.apply_architecture()
        return stepper.weights_step(train)

    def architecture_gradient(self, stepper: Stepper, train: Batch, valid: Batch) -> None:
        """Leave the unrolled gradient in the architecture parameters' `grad`."""
        core = stepper.core
        weights = [p for p in core.weight_parameters() if p.requires_grad]
        alphas = core.architecture_parameters()
        state = stepper.generator.get_state()

        def gradients(batch: Batch, wanted: Sequence[nn.Parameter], phase: str) -> list[Tensor]:
            stepper.generator.set_state(state)  # the same noise in all passes
            loss = stepper.evaluate(batch, "architecture", penalised=phase == "valid")
            found = torch.autograd.grad(loss, list(wanted), allow_unused=True)
            return averaged([torch.zeros_like(p) if g is None else g for p, g in zip(wanted, found, strict=True)])

        moved = _unrolled(stepper.weights, weights, gradients(train, weights, "train"))
        with _moved(weights, moved):
            both = gradients(valid, [*alphas, *weights], "valid")
        to_alpha, to_weights = both[: len(alphas)], both[len(alphas) :]
        norm = float(torch.sqrt(sum((g.square().sum() for g in to_weights), torch.zeros(()))))
        eps = self.epsilon / max(norm, 1e-12)
        with _shifted(weights, to_weights, eps):
            plus = gradients(train, alphas, "train")
        with _shifted(weights, to_weights, -eps):
            minus = gradients(train, alphas, "train")
        rate = stepper.weights.param_groups[0]["lr"]
        for p, g, a, b in zip(alphas, to_alpha, plus, minus, strict=True):
            p.grad = g - rate * (a - b) / (2.0 * eps)


@torch.no_grad()
def _unrolled(
    optimizer: torch.optim.Optimizer, weights: Sequence[nn.Parameter], grads: Sequence[Tensor]
) -> list[Tensor]:
    """The weights after one step of momentum SGD, without taking it."""
    group = optimizer.param_groups[0]
    out = []
    for p, g in zip(weights, grads, strict=True):
        step = g + group["weight_decay"] * p
        buffer = optimizer.state.get(p, {}).get("momentum_buffer")
        if buffer is not None:
            step = step + group["momentum"] * buffer
        out.append(p - group["lr"] * step)
    return out


@contextmanager
def _moved(weights: Sequence[nn.Parameter], values: Sequence[Tensor]) -> Iterator[None]:
    before = [p.detach().clone() for p in weights]
    try:
        with torch.no_grad():
            for p, v in zip(weights, values, strict=True):
                p.copy_(v)
        yield
    finally:
        with torch.no_grad():
            for p, v in zip(weights, before, strict=True):
                p.copy_(v)


@contextmanager
def _shifted(weights: Sequence[nn.Parameter], direction: Sequence[Tensor], size: float) -> Iterator[None]:
    with _moved(weights, [p.detach() + size * d for p, d in zip(weights, direction, strict=True)]):
        yield
