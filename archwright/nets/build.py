"""From an architecture to a plain PyTorch network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archwright.errors import SpaceError
from archwright.nets.program import Program, Step, record
from archwright.operators.base import Shape
from archwright.operators.walk import annotate, network_of
from archwright.space import Architecture

if TYPE_CHECKING:
    from archwright.space import Space


class Network(nn.Module):
    """A plain network: the leaves' modules, run in the order of the program.

    Values that no later step needs are dropped as soon as possible, so that inference holds few activations.
    """

    def __init__(self, program: Program, make: Callable[[Step], nn.Module] | None = None) -> None:
        super().__init__()
        self.program = program
        self.layers = nn.ModuleDict()
        for step in program.steps:
            if step.name not in self.layers:
                self.layers[step.name] = make(step) if make else step.leaf.module(*step.input_shapes)
        self._plan = [(self.layers[s.name], s.inputs, s.output, s.free) for s in program.steps]

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the inputs without the batch axis."""
        return self.program.input_shapes

    def __deepcopy__(self, memo: dict[int, Any]) -> Network:
        import copy

        twin = Network(self.program, lambda step: copy.deepcopy(self.layers[step.name], memo))
        twin.training = self.training
        return twin

    def forward(self, *inputs: Tensor) -> Tensor:
        """Outputs (batch, ...) for inputs (batch, ...)."""
        values = dict(enumerate(inputs))
        for layer, numbers, output, free in self._plan:
            values[output] = layer(*[values[n] for n in numbers])
            for n in free:
                del values[n]
        return values[self.program.result]


_annotated: dict[str, Any] = {}


def annotated(space: Space) -> Any:
    """`annotate`, remembered for the last few spaces."""
    known = _annotated.get(space.digest)
    if known is None:
        while len(_annotated) >= 16:
            _annotated.pop(next(iter(_annotated)))
        known = _annotated[space.digest] = annotate(space)
    return known


def program_of(target: Any, *input_shapes: Shape) -> Program:
    """The program of an architecture, or of a tree of operators without choices.

    Raises:
        SpaceError: if there is no network, a choice is left, or parts do not fit.
    """
    if isinstance(target, Architecture):
        return record(annotated(target.space), input_shapes, target.code.tolist())
    return record(network_of(target)[0], input_shapes)


def build(target: Any, *input_shapes: Shape, seed: int | None = None) -> Network:
    """A freshly initialised plain network.

    Args:
        target: an Architecture, or a tree of operators without choices.
        input_shapes: of each input, without the batch axis.
        seed: of the initialisation; None uses torch's global generator.

    Raises:
        SpaceError: if there is no network, a choice is left, or parts do not fit.
    """
    if not input_shapes or not all(isinstance(s, tuple | list) for s in input_shapes):
        raise SpaceError(f"build needs input shapes such as (3, 32, 32), without the batch axis; got {input_shapes}")
    program = program_of(target, *input_shapes)
    if seed is None:
        return Network(program)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Network(program)
