"""A second classifier in the middle of a network, for training alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import image, norm_axes, positive, tally
from archwright.registry import register


class AuxiliaryClassifier(nn.Module):
    """Gives its first input; while training it keeps the logits that it computes from the second in `logits`."""

    def __init__(self, in_channels: int, outputs: int, pool: int, size: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(pool, max(1, pool - 2), 0, count_include_pad=False),
            nn.Conv2d(in_channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, size, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
        )
        self.outputs = nn.Linear(768, outputs)
        self.logits: torch.Tensor | None = None

    def forward(self, result: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """(b, outputs), (b, c, h, w) -> (b, outputs)."""
        self.logits = self.outputs(self.features(x).mean((2, 3))) if self.training else None
        return result


@register("operators", "auxiliary", labels={"family": "head", "side_output": True})
@dataclass(frozen=True)
class Auxiliary(Leaf):
    """Auxiliary head of NASNet and DARTS (Liu et al., 2019, section 3.1.3): passes the first input on.

    Its logits enter the loss through `archwright.gradient.auxiliary.with_auxiliary`; weight 0.4 there.
    """

    outputs: int

    def _sizes(self, inputs: tuple[Shape, ...]) -> tuple[int, int, int]:
        if len(inputs) != 2:
            raise SpaceError(f"Auxiliary takes the network's outputs and an image, got {inputs}")
        channels, sizes = image(self, inputs[1:])
        positive(self, "outputs")
        pool = min(5, *sizes)
        after = (min(sizes) - pool) // max(1, pool - 2) + 1
        return channels, pool, min(2, after)

    def layer(self, *inputs: Shape) -> Layer:
        """`AuxiliaryClassifier`."""
        channels, pool, size = self._sizes(inputs)
        arguments = {"in_channels": channels, "outputs": self.outputs, "pool": pool, "size": size}
        return Layer(AuxiliaryClassifier, arguments)

    def output(self, *inputs: Shape) -> Shape:
        """The first shape."""
        self._sizes(inputs)
        return inputs[0]

    def counts(self, *inputs: Shape) -> Counts:
        """Parameters of the head; it computes nothing in a finished network."""
        channels, _, size = self._sizes(inputs)
        params = 128 * channels + 256 + 768 * 128 * size * size + 1536 + 769 * self.outputs
        return tally(self.output(*inputs), params=params, buffers=2 * (128 + 768))

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Sizes inside the head are fixed; only the image's channels are cut."""
        return {
            "features.2.weight": (None, "in1"),
            **norm_axes("features.3", None),
            **norm_axes("features.6", None),
            "features.5.weight": (None, None),
            "outputs.weight": (None, None),
            "outputs.bias": (None,),
        }

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """On a large and a small image."""
        return [(cls(10), ((10,), (8, 8, 8))), (cls(3), ((3,), (4, 4, 4)))]
