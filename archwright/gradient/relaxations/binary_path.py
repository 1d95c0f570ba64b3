"""Binary gates: one path for the weights, two for the architecture (ProxylessNAS)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from archwright.gradient.relaxations.base import (
    Draw,
    Relaxation,
    blocked_of,
    draw_option,
    masked_softmax,
    straight_through,
)
from archwright.nets.flow import Weights
from archwright.registry import register


@register("relaxations", "binary_path", labels={"runs": "one option"})
@dataclass(frozen=True)
class BinaryPath(Relaxation):
    """Gates of ProxylessNAS (Cai et al., 2019, equations 3 and 4, section 3.2.1).

    For the weights one option is drawn from the softmax and run. For the architecture two are drawn, rescaled to a
    softmax over the pair, and one of them is run; the other one's output is computed again in the backward pass, for
    the gradient of its gate alone, so that one path is in memory.
    """

    one_path: ClassVar[bool] = True

    def weights(self, parameters: Mapping[str, Tensor], draw: Draw) -> Weights:
        """Gates, the options that are run, and those that are probed."""
        values, active, probed = {}, {}, {}
        for path, parameter in parameters.items():
            p = masked_softmax(parameter, blocked_of(draw, path))
            if draw.phase == "weights":
                (k,) = draw_option(p, draw.generator)
                values[path], active[path] = _one_hot(p, k), (k,)
                continue
            pair = torch.tensor(draw_option(p, draw.generator, 2))
            local = parameter[pair].softmax(-1)
            (run,) = draw_option(local, draw.generator)
            gates = straight_through(local, _one_hot(local, run))
            values[path] = torch.zeros_like(parameter).index_copy(0, pair.to(parameter.device), gates)
            active[path] = (int(pair[run]),)
            probed[path] = tuple(k for k in pair.tolist() if k != int(pair[run]))
        return Weights(values, active, probed)


def _one_hot(like: Tensor, k: int) -> Tensor:
    out = torch.zeros_like(like)
    out[k] = 1.0
    return out
