"""The loss of a network with an auxiliary head."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from archwright.operators.auxiliary import AuxiliaryClassifier
from archwright.tasks.base import Task


def with_auxiliary(task: Task, net: nn.Module, weight: float = 0.4) -> Task:
    """A task whose training loss adds `weight` times the loss of the net's auxiliary heads (0.4 in DARTS).

    Args:
        task: left as it is.
        net: with `Auxiliary` operators; without any the task is given back.
        weight: of their loss.
    """
    heads = [m for m in net.modules() if isinstance(m, AuxiliaryClassifier)]
    if not heads:
        return task
    plain = type(task)

    def loss(self: Any, outputs: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        total = plain.loss(self, outputs, targets, smoothing=smoothing)
        for head in heads:
            if head.logits is not None:
                total = total + weight * plain.loss(self, head.logits, targets, smoothing=smoothing)
        return total

    twin = copy.copy(task)
    object.__setattr__(twin, "__class__", type(f"Auxiliary{plain.__name__}", (plain,), {"loss": loss}))
    return twin
