"""A flow as code of torch's compiler, one piece for every set of options that takes part.

The whole flow becomes one graph, forwards and backwards, with the weights of the options, the supernet's tensors and
the batch as inputs; so nothing is compiled again while only their values change. On CUDA devices the graph may also be
captured (CUDA graphs), so that a step is a few launches whatever the number of operators. What cannot be one graph is
refused with torch's reason.

Known limits: the first run of each shape and phase (which parameters want a gradient) compiles, which takes minutes
for a supernet of many cells; random numbers within the graph, such as dropout's, are not those of an ordinary run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, Literal

import torch
from torch import Tensor

from archwright.errors import ConfigurationError
from archwright.nets.flow import Flow, Plan, Scalars, Weights

Compiled = Literal["no", "code", "graphs"]
Run = Callable[[Sequence[Tensor], Mapping[str, Tensor]], Tensor]


class CompiledFlow:
    """A flow that is compiled where it is run.

    Args:
        flow: whose nodes are torch functions and modules.
        graphs: also capture CUDA graphs; the result of a run is then overwritten by the next one.
    """

    def __init__(self, flow: Flow, *, graphs: bool = False) -> None:
        self.flow, self.graphs = flow, graphs
        self._made: dict[int, tuple[Plan, Run]] = {}  # by the plan's id; the plan is held, so that the id stays its own

    def run(self, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
        """The result for inputs (batch, ...).

        Raises:
            ConfigurationError: if the flow cannot be compiled, with torch's reason.
        """
        if weights.probed:
            raise ConfigurationError(
                "options that run in the backward pass alone cannot be compiled; use compile=False"
            )
        plan = self.flow.plan(Scalars(weights, inputs[0]))
        if id(plan) not in self._made:
            self._made[id(plan)] = plan, self._compiled(plan, weights.active)
        try:
            return self._made[id(plan)][1](tuple(inputs), dict(weights.values))
        except (torch._dynamo.exc.TorchDynamoException, torch._dynamo.exc.BackendCompilerFailed) as reason:
            raise ConfigurationError(
                f"the supernet cannot be compiled: {' '.join(str(reason).split()[:30])}; use compile=False"
            ) from reason

    def _compiled(self, plan: Plan, active: Mapping[str, tuple[int, ...]]) -> Run:
        flow, active = self.flow, dict(active)

        def run(inputs: Sequence[Tensor], values: Mapping[str, Tensor]) -> Tensor:
            return flow.execute(plan, inputs, Scalars(Weights(values, active), inputs[0]))

        # Torch counts pieces of compiled code by the code object, which all closures of one function share.
        own: Any = FunctionType(run.__code__.replace(), run.__globals__, run.__name__, None, run.__closure__)
        options: dict[str, Any] | None = {"triton.cudagraphs": True} if self.graphs else None
        made: Run = torch.compile(own, fullgraph=True, dynamic=False, options=options)
        return made


__all__ = ["Compiled", "CompiledFlow"]
