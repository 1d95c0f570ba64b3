"""Masks by learned scores: pretrain dense, learn which weights stay, tune those (HYDRA; the pruning of DASS).

Sehwag et al., "HYDRA: Pruning adversarially robust neural networks", 2020, section 3: weights are frozen while a score
for each of them is trained with the loss through the mask of the largest, straight through; then the scores are frozen
and the weights under the mask are trained.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from archwright.nets.masks import Masks, largest


class Scores(Masks):
    """A score for every weight that may be masked; the largest of each tensor are kept.

    Scores start as sqrt(6 / fan-in) times the magnitudes of the weights as they are when the dense phase is over, over
    the largest of the tensor (HYDRA, equation 4), so that a pass begins with the mask of the largest magnitudes.

    Args:
        net: network or supernet.
        sparsity: share of each weight tensor that is zero after the dense phase.
        dense: share of the training before scores are learned.
        scored: share of the training after which masks are fixed.
    """

    started: Tensor

    def __init__(self, net: nn.Module, sparsity: float, dense: float = 0.2, scored: float = 0.4) -> None:
        super().__init__(net, sparsity)
        self.dense, self.scored = dense, scored
        self.scores = nn.ParameterList(nn.Parameter(net.get_parameter(n).detach().abs()) for n in self.names)
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def advance(self, net: nn.Module, progress: float) -> None:
        """Scores begin with the magnitudes once the dense phase is over."""
        if progress < self.dense or bool(self.started):
            return
        for name, score in zip(self.names, self.scores, strict=True):
            weight = net.get_parameter(name).abs()
            fan_in = max(1, weight[0].numel())
            score.copy_(math.sqrt(6.0 / fan_in) * weight / weight.max().clamp_min(1e-12))
        self.started.fill_(True)

    def masked(self, index: int, weight: Tensor, progress: float) -> Tensor:
        """The weight in the dense phase; then masked, frozen while scores are learned."""
        if progress < self.dense:
            return weight
        score = self.scores[index]
        mask = largest(score, self.sparsity)
        if progress >= self.scored:
            return weight * mask
        return weight.detach() * (mask + (score - score.detach()))  # the bracket is exactly zero


__all__ = ["Scores"]
