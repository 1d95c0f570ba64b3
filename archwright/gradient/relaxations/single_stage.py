"""An annealed hard sample: the network at the end of the search is the network (single-stage search)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from archwright.gradient.relaxations.base import Draw, Relaxation, annealed, blocked_of, gumbel, masked_softmax
from archwright.gradient.relaxations.gumbel_hard import one_path
from archwright.nets.flow import Weights
from archwright.registry import register


@register("relaxations", "single_stage", labels={"runs": "one option"})
@dataclass(frozen=True)
class SingleStage(Relaxation):
    """One option is run, drawn with less and less noise; in the last part of the search it is the likeliest.

    Our reading of single-stage differentiable search (Tang et al., "Improving differentiable architecture search", row
    140 of the carried systems), whose details are not public: hard, straight-through samples all along, so that
    nothing is decoded at the end and the gap between supernet and network is zero.

    Attributes:
        start: temperature at the beginning.
        end: temperature at the end.
        settled: share of the search after which no noise is added.
    """

    one_path: ClassVar[bool] = True

    start: float = 5.0
    end: float = 0.1
    settled: float = 0.8

    def weights(self, parameters: Mapping[str, Tensor], draw: Draw) -> Weights:
        """One-hot vectors with the gradient of the soft ones."""
        tau = annealed(self.start, self.end, draw.progress, "exponential")
        noise = max(0.0, 1.0 - draw.progress / self.settled)
        soft = {}
        for path, a in parameters.items():
            logits = a.log_softmax(-1)
            if noise:
                logits = logits + noise * gumbel(a, draw.generator)
            soft[path] = masked_softmax(logits / tau, blocked_of(draw, path))
        if noise:
            return one_path(soft)
        # options whose parameters are nearly equal can be equal after rounding: go by what the selection goes by
        return one_path(soft, {p: self.probabilities(a, blocked_of(draw, p)) for p, a in parameters.items()})
