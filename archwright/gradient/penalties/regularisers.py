"""Penalties on the architecture parameters themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from archwright.errors import ConfigurationError
from archwright.gradient.core import entropy, total_entropy
from archwright.gradient.penalties.base import Context, Penalty
from archwright.gradient.penalties.cost import check_learned
from archwright.gradient.relaxations.dirichlet import Dirichlet, concentrations
from archwright.gradient.relaxations.sigmoid import Sigmoid

if TYPE_CHECKING:
    from archwright.gradient.relaxations.base import Relaxation


@dataclass
class Entropy(Penalty):
    """Strength times the entropy of the decisions: their mean relative one, or their sum in nats where `total`.

    Positive strengths push towards one-hot choices (ASAP, Noy et al., 2020). Where `growing`, the strength is
    multiplied by t (1 + log10 t), t being the share of the search after `start` that is over, and is zero up to
    t = 1/5: the temperature of the public code of QuantNAS (Shvetsov et al., 2022), whose 11 epochs after the warm-up
    give this function.
    """

    strength: float = 1e-3
    growing: bool = True
    start: float = 0.0
    total: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.start < 1.0:
            raise ConfigurationError(f"the entropy's start is a share of the search in [0, 1), got {self.start}")

    def temperature(self, progress: float) -> float:
        """The strength when a share of the search is over."""
        t = (progress - self.start) / (1.0 - self.start)
        if not self.growing:
            return self.strength
        return self.strength * t * (1.0 + math.log10(t)) if t >= 0.2 else 0.0

    def check(self, relaxation: Relaxation) -> None:
        """There must be something to learn."""
        check_learned("entropy", relaxation)

    def architecture(self, loss: Tensor, context: Context) -> Tensor:
        """The loss with the entropy in it."""
        chances = context.core.probabilities()
        value = total_entropy(chances) if self.total else entropy(chances)
        return loss + self.temperature(context.progress) * value


@dataclass
class L1(Penalty):
    """Strength times the mean absolute architecture parameter; for gates that should close.

    On the relaxation `simplex` it is constant; there `ExpectedCost` weighs every alpha by what it costs (MPCViT).
    """

    strength: float = 1e-3

    def check(self, relaxation: Relaxation) -> None:
        """There must be something to learn."""
        check_learned("l1", relaxation)

    def architecture(self, loss: Tensor, context: Context) -> Tensor:
        """The loss with the norm in it."""
        values = torch.cat(list(context.core.alpha().values()))
        return loss + self.strength * values.abs().mean()


@dataclass
class AlphaDecay(Penalty):
    """Half the strength times the squared architecture parameters, in the loss instead of the optimizer."""

    strength: float = 1e-3

    def check(self, relaxation: Relaxation) -> None:
        """There must be something to learn."""
        check_learned("alpha decay", relaxation)

    def architecture(self, loss: Tensor, context: Context) -> Tensor:
        """The loss with the decay in it."""
        values = torch.cat(list(context.core.alpha().values()))
        return loss + 0.5 * self.strength * values.square().sum()


@dataclass
class ZeroOne(Penalty):
    """Minus strength times the mean squared distance of the gates from 1/2 (FairDARTS, Chu et al., 2020; 10 there)."""

    strength: float = 10.0

    def check(self, relaxation: Relaxation) -> None:
        """The relaxation must have gates of its own for every option."""
        if not isinstance(relaxation, Sigmoid):
            raise ConfigurationError(
                f"the zero-one loss needs the relaxation 'sigmoid', got {type(relaxation).__name__}"
            )

    def architecture(self, loss: Tensor, context: Context) -> Tensor:
        """The loss with the distance in it."""
        gates = torch.cat(list(context.core.alpha().values())).sigmoid()
        return loss - self.strength * (gates - 0.5).square().mean()


@dataclass
class DirichletAnchor(Penalty):
    """Divergence of the Dirichlet distributions from the flat one (DrNAS, Chen et al., 2021, equation 5; 1e-3)."""

    strength: float = 1e-3

    def check(self, relaxation: Relaxation) -> None:
        """The relaxation must be a Dirichlet distribution."""
        if not isinstance(relaxation, Dirichlet):
            raise ConfigurationError(
                f"the Dirichlet anchor needs the relaxation 'dirichlet', got {type(relaxation).__name__}"
            )

    def architecture(self, loss: Tensor, context: Context) -> Tensor:
        """The loss with the divergence in it."""
        from torch.distributions import Dirichlet as Distribution
        from torch.distributions import kl_divergence

        terms = []
        for parameter in context.core.alpha().values():
            beta = concentrations(parameter)
            terms.append(kl_divergence(Distribution(beta), Distribution(torch.ones_like(beta))))
        return loss + self.strength * torch.stack(terms).mean()
