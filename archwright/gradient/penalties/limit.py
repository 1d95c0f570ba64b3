"""A hard limit on a cost without a gradient: the selection keeps to it, the losses do not know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.errors import ConfigurationError
from archwright.gradient.penalties.base import Penalty
from archwright.gradient.penalties.cost import check_metric

if TYPE_CHECKING:
    from archwright.costs.base import AdditiveCost
    from archwright.gradient.core import Core


@dataclass
class Limit(Penalty):
    """Architectures beyond the limit are not selected; for methods that learn no architecture parameters, such as SPOS.

    Attributes:
        cost: additive cost model.
        metric: limited metric.
        at_most: upper limit, in the metric's unit.
        at_least: lower limit.
    """

    cost: AdditiveCost
    metric: str
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        check_metric(self.cost, self.metric)
        if self.at_most is None and self.at_least is None:
            raise ConfigurationError(f"a limit on {self.metric!r} needs at_most or at_least, got neither")

    def admits(self, core: Core, codes: Any) -> Any:
        """Which codes keep to the limit."""
        values = self.cost.evaluate(np.asarray(codes))[self.metric]
        low = -np.inf if self.at_least is None else self.at_least
        high = np.inf if self.at_most is None else self.at_most
        return (values >= low) & (values <= high)
