"""Weights that are parameters themselves, kept on the probability simplex (MPCViT's alpha in [0, 1])."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from archwright.errors import ConfigurationError
from archwright.gradient.relaxations.base import Draw, Relaxation, active_of, blocked_of, straight_through
from archwright.nets.flow import Weights
from archwright.registry import register


@register("relaxations", "simplex", labels={"runs": "all options"})
@dataclass(frozen=True)
class Simplex(Relaxation):
    """No softmax: after every step parameters are moved to the nearest weights (Duchi et al., 2008, figure 1).

    Of two options the second one's weight is the alpha of MPCViT (Zeng et al., ICCV 2023, section 4.2), clipped to
    [0, 1]. Gradients pass as if no weight had to be positive, so that an option at zero can come back; their mean is
    taken off, as it would move all weights alike, and optimizers that scale every entry would see nothing else.

    Attributes:
        start: `equal` weights at first, or all on the `last` option, as MPCViT's alpha is 1 at first.
    """

    start: Literal["equal", "last"] = "equal"

    def __post_init__(self) -> None:
        if self.start not in ("equal", "last"):
            raise ConfigurationError(f"the start of the relaxation 'simplex' is equal or last, got {self.start!r}")

    def initial(self, options: int, generator: torch.Generator) -> Tensor:
        """(options,) weights to start from."""
        if self.start == "last":
            return torch.nn.functional.one_hot(torch.tensor(options - 1), options).float()
        return onto_simplex(1.0 / options + super().initial(options, generator))

    def weights(self, parameters: Mapping[str, Tensor], draw: Draw) -> Weights:
        """The parameters."""
        values = {p: self.probabilities(a, blocked_of(draw, p)) for p, a in parameters.items()}
        return Weights(values, active_of(draw, parameters))

    def probabilities(self, parameter: Tensor, blocked: Tensor | None = None) -> Tensor:
        """The parameters; what removed options had goes to the others."""
        if blocked is None:
            return straight_through(parameter - parameter.mean(), onto_simplex(parameter.detach()))
        kept = self.probabilities(parameter[~blocked])
        return torch.zeros_like(parameter).masked_scatter(~blocked, kept)

    @torch.no_grad()
    def settle(self, parameters: Mapping[str, Tensor]) -> None:
        """Move the parameters onto the simplex."""
        for parameter in parameters.values():
            parameter.copy_(onto_simplex(parameter))


def onto_simplex(values: Tensor) -> Tensor:
    """The nearest point of non-negative entries that sum to one: (options,)."""
    ordered = values.sort(descending=True).values
    count = torch.arange(1, len(values) + 1, device=values.device, dtype=values.dtype)
    excess = (ordered.cumsum(0) - 1.0) / count
    last = int((ordered > excess).sum()) - 1
    return (values - excess[last]).clamp_min(0.0)
