"""What a penalty is: something added to, or multiplied into, the losses of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from archwright.tasks.split import Inputs

if TYPE_CHECKING:
    from archwright.gradient.core import Core
    from archwright.gradient.relaxations.base import Relaxation
    from archwright.nets.flow import Weights


@dataclass(frozen=True, eq=False)
class Context:
    """What a penalty may read at one step."""

    core: Core
    inputs: Inputs
    outputs: Tensor
    weights: Weights
    progress: float


class Penalty:
    """A change of the losses. Plain values in `state` are saved with the search."""

    def check(self, relaxation: Relaxation) -> None:
        """See that the penalty can be used with the relaxation.

        Raises:
            ConfigurationError: if it cannot, with the reason.
        """

    def architecture(self, loss: Tensor, context: Context) -> Tensor:
        """The loss of the architecture parameters."""
        return loss

    def weights(self, loss: Tensor, context: Context) -> Tensor:
        """The loss of the shared weights."""
        return loss

    def stepped(self, core: Core) -> None:
        """The architecture parameters have moved."""

    def epoch(self, core: Core) -> None:
        """An epoch is over."""

    def restart(self) -> None:
        """A new supernet begins."""

    def state(self) -> dict[str, Any]:
        """Plain values that the next step needs."""
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""

    def tensors(self) -> dict[str, Tensor]:
        """Tensors that the next step needs."""
        return {}

    def load_tensors(self, core: Core, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `tensors` gave."""

    def admits(self, core: Core, codes: Any) -> Any:
        """Which codes (n, decisions) of the searched space keep to the penalty's hard limit: bool (n,), or None."""
        return None
