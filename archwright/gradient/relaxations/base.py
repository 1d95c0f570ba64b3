"""What a relaxation is: architecture parameters in, weights of a mixture out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from archwright.nets.flow import Weights

Phase = Literal["weights", "architecture"]


@dataclass(frozen=True, eq=False)
class Draw:
    """What a relaxation may use beside the parameters.

    Attributes:
        generator: of this step; the same on every rank.
        progress: share of the search that is over, in [0, 1].
        phase: whose gradient is wanted.
        blocked: decision path -> options that a selection has removed, (options,) bool.
    """

    generator: torch.Generator
    progress: float = 0.0
    phase: Phase = "architecture"
    blocked: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class Relaxation(ABC):
    """Turns parameters, one vector (options,) a decision, into weights."""

    one_path: ClassVar[bool] = False  # at most a few options of each decision are run
    learned: ClassVar[bool] = True  # has architecture parameters that a gradient moves

    def initial(self, options: int, generator: torch.Generator) -> Tensor:
        """(options,) parameters to start from: nearly equal chances (Liu et al., 2019, their code)."""
        return 1e-3 * torch.randn(options, generator=generator)

    @abstractmethod
    def weights(self, parameters: Mapping[str, Tensor], draw: Draw) -> Weights:
        """Weights of every decision."""

    def probabilities(self, parameter: Tensor, blocked: Tensor | None = None) -> Tensor:
        """(options,) chances of one decision, summing to 1: for expected costs, reports and the choice at the end."""
        return masked_softmax(parameter, blocked)

    def surrogate(self, loss: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """The loss whose gradient the architecture parameters get."""
        return loss

    def settle(self, parameters: Mapping[str, Tensor]) -> None:
        """Bring parameters that have moved back to where they have to be, in place."""


def masked_softmax(logits: Tensor, blocked: Tensor | None) -> Tensor:
    """Softmax over the options that are not blocked."""
    return logits.softmax(-1) if blocked is None else logits.masked_fill(blocked, -torch.inf).softmax(-1)


def blocked_of(draw: Draw, path: str) -> Tensor | None:
    """The removed options of a decision, (options,) bool, or None."""
    return None if draw.blocked is None else draw.blocked.get(path)


def active_of(draw: Draw, parameters: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The options that are still there, for decisions that lost some."""
    blocked = draw.blocked or {}
    return {path: tuple((~mask).nonzero()[:, 0].tolist()) for path, mask in blocked.items() if path in parameters}


def gumbel(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise of a tensor's shape, drawn on the CPU so that every rank and device has the same."""
    uniform = torch.rand(like.shape, generator=generator).clamp_(1e-20, 1.0)
    return -torch.log((-torch.log(uniform)).clamp_min(1e-20)).to(like)


def straight_through(soft: Tensor, hard: Tensor) -> Tensor:
    """The hard value with the gradient of the soft one."""
    return hard + (soft - soft.detach())  # the sum in brackets is exactly zero


def annealed(start: float, end: float, progress: float, how: str = "linear") -> float:
    """A temperature between start and end; `how` is linear or exponential."""
    if how == "linear":
        return start + (end - start) * progress
    return float(start * (end / start) ** progress)


def draw_option(probabilities: Tensor, generator: torch.Generator, count: int = 1) -> list[int]:
    """Options drawn without replacement, fewer if fewer are possible."""
    p = probabilities.detach().to("cpu", torch.float64)
    count = min(count, int((p > 0).sum()))
    return torch.multinomial(p, count, generator=generator).tolist()
