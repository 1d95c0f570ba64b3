"""Residual spatial reduction between the stages of a vision transformer (ViT-ResNAS)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Composite, Counts, Example, Layer, Leaf, Operator, Run, Shape
from archwright.operators.norm import Norm
from archwright.operators.rules import positive, ranked, tally
from archwright.registry import register


class ConvTokens(nn.Module):
    """A strided 3x3 convolution of the grid of tokens plus positions; the class token through a linear map."""

    def __init__(self, in_features: int, out_features: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.reduce = nn.Conv2d(in_features, out_features, 3, stride=2, padding=1)
        self.token = nn.Linear(in_features, out_features)
        self.position = nn.Parameter(0.02 * torch.randn((side // 2) ** 2, out_features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, 1 + side^2, in) -> (b, 1 + (side / 2)^2, out)."""
        grid = x[:, 1:].transpose(1, 2).unflatten(2, (self.side, self.side))
        patches = self.reduce(grid).flatten(2).transpose(1, 2) + self.position
        return torch.cat([self.token(x[:, 0]).unsqueeze(1), patches], dim=1)


class MeanTokens(nn.Module):
    """Average pooling of the grid of tokens by two; the class token stays."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, 1 + side^2, d) -> (b, 1 + (side / 2)^2, d)."""
        grid = x[:, 1:].transpose(1, 2).unflatten(2, (self.side, self.side))
        return torch.cat([x[:, :1], nn.functional.avg_pool2d(grid, 2).flatten(2).transpose(1, 2)], dim=1)


class AddToFirst(nn.Module):
    """Adds the second input to as many of the first input's features as it has."""

    def forward(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """(b, l, out), (b, l, in) -> (b, l, out) for in <= out."""
        return y + nn.functional.pad(x, (0, y.shape[2] - x.shape[2]))


def _side(operator: Operator, inputs: tuple[Shape, ...]) -> int:
    """Side of the grid of tokens, an even number; one more token is the class token."""
    length, _ = ranked(operator, inputs, 2)
    side = math.isqrt(max(length - 1, 0))
    if side < 2 or side % 2 or side * side + 1 != length:
        raise SpaceError(
            f"{type(operator).__name__} expects a class token and a square grid of even side, got {length} tokens; "
            "choose the patch size and the number of reductions so that the side stays even"
        )
    return side


@register("operators", "token_reduction", labels={"family": "tokens"})
@dataclass(frozen=True)
class TokenReduction(Leaf):
    """The convolutional path: a quarter of the tokens, other features, learned positions."""

    elastic: ClassVar[frozenset[str]] = frozenset({"features"})

    features: int

    def layer(self, *inputs: Shape) -> Layer:
        """`ConvTokens`."""
        self.output(*inputs)
        arguments = {"in_features": inputs[0][1], "out_features": self.features, "side": _side(self, inputs)}
        return Layer(ConvTokens, arguments)

    def output(self, *inputs: Shape) -> Shape:
        """(1 + (side / 2)^2, features)."""
        positive(self, "features")
        return (1 + (_side(self, inputs) // 2) ** 2, self.features)

    def counts(self, *inputs: Shape) -> Counts:
        """The convolution at the new size, and a linear map of one token."""
        output = self.output(*inputs)
        weights, positions = inputs[0][1] * self.features, output[0] - 1
        learned = self.features * (2 + positions)  # two biases, positions
        return tally(output, params=10 * weights + learned, macs=weights * (9 * positions + 1))

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """The convolution's window and the positions are never cut."""
        return {"reduce.weight": ("out", "in", None, None), "position": (None, "out")}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """A grid of four by four."""
        return [(cls(8), ((17, 6),)), (cls(6), ((5, 4),))]


@register("operators", "token_mean", labels={"family": "tokens"})
@dataclass(frozen=True)
class TokenMean(Leaf):
    """The residual path: average pooling by two, the class token kept."""

    def layer(self, *inputs: Shape) -> Layer:
        """`MeanTokens`."""
        return Layer(MeanTokens, {"side": _side(self, inputs)})

    def output(self, *inputs: Shape) -> Shape:
        """(1 + (side / 2)^2, D)."""
        return (1 + (_side(self, inputs) // 2) ** 2, inputs[0][1])

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """A grid of four by four."""
        return [(cls(), ((17, 6),))]


@register("operators", "padded_add", labels={"family": "join"})
@dataclass(frozen=True)
class PaddedAdd(Leaf):
    """The first input plus the second one, padded with zeros to as many features."""

    def layer(self, *inputs: Shape) -> Layer:
        """`AddToFirst`."""
        self.output(*inputs)
        return Layer(AddToFirst, {})

    def output(self, *inputs: Shape) -> Shape:
        """The first shape."""
        if len(inputs) != 2 or any(len(s) != 2 for s in inputs) or inputs[0][0] != inputs[1][0]:
            raise SpaceError(f"PaddedAdd takes two inputs of equally many tokens (L, D), got {inputs}")
        if inputs[1][1] > inputs[0][1]:
            raise SpaceError(f"PaddedAdd expects at least as many features in the first input, got {inputs}")
        return inputs[0]

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Fewer and as many features."""
        return [(cls(), ((5, 6), (5, 4))), (cls(), ((5, 4), (5, 4)))]


@register("operators", "residual_reduction", labels={"family": "composite"})
@dataclass(frozen=True)
class ResidualReduction(Composite):
    """reduce(norm(x)) + pool(x), half the side (Liao et al., 2021, section 3.2, figure 2).

    The pooled input is padded with zeros to the new width, so the path of identities goes through all stages. The
    width must not shrink.
    """

    reduce: TokenReduction

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Tokens (1 + side^2, D) -> (1 + (side / 2)^2, features of `reduce`)."""
        if len(inputs) != 1:
            raise SpaceError(f"ResidualReduction takes one input, got {len(inputs)}")
        y = run(self.reduce, run(self.inner("norm", Norm("layer")), inputs[0]))
        return run(self.inner("add", PaddedAdd()), y, run(self.inner("mean", TokenMean()), inputs[0]))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Wider, and as wide."""
        return [(cls(TokenReduction(8)), ((17, 6),)), (cls(TokenReduction(4)), ((5, 4),))]
