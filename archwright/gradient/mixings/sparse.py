"""Masked weights: the candidates are compared at the sparsity that the found network will have (DASS)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from archwright.errors import ConfigurationError
from archwright.gradient.mixings.base import MixingMethod, refuse
from archwright.gradient.relaxations.base import Relaxation
from archwright.gradient.relaxations.binary_path import BinaryPath
from archwright.nets.mixing import Mixing
from archwright.registry import register

if TYPE_CHECKING:
    from archwright.nets.supernet import Supernet

MASKED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@register("mixings", "sparse", labels={"calls": "one an option, on masked weights"})
@dataclass(frozen=True)
class SparseWeights(MixingMethod):
    """Outputs are summed as in DARTS; weights of convolutions and linear maps are masked by learned scores.

    Mousavi et al., "DASS: Differentiable architecture search for sparse neural networks", 2023, section 4: the supernet
    is trained dense, then scores that start as the weights' magnitudes are trained with the loss while the largest of
    each tensor make its mask (straight through, as in HYDRA, Sehwag et al., 2020), then the weights are tuned under
    fixed masks; the architecture parameters see the masked network from the second phase on. Lengths of the phases and
    one sparsity for every tensor are our choice.

    Attributes:
        sparsity: share of the weights that are zero.
        dense: share of the search before masks are applied.
        scored: share of the search after which masks are fixed.
    """

    steady: ClassVar[bool] = False

    sparsity: float = 0.9
    dense: float = 0.3
    scored: float = 0.6

    def __post_init__(self) -> None:
        if not 0.0 <= self.sparsity < 1.0 or not 0.0 <= self.dense <= self.scored <= 1.0:
            raise ConfigurationError(
                "sparse weights need a sparsity in [0, 1) and 0 <= dense <= scored <= 1, got "
                f"{self.sparsity}, {self.dense}, {self.scored}"
            )

    def engine(self) -> Mixing:
        """Separate calls."""
        return Mixing(entangled=False)

    def check(self, relaxation: Relaxation) -> None:
        """Options that are computed in the backward pass alone would meet unmasked weights."""
        if isinstance(relaxation, BinaryPath):
            refuse("sparse", relaxation, "it runs options in the backward pass, where the masks are gone; use gumbel")

    def companion(self, supernet: Supernet) -> nn.Module:
        """The scores."""
        return Scores(supernet, self)

    @contextmanager
    def applied(self, supernet: Supernet, companion: nn.Module | None, progress: float) -> Iterator[None]:
        """The supernet computes with masked weights within the block."""
        if not isinstance(companion, Scores):
            raise ConfigurationError(
                f"sparse weights need the scores of their own `companion(supernet)`, got {type(companion).__name__}"
            )
        with companion.masking(supernet, progress):
            yield


class Scores(nn.Module):
    """A score for every weight that may be masked; the largest are kept."""

    started: Tensor

    def __init__(self, supernet: Supernet, method: SparseWeights) -> None:
        super().__init__()
        self.method = method
        self.names = [f"{name}.weight" for name, m in supernet.named_modules() if isinstance(m, MASKED)]
        tensors = dict(supernet.named_parameters())
        self.scores = nn.ParameterList(nn.Parameter(tensors[name].detach().abs()) for name in self.names)
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    @contextmanager
    def masking(self, supernet: nn.Module, progress: float) -> Iterator[None]:
        """Masked tensors stand in for the weights."""
        if progress < self.method.dense:
            yield
            return
        if not bool(self.started):
            self._start(supernet)
        places: list[tuple[dict[str, Any], Tensor]] = []
        try:
            for name, score in zip(self.names, self.scores, strict=True):
                place: dict[str, Any] = supernet.get_submodule(name.rpartition(".")[0])._parameters
                weight = place["weight"]
                places.append((place, weight))
                place["weight"] = weight * self._mask(score, progress)
            yield
        finally:
            for place, weight in places:
                place["weight"] = weight

    @torch.no_grad()
    def _start(self, supernet: nn.Module) -> None:
        """Scores start as the magnitudes of the weights as they are now, the largest of a tensor as one."""
        for name, score in zip(self.names, self.scores, strict=True):
            weight = supernet.get_parameter(name).abs()
            score.copy_(weight / weight.max().clamp_min(1e-12))
        self.started.fill_(True)

    def _mask(self, score: Tensor, progress: float) -> Tensor:
        """Ones at the largest scores; while scores are trained, with the gradient of the identity."""
        flat = score.detach().abs().flatten()
        kept = max(1, round((1.0 - self.method.sparsity) * flat.numel()))
        mask = torch.zeros_like(flat).index_fill_(0, flat.topk(kept).indices, 1.0).view_as(score)
        return mask + score - score.detach() if progress < self.method.scored else mask


__all__ = ["Scores", "SparseWeights"]
