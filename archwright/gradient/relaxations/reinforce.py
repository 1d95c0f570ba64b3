"""Sampled paths whose chances are learned by REINFORCE (ProxylessNAS-R)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from archwright.gradient.relaxations.base import Draw, Relaxation, blocked_of, draw_option, masked_softmax
from archwright.nets.flow import Weights
from archwright.registry import register


@register("relaxations", "reinforce", labels={"runs": "one option"})
@dataclass(frozen=True)
class Reinforce(Relaxation):
    """Score-function gradient with a moving baseline (Cai et al., 2019, section 3.3; Williams, 1992).

    Attributes:
        decay: of the moving average of the losses, which is the baseline.
    """

    one_path: ClassVar[bool] = True

    decay: float = 0.99
    memory: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def weights(self, parameters: Mapping[str, Tensor], draw: Draw) -> Weights:
        """One option of every decision; its chance is remembered for `surrogate`."""
        values, active, chances = {}, {}, []
        for path, parameter in parameters.items():
            p = masked_softmax(parameter, blocked_of(draw, path))
            (k,) = draw_option(p, draw.generator)
            values[path] = torch.zeros_like(p.detach())
            values[path][k] = 1.0
            active[path] = (k,)
            chances.append(p[k].log())
        self.memory["log"] = sum(chances[1:], chances[0]) if chances else None
        return Weights(values, active)

    def surrogate(self, loss: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Log chance of the sample times its advantage, plus what of the loss has a gradient already (penalties)."""
        value = float(loss.detach())
        baseline = self.memory.get("baseline", value)
        self.memory["baseline"] = self.decay * baseline + (1.0 - self.decay) * value
        log = self.memory["log"]
        return loss + log * (value - baseline)
