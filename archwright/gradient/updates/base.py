"""What an update is: one step of both kinds of parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from archwright.errors import ConfigurationError
from archwright.gradient.relaxations.base import Relaxation

if TYPE_CHECKING:
    from archwright.gradient.step import Batch, Stepper


@dataclass(frozen=True)
class Update(ABC):
    """How weights and architecture parameters are updated."""

    keeps_gradients: ClassVar[bool] = False  # those of one pass are read after the next pass has begun

    @abstractmethod
    def step(self, stepper: Stepper, train: Batch, valid: Batch, number: int) -> Tensor:
        """One step on a training and a validation batch; the training loss, detached.

        Args:
            stepper: losses and optimizers.
            train: batch for the weights.
            valid: batch for the architecture parameters.
            number: of steps so far in the phase where both are trained.
        """

    def check(self, relaxation: Relaxation) -> None:
        """See that the update can be combined with the relaxation.

        Raises:
            ConfigurationError: if it cannot, with the reason.
        """


def refuse(update: str, relaxation: Relaxation, reason: str) -> None:
    """Say why two parts do not go together.

    Raises:
        ConfigurationError: always.
    """
    raise ConfigurationError(f"the update {update!r} cannot be used with {type(relaxation).__name__}: {reason}")


def check_smooth(update: str, relaxation: Relaxation) -> None:
    """See that two losses of one step are of one mixture, not of two random paths.

    Raises:
        ConfigurationError: if the relaxation samples paths or learns nothing.
    """
    if relaxation.one_path:
        refuse(
            update,
            relaxation,
            "it differentiates through a weights step, which must see the same path; use first_order",
        )
