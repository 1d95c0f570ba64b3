"""What mixings over masked weights share: outputs are summed as in DARTS, weights of the operators are masked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import nn

from archwright.errors import ConfigurationError
from archwright.gradient.mixings.base import MixingMethod, refuse
from archwright.gradient.relaxations.base import Relaxation
from archwright.gradient.relaxations.binary_path import BinaryPath
from archwright.nets.masks import Masks
from archwright.nets.mixing import Mixing

if TYPE_CHECKING:
    from archwright.nets.supernet import Supernet


@dataclass(frozen=True)
class MaskedWeights(MixingMethod):
    """Outputs are summed; weights of convolutions and linear maps are masked.

    Attributes:
        sparsity: share of the weights of each tensor that are zero at the end.
    """

    steady: ClassVar[bool] = False

    sparsity: float = 0.9

    def __post_init__(self) -> None:
        if not 0.0 <= self.sparsity < 1.0:
            raise ConfigurationError(f"masked weights need a sparsity in [0, 1), got {self.sparsity}")

    @abstractmethod
    def masks(self, net: nn.Module) -> Masks:
        """The masks of a network or supernet by this method's rule."""

    def engine(self) -> Mixing:
        """Separate calls."""
        return Mixing(entangled=False)

    def check(self, relaxation: Relaxation) -> None:
        """Options that are computed in the backward pass alone would meet unmasked weights."""
        if isinstance(relaxation, BinaryPath):
            refuse(
                type(self).__name__,
                relaxation,
                "it runs options in the backward pass, where the masks are gone; use gumbel",
            )

    def companion(self, supernet: Supernet) -> nn.Module:
        """The masks."""
        return self.masks(supernet)

    @contextmanager
    def applied(self, supernet: Supernet, companion: nn.Module | None, progress: float) -> Iterator[None]:
        """The supernet computes with masked weights within the block."""
        if not isinstance(companion, Masks):
            raise ConfigurationError(
                f"masked weights need the masks of their own `companion(supernet)`, got {type(companion).__name__}"
            )
        with companion.masking(supernet, progress):
            yield


__all__ = ["MaskedWeights"]
