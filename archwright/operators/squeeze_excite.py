"""Squeeze-and-excitation: channels weighted by a gate of their own means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import activation_class, image, lean, scaled, tally
from archwright.registry import register


class ChannelGate(nn.Module):
    """Scales every channel by a gate computed from the means of all channels."""

    def __init__(self, channels: int, squeezed: int, activation: str = "ReLU", gate: str = "Sigmoid") -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, squeezed)
        self.act = getattr(nn, activation)()
        self.excite = nn.Linear(squeezed, channels)
        self.gate = getattr(nn, gate)()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, ...) -> (b, c, ...)."""
        scale = self.gate(self.excite(self.act(self.squeeze(x.flatten(2).mean(2)))))  # (b, c)
        return x * scale.reshape(scale.shape + (1,) * (x.dim() - 2))


def gate_params(channels: int, squeezed: int) -> int:
    """Parameters of a `ChannelGate`; its multiply-accumulates are these without the biases."""
    return 2 * channels * squeezed + channels + squeezed


def gate_axes(prefix: str, channels: str) -> dict[str, tuple[str | None, ...]]:
    """Axes of a `ChannelGate` whose channels are the named axis."""
    return {
        f"{prefix}squeeze.weight": ("squeezed", channels),
        f"{prefix}squeeze.bias": ("squeezed",),
        f"{prefix}excite.weight": (channels, "squeezed"),
        f"{prefix}excite.bias": (channels,),
    }


@register("operators", "squeeze_excite", labels={"family": "gate"})
@dataclass(frozen=True)
class SqueezeExcite(Leaf):
    """Squeeze-and-excitation (Hu et al., 2018, section 3); `gate="hsigmoid"` as in MobileNetV3."""

    ratio: float = 0.25
    activation: str = "relu"
    gate: str = "sigmoid"

    def layer(self, *inputs: Shape) -> Layer:
        """`ChannelGate` on the input's channels."""
        channels, _ = image(self, inputs)
        return lean(
            ChannelGate,
            channels=channels,
            squeezed=scaled(channels, self.ratio),
            activation=activation_class(self, self.activation),
            gate=activation_class(self, self.gate),
        )

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        image(self, inputs)
        return inputs[0]

    def counts(self, *inputs: Shape) -> Counts:
        """Two linear layers on the channel means."""
        channels, _ = image(self, inputs)
        squeezed = scaled(channels, self.ratio)
        return tally(inputs[0], params=gate_params(channels, squeezed), macs=2 * channels * squeezed)

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Channels in and out are the same axis."""
        return gate_axes("", "in")

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Image and series."""
        return [(cls(), ((8, 5, 5),)), (cls(0.5, "silu", "hsigmoid"), ((6, 7),))]
