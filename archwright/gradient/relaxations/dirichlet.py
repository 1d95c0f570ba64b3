"""Weights drawn from a Dirichlet distribution whose concentrations are learned (DrNAS)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from archwright.gradient.relaxations.base import Draw, Relaxation, active_of, blocked_of
from archwright.nets.flow import Weights
from archwright.registry import register


@register("relaxations", "dirichlet", labels={"runs": "all options"})
@dataclass(frozen=True)
class Dirichlet(Relaxation):
    """Dirichlet samples with concentrations elu(a) + 1 (DrNAS, Chen et al., 2021, section 3.1).

    The gradient goes through the sample (pathwise derivative). DrNAS keeps the concentrations near one by a penalty
    (`DirichletAnchor`) and drops the weakest options half way (`progressive` selection).
    """

    def weights(self, parameters: Mapping[str, Tensor], draw: Draw) -> Weights:
        """One sample for each decision."""
        values = {}
        for path, parameter in parameters.items():
            blocked = blocked_of(draw, path)
            kept = slice(None) if blocked is None else ~blocked
            beta = concentrations(parameter)[kept]
            sample = _sample(beta, draw.generator)
            values[path] = sample if blocked is None else torch.zeros_like(parameter).masked_scatter(~blocked, sample)
        return Weights(values, active_of(draw, parameters))

    def probabilities(self, parameter: Tensor, blocked: Tensor | None = None) -> Tensor:
        """The mean of the distribution."""
        beta = concentrations(parameter)
        beta = beta if blocked is None else beta.masked_fill(blocked, 0.0)
        return beta / beta.sum()


def concentrations(parameter: Tensor) -> Tensor:
    """elu(a) + 1, positive."""
    return F.elu(parameter) + 1.0


class _DirichletSample(torch.autograd.Function):
    """A sample with torch's pathwise gradient; drawn with the given generator."""

    @staticmethod
    def forward(ctx: Any, beta: Tensor, seed: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sample = torch._sample_dirichlet(beta.detach().cpu()).to(beta)
        ctx.save_for_backward(sample, beta)
        return sample

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        sample, beta = ctx.saved_tensors
        total = beta.sum(-1, keepdim=True).expand_as(beta)
        found = torch._dirichlet_grad(sample, beta, total)
        return found * (grad - (sample * grad).sum(-1, keepdim=True)), None


def _sample(beta: Tensor, generator: torch.Generator) -> Tensor:
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
    return _DirichletSample.apply(beta, seed)
