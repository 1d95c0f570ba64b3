"""No connection: zeros."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import lean, one, positive, tally
from archwright.registry import register


class Zeros(nn.Module):
    """Zeros of the shape that a strided layer would put out."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, in, h, w) -> (b, channels, ceil(h / stride), ceil(w / stride))."""
        for dim in range(2, x.dim() if self.stride > 1 else 2):
            x = x[(slice(None),) * dim + (slice(None, None, self.stride),)]
        if x.shape[1] != self.channels:
            x = x[:, :1].expand(x.shape[0], self.channels, *x.shape[2:])
        return x * 0.0  # a product, so that a network of zeros alone still has a gradient


@register("operators", "zero", labels={"family": "connection", "gradient": False})
@dataclass(frozen=True)
class Zero(Leaf):
    """The `none` of DARTS (Liu et al., 2019) and NAS-Bench-201 (Dong and Yang, 2020): zeros.

    `channels` None keeps the input's. Spatial sizes shrink by `stride`, rounded up.
    """

    stride: int = 1
    channels: int | None = None

    def layer(self, *inputs: Shape) -> Layer:
        """`Zeros`."""
        return lean(Zeros, channels=self.output(*inputs)[0], stride=self.stride)

    def output(self, *inputs: Shape) -> Shape:
        """(channels, ceil(size / stride)...)."""
        shape = one(self, inputs)
        positive(self, "stride", *(["channels"] if self.channels is not None else []))
        return (shape[0] if self.channels is None else self.channels, *(-(-size // self.stride) for size in shape[1:]))

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Kept and changed shapes."""
        return [(cls(), ((4, 5, 5),)), (cls(2, 6), ((4, 7, 6),)), (cls(), ((4,),))]
