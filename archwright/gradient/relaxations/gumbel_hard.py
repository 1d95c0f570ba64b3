"""Straight-through Gumbel softmax: one option is run, the gradient is that of the soft vector (GDAS)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from archwright.gradient.relaxations.base import (
    Draw,
    Relaxation,
    annealed,
    blocked_of,
    gumbel,
    masked_softmax,
    straight_through,
)
from archwright.nets.flow import Weights
from archwright.registry import register


@register("relaxations", "gumbel_hard", labels={"runs": "one option"})
@dataclass(frozen=True)
class GumbelHard(Relaxation):
    """Hard Gumbel softmax (GDAS, Dong and Yang, 2019, equations 3 to 5; temperature 10 to 0.1 in their code).

    Only the drawn option is run; as in GDAS the gradient with respect to the others' weights is left out. All drawn
    options reach the host in one transfer, so that an accelerator is asked once a step.
    """

    one_path: ClassVar[bool] = True

    start: float = 10.0
    end: float = 0.1
    schedule: Literal["linear", "exponential"] = "linear"

    def weights(self, parameters: Mapping[str, Tensor], draw: Draw) -> Weights:
        """One-hot vectors with the gradient of the soft ones."""
        tau = annealed(self.start, self.end, draw.progress, self.schedule)
        soft = {
            p: masked_softmax((a.log_softmax(-1) + gumbel(a, draw.generator)) / tau, blocked_of(draw, p))
            for p, a in parameters.items()
        }
        return one_path(soft)


def one_path(soft: Mapping[str, Tensor], by: Mapping[str, Tensor] | None = None) -> Weights:
    """The option of every decision that is largest by `by`, or by the soft weights, straight through."""
    if not soft:
        return Weights({})
    chosen = torch.stack([s.detach().argmax() for s in (soft if by is None else by).values()]).tolist()
    values, active = {}, {}
    for (path, s), k in zip(soft.items(), chosen, strict=True):
        hard = torch.zeros_like(s)
        hard[k] = 1.0
        values[path] = straight_through(s, hard)
        active[path] = (int(k),)
    return Weights(values, active)
