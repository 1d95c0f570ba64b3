"""Expected costs in the loss, and hard budgets.

The expected cost under independent decisions is exact and differentiable for any additive cost (FBNet, Wu et al., 2019,
equation 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from archwright.errors import ConfigurationError, nearest
from archwright.gradient.penalties.base import Context, Penalty

if TYPE_CHECKING:
    from archwright.costs.base import AdditiveCost
    from archwright.gradient.core import Core
    from archwright.gradient.relaxations.base import Relaxation


def expected_metric(cost: AdditiveCost, metric: str, core: Core) -> Tensor:
    """Expected value of one metric, scalar, with a gradient to the architecture parameters."""
    return cost.expected(core.probabilities())[metric]


def check_metric(cost: AdditiveCost, metric: str) -> None:
    """See that a cost model measures a metric.

    Raises:
        ConfigurationError: if it does not.
    """
    if metric not in cost.metrics:
        raise ConfigurationError(f"{type(cost).__name__} does not give {metric!r}; {nearest(metric, cost.metrics)}")


def check_learned(penalty: str, relaxation: Relaxation) -> None:
    """See that a penalty has a gradient.

    Raises:
        ConfigurationError: if nothing is learned.
    """
    if not relaxation.learned:
        raise ConfigurationError(
            f"the penalty {penalty!r} has no gradient under {type(relaxation).__name__}, which learns no architecture "
            "parameters; limit the cost in the search over the trained supernet instead"
        )


def _unit(loss: Tensor, relative: bool) -> Tensor | float:
    return loss.detach().abs() if relative else 1.0


@dataclass
class ExpectedCost(Penalty):
    """An expected cost in the loss of the architecture parameters.

    Forms: `linear` adds strength * E / scale (ProxylessNAS, Cai et al., 2019, equation 7), `fbnet` multiplies by
    strength * log(E)^power (Wu et al., 2019, equation 1; strength 0.2, power 0.6 there), `power` multiplies by
    (E / scale)^power (Cai et al., 2019, section 3.2.2). With `relative` the linear term is in units of the present
    loss: for losses far from one, such as those of images.
    """

    cost: AdditiveCost
    metric: str
    form: Literal["linear", "fbnet", "power"] = "linear"
    strength: float = 0.2
    power: float = 0.6
    scale: float = 1.0
    relative: bool = False

    def __post_init__(self) -> None:
        check_metric(self.cost, self.metric)
        if self.form not in ("linear", "fbnet", "power"):
            raise ConfigurationError(f"the form of an expected cost is linear, fbnet or power, got {self.form!r}")

    def check(self, relaxation: Relaxation) -> None:
        """There must be something to learn."""
        check_learned("expected cost", relaxation)

    def architecture(self, loss: Tensor, context: Context) -> Tensor:
        """The loss with the cost in it."""
        value = expected_metric(self.cost, self.metric, context.core)
        if self.form == "linear":
            return loss + _unit(loss, self.relative) * self.strength * value / self.scale
        if self.form == "power":
            return loss * (value / self.scale) ** self.power
        return loss * self.strength * torch.log1p(value / self.scale) ** self.power


@dataclass
class Budget(Penalty):
    """A hard limit on an expected cost by an augmented Lagrangian (Nocedal and Wright, 2006, section 17.4).

    loss + multiplier * g + rho / 2 * max(0, g)^2 with g = E / at_most - 1; the multiplier follows
    max(0, multiplier + rate * g) after every step. The selection then takes the likeliest architecture whose own cost
    keeps to the limit, so that not only the expectation does.

    Attributes:
        cost: additive cost model.
        metric: limited metric.
        at_most: limit, in the metric's unit.
        rho: weight of the squared violation.
        rate: of the multiplier.
        multiplier: at the start.
        relative: whether what is added is in units of the present loss, for losses far from one.
    """

    cost: AdditiveCost
    metric: str
    at_most: float
    rho: float = 10.0
    rate: float = 0.1
    multiplier: float = field(default=0.0)
    relative: bool = False

    def __post_init__(self) -> None:
        check_metric(self.cost, self.metric)
        if self.at_most <= 0:
            raise ConfigurationError(f"the budget on {self.metric!r} must be positive, got {self.at_most}")

    def check(self, relaxation: Relaxation) -> None:
        """There must be something to learn."""
        check_learned("budget", relaxation)

    def _violation(self, core: Core) -> Tensor:
        return expected_metric(self.cost, self.metric, core) / self.at_most - 1.0

    def architecture(self, loss: Tensor, context: Context) -> Tensor:
        """The augmented Lagrangian."""
        g = self._violation(context.core)
        return loss + _unit(loss, self.relative) * (self.multiplier * g + 0.5 * self.rho * g.clamp_min(0.0) ** 2)

    @torch.no_grad()
    def stepped(self, core: Core) -> None:
        """Move the multiplier."""
        self.multiplier = max(0.0, self.multiplier + self.rate * float(self._violation(core)))

    def state(self) -> dict[str, Any]:
        """The multiplier."""
        return {"multiplier": self.multiplier}

    def load(self, state: Mapping[str, Any]) -> None:
        """The multiplier."""
        self.multiplier = float(state["multiplier"])

    def admits(self, core: Core, codes: Any) -> Any:
        """Which codes keep to the limit."""
        return np.asarray(self.cost.evaluate(np.asarray(codes))[self.metric] <= self.at_most)
