"""Activation as an operator of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import ACTIVATIONS, activation_class, one, tally
from archwright.registry import register


@register("operators", "activation", labels={"family": "activation"})
@dataclass(frozen=True)
class Activation(Leaf):
    """Relu, relu6, hswish (Howard et al., 2019), hsigmoid, silu, gelu, sigmoid, tanh or identity, elementwise."""

    kind: str = "relu"

    def layer(self, *inputs: Shape) -> Layer:
        """The activation of torch."""
        self.output(*inputs)
        return Layer(getattr(nn, activation_class(self, self.kind)), {})

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        activation_class(self, self.kind)
        return one(self, inputs)

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Every activation."""
        return [(cls(kind), ((3, 4),)) for kind in ACTIVATIONS]
