"""All networks of a space at once, weighted: the supernet's `mixture`.

A recorder walks the space's tree with its choices in place and writes down one flow: modules of the supernet, and
weighted sums where paths meet. Values have the largest shape, smaller ones are padded with zeros. How options are
combined is a `Mixing`:

- between operators the sum of outputs (DARTS, Liu et al., 2019, equation 2);
- between slices of one elastic operator either one call with a superposed weight (TangleNAS, Sukthankar et al., 2024)
  or the sum of each slice's outputs;
- the length of a repeat: sum_t a_t x_t, x_t being the value after t copies;
- a concatenation of elastic values: the sum over the layouts that occur, each on the channels that it has.

With one-hot weights a mixture computes what `Supernet.forward` computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archwright.nets import kernels
from archwright.nets.compiled import Compiled, CompiledFlow
from archwright.nets.entangle import Entangled
from archwright.nets.flow import Flow, WeighedNode, Weights
from archwright.nets.recorder import Recorder
from archwright.nets.rewrite import optimise
from archwright.nets.widen import widen

if TYPE_CHECKING:
    from archwright.nets.supernet import Supernet
    from archwright.space import Architecture


@dataclass(frozen=True)
class Mixing:
    """How candidates are combined.

    Attributes:
        entangled: elastic choices share one call with a superposed weight; otherwise every slice is run.
        optimised: rewrite the flow for speed; the result is the same within rounding.
        compiled: training runs are one piece of compiled code (`code`), on CUDA devices also captured (`graphs`).
    """

    entangled: bool = True
    optimised: bool = True
    compiled: Compiled = "no"


class Mixture:
    """The flow of a supernet under one mixing, ready to run; it follows the supernet's weights and mode."""

    def __init__(self, supernet: Supernet, mixing: Mixing) -> None:
        recorder = Recorder(supernet, mixing)
        inputs = [recorder.input(shape) for shape in supernet.input_shapes]
        result = recorder.run(supernet.root, *inputs)
        plain = Flow(len(inputs), recorder.nodes, result.number)
        self._flows = {True: plain, False: plain}
        if mixing.optimised:
            self._flows = {mode: optimise(plain, training=mode) for mode in (True, False)}
        self.flow, self.mixing = plain, mixing
        self._wide: Flow | None = None
        self._compiled: dict[int, CompiledFlow] = {}

    def modules(self) -> list[nn.Module]:
        """Modules that read the supernet's tensors but are not part of it."""
        return [
            n.function.module
            for n in self.flow.nodes
            if isinstance(n, WeighedNode) and isinstance(n.function, Entangled)
        ]

    def run(self, inputs: Sequence[Tensor], weights: Weights, *, training: bool) -> Tensor:
        """Outputs (batch, ...) for inputs (batch, ...)."""
        flow = self._flow(inputs[0], weights, training)
        if self.mixing.compiled == "no":
            return flow.run(inputs, weights)
        if id(flow) not in self._compiled:
            self._compiled[id(flow)] = CompiledFlow(flow, graphs=self.mixing.compiled == "graphs" and inputs[0].is_cuda)
        return self._compiled[id(flow)].run(inputs, weights)

    def _flow(self, x: Tensor, weights: Weights, training: bool) -> Flow:
        everything = not weights.active and not weights.probed
        if not (training and everything and self.mixing.optimised) or kernels.fits(x):
            return self._flows[training]
        if self._wide is None:
            self._wide = widen(self._flows[True])
        return self._wide


def one_hot(architecture: Architecture, **kind: Any) -> dict[str, Tensor]:
    """Mixture weights that pick one architecture: decision path -> (options,); an inactive decision takes option 0."""
    code = architecture.code.tolist()
    return {
        d.path: F.one_hot(torch.tensor(max(code[d.index], 0)), len(d.options)).to(kind.get("dtype", torch.float32))
        for d in architecture.space.decisions
    }


__all__ = ["Mixing", "Mixture", "Weights", "one_hot"]
