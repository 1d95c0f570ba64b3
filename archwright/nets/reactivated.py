"""Masks by magnitude, tighter step by step, whose zeros may grow again in between (SuperTickets).

You et al., "SuperTickets: Drawing task-agnostic lottery tickets from supernets", ECCV 2022, section 3.2: progressive
pruning sets the smallest weights to zero at the end of every interval of the training, a tenth more each time, and
iterative reactivation lets what was pruned be trained again before the next one, so that connections may change.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from archwright.errors import ConfigurationError
from archwright.nets.masks import Masks, largest


class Reactivated(Masks):
    """The largest magnitudes of each tensor are kept at the end of each interval; zeros are free for a while after.

    Args:
        net: network or supernet.
        sparsity: share of each weight tensor that is zero at the end.
        intervals: of the whole training, of equal length; 25 of 350 epochs are published.
        step: share that is pruned more after each interval.
        regrow: share of an interval in which zeros are trained again; the public code knows 0 and 1.
        settled: share of the training after which masks are fixed.

    Raises:
        ConfigurationError: if the settings leave no interval before the masks are fixed.
    """

    pruned: Tensor

    def __init__(
        self,
        net: nn.Module,
        sparsity: float,
        *,
        intervals: int = 14,
        step: float = 0.1,
        regrow: float = 0.5,
        settled: float = 0.75,
    ) -> None:
        super().__init__(net, sparsity)
        self.intervals, self.step, self.regrow = intervals, step, regrow
        self.last = math.floor(settled * intervals + 1e-9)
        if self.last < 1 or not 0.0 <= regrow <= 1.0 or not 0.0 < step <= 1.0 or not 0.0 < settled <= 1.0:
            raise ConfigurationError(
                "masks that regrow need an interval before they settle, step in (0, 1], regrow in [0, 1] and settled "
                f"in (0, 1], got intervals={intervals}, step={step}, regrow={regrow}, settled={settled}"
            )
        self.register_buffer("pruned", torch.zeros((), dtype=torch.int64))  # intervals after which was pruned
        for i, name in enumerate(self.names):
            self.register_buffer(f"mask{i}", torch.ones_like(net.get_parameter(name)))

    def ratio(self, interval: int) -> float:
        """Share of zeros after so many intervals: `step` more each, the sparsity at last."""
        return self.sparsity if interval >= self.last else min(self.sparsity, self.step * interval)

    def interval(self, progress: float) -> int:
        """Intervals that are over and after which was or will be pruned."""
        return min(self.last, math.floor(progress * self.intervals + 1e-9))

    @torch.no_grad()
    def advance(self, net: nn.Module, progress: float) -> None:
        """Set the smallest weights to zero where an interval has ended."""
        due = self.interval(progress)
        if due <= int(self.pruned):
            return
        for i, name in enumerate(self.names):
            weight = net.get_parameter(name)
            mask = largest(weight.abs(), self.ratio(due))
            weight.mul_(mask)
            self.get_buffer(f"mask{i}").copy_(mask)
        self.pruned.fill_(due)

    def masked(self, index: int, weight: Tensor, progress: float) -> Tensor:
        """The whole weight while zeros may grow, else what the mask leaves of it."""
        due = self.interval(progress)
        if due == 0 or (due < self.last and progress * self.intervals - due < self.regrow):
            return weight
        return weight * self.get_buffer(f"mask{index}")


__all__ = ["Reactivated"]
