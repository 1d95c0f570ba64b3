"""What a mixing method is: the space that the supernet is built of, how candidates meet, and extra weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from archwright.errors import ConfigurationError
from archwright.gradient.relaxations.base import Relaxation
from archwright.nets.mixing import Mixing
from archwright.space import Space

if TYPE_CHECKING:
    from archwright.nets.supernet import Supernet


@dataclass(frozen=True)
class MixingMethod(ABC):
    """How candidates are combined."""

    steady: ClassVar[bool] = True  # operators keep their tensors from step to step, so that code of them can be kept

    @abstractmethod
    def engine(self) -> Mixing:
        """How the supernet's mixture runs."""

    def search_space(self, space: Space) -> Space:
        """The space of the supernet: its decisions are those of the given space, one by one."""
        return space

    def extra(self, space: Space) -> Mapping[str, int]:
        """Architecture parameters beside the decisions': name -> length."""
        return {}

    def extra_weights(self, parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights of the extra parameters."""
        return {}

    def check(self, relaxation: Relaxation) -> None:
        """See that the relaxation can be combined with this mixing.

        Raises:
            ConfigurationError: if it cannot, with the reason.
        """

    def companion(self, supernet: Supernet) -> nn.Module | None:
        """What the mixing learns along with the shared weights, such as scores of masks; None for nothing."""
        return None

    @contextmanager
    def applied(self, supernet: Supernet, companion: nn.Module | None, progress: float) -> Iterator[None]:
        """Within the block the supernet computes as the mixing wants it to.

        Args:
            supernet: of the search.
            companion: what `companion` gave.
            progress: share of the search that is over.
        """
        yield


def refuse(mixing: str, relaxation: Relaxation, reason: str) -> None:
    """Say why two parts do not go together.

    Raises:
        ConfigurationError: always.
    """
    raise ConfigurationError(f"the mixing {mixing!r} cannot be used with {type(relaxation).__name__}: {reason}")
