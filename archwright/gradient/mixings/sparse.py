"""Masked weights: the candidates are compared at the sparsity that the found network will have (DASS)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from archwright.errors import ConfigurationError
from archwright.gradient.mixings.masked import MaskedWeights
from archwright.nets.scores import Scores
from archwright.registry import register


@register("mixings", "sparse", labels={"calls": "one an option, on masked weights"})
@dataclass(frozen=True)
class SparseWeights(MaskedWeights):
    """Weights of convolutions and linear maps are masked by learned scores, in three phases.

    Mousavi et al., "DASS: Differentiable architecture search for sparse neural networks", 2023, section 4: the supernet
    is trained dense; scores that start as magnitudes are learned while the weights are frozen (`nets/scores.py`); then
    the weights are tuned under the fixed masks while the architecture parameters are trained on what the masked network
    loses. The recipe `dass` warms up until then. Lengths of phases and one sparsity for every tensor are our choice.

    Attributes:
        dense: share of the search before masks are applied.
        scored: share of the search after which masks are fixed.
    """

    dense: float = 0.2
    scored: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.dense <= self.scored <= 1.0:
            raise ConfigurationError(
                f"sparse weights need 0 <= dense <= scored <= 1, got dense={self.dense}, scored={self.scored}"
            )

    def masks(self, net: nn.Module) -> Scores:
        """The scores."""
        return Scores(net, self.sparsity, self.dense, self.scored)


__all__ = ["SparseWeights"]
