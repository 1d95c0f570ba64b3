"""Penalties on the architecture parameters themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from archwright.errors import ConfigurationError
from archwright.gradient.core import entropy
from archwright.gradient.penalties.base import Context, Penalty
from archwright.gradient.penalties.cost import check_learned
from archwright.gradient.relaxations.dirichlet import Dirichlet, concentrations
from archwright.gradient.relaxations.sigmoid import Sigmoid

if TYPE_CHECKING:
    from archwright.gradient.relaxations.base import Relaxation


@dataclass
class Entropy(Penalty):
    """Strength times the mean relative entropy of the decisions; grows with the progress where `growing`.

    As in QuantNAS (Shvetsov et al., 2022) and ASAP; positive strengths push towards one-hot choices.
    """

    strength: float = 1e-3
    growing: bool = True

    def check(self, relaxation: Relaxation) -> None:
        """There must be something to learn."""
        check_learned("entropy", relaxation)

    def architecture(self, loss: Tensor, context: Context) -> Tensor:
        """The loss with the entropy in it."""
        share = context.progress if self.growing else 1.0
        return loss + self.strength * share * entropy(context.core.probabilities())


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
