"""Max pooling as a mixer of positions without parameters, for images and for tokens (PfLayer)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.activation import Activation
from archwright.operators.base import Composite, Counts, Example, Layer, Leaf, Run, Shape
from archwright.operators.linear import Linear
from archwright.operators.rules import image, lean, odd, positive, ranked, tally, windows
from archwright.registry import register


class PooledTokens(nn.Module):
    """Max pooling over a square grid of tokens; those in front that belong to no position are left alone."""

    def __init__(self, side: int, kernel: int = 3, extra: int = 0) -> None:
        super().__init__()
        self.side, self.extra = side, extra
        self.pool = nn.MaxPool2d(kernel, 1, kernel // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, extra + side * side, d) -> the same shape."""
        grid = x[:, self.extra :].transpose(1, 2).unflatten(2, (self.side, self.side))
        pooled = self.pool(grid).flatten(2).transpose(1, 2).contiguous()
        return torch.cat([x[:, : self.extra], pooled], dim=1) if self.extra else pooled


@register("operators", "max_pool_mixer", labels={"family": "pool"})
@dataclass(frozen=True)
class MaxPoolMixer(Leaf):
    """Max pooling in place of a depthwise convolution or of token mixing (Han et al., 2022, sections 3 and 4).

    Images and series (C, ...) are pooled with the stride; tokens (L, D), with `tokens`, over their square grid, from
    which `extra` tokens in front (a class token) are left out. No parameters, no multiply-accumulates.
    """

    kernel: int = 3
    stride: int = 1
    tokens: bool = False
    extra: int = 0

    def _side(self, inputs: tuple[Shape, ...]) -> int:
        length, _ = ranked(self, inputs, 2)
        side = math.isqrt(max(length - self.extra, 0))
        if self.stride != 1 or side < 1 or side * side + self.extra != length:
            raise SpaceError(
                f"MaxPoolMixer of tokens needs stride 1 and {self.extra} + a square number of them, "
                f"got stride {self.stride} and {length} tokens"
            )
        return side

    def layer(self, *inputs: Shape) -> Layer:
        """Max pooling of torch, or `PooledTokens`."""
        self.output(*inputs)
        if self.tokens:
            return lean(PooledTokens, side=self._side(inputs), kernel=self.kernel, extra=self.extra)
        _, sizes = image(self, inputs)
        arguments = {"kernel_size": self.kernel, "stride": self.stride, "padding": self.kernel // 2}
        return Layer(getattr(nn, f"MaxPool{len(sizes)}d"), arguments)

    def output(self, *inputs: Shape) -> Shape:
        """(channels, ceil(size / stride)...), or the input shape of tokens."""
        positive(self, "stride")
        odd(self, self.kernel)
        if self.tokens:
            self._side(inputs)
            return inputs[0]
        channels, sizes = image(self, inputs)
        return (channels, *windows(self, sizes, self.kernel, self.stride))

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Images, series, tokens with and without a class token."""
        return [
            (cls(), ((4, 7, 6),)),
            (cls(5, stride=2), ((4, 9),)),
            (cls(tokens=True), ((9, 4),)),
            (cls(tokens=True, extra=1), ((10, 4),)),
        ]


@register("operators", "eff_attention", labels={"family": "attention"})
@dataclass(frozen=True)
class EffAttention(Composite):
    """What stands for self-attention in ViT-S-max: linear, GELU, max pooling, GELU, linear (Han et al., 2022, 4.2).

    `hidden` are the features between the linear maps, `features` those of the tokens.
    """

    features: int
    hidden: int
    kernel: int = 3
    extra: int = 0

    def flow(self, run: Run, *inputs: object) -> object:
        """Tokens (L, D) -> (L, D)."""
        x = run(self.inner("up", Linear(self.hidden, activation="gelu")), *inputs)
        x = run(self.inner("pool", MaxPoolMixer(self.kernel, tokens=True, extra=self.extra)), x)
        x = run(self.inner("act", Activation("gelu")), x)
        return run(self.inner("down", Linear(self.features)), x)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """With and without a class token."""
        return [(cls(4, 12), ((9, 4),)), (cls(4, 8, extra=1), ((10, 4),))]
