"""Between channels first and tokens: patch embedding and plain transpositions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import image, lean, positive, ranked, tally
from archwright.registry import register


class Patches(nn.Module):
    """Non-overlapping patches as tokens, optionally a class token in front and learned positions."""

    def __init__(
        self,
        in_channels: int,
        features: int,
        patch: int,
        tokens: int,
        class_token: bool = False,
        position: bool = True,
        dims: int = 2,
    ) -> None:
        super().__init__()
        self.project = getattr(nn, f"Conv{dims}d")(in_channels, features, patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(1, features)) if class_token else None
        self.position = nn.Parameter(0.02 * torch.randn(tokens, features)) if position else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, h, w) -> (b, tokens, features)."""
        x = self.project(x).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1)
        return x if self.position is None else x + self.position


class TransposeToTokens(nn.Module):
    """Positions become tokens."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, ...) -> (b, positions, c)."""
        return x.flatten(2).transpose(1, 2)


class TransposeFromTokens(nn.Module):
    """Tokens become the positions of an image or series."""

    def __init__(self, size: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, positions, c) -> (b, c, *size)."""
        return x.transpose(1, 2).unflatten(2, self.size)


@register("operators", "patch_embed", labels={"family": "tokens"})
@dataclass(frozen=True)
class PatchEmbed(Leaf):
    """Linear map of non-overlapping patches (Dosovitskiy et al., 2021, equation 1): (C, H, W) -> (L, D)."""

    elastic: ClassVar[frozenset[str]] = frozenset({"features"})

    features: int
    patch: int = 4
    class_token: bool = False
    position: bool = True

    def layer(self, *inputs: Shape) -> Layer:
        """`Patches` for the rank of the input."""
        tokens, features = self.output(*inputs)
        channels, sizes = image(self, inputs)
        return lean(
            Patches,
            in_channels=channels,
            features=features,
            patch=self.patch,
            tokens=tokens,
            class_token=self.class_token,
            position=self.position,
            dims=len(sizes),
        )

    def output(self, *inputs: Shape) -> Shape:
        """(patches, one more with a class token; features)."""
        _, sizes = image(self, inputs)
        positive(self, "features", "patch")
        if any(size % self.patch for size in sizes):
            raise SpaceError(f"patch of PatchEmbed must divide the input size {sizes}, got {self.patch}")
        return (math.prod(size // self.patch for size in sizes) + self.class_token, self.features)

    def counts(self, *inputs: Shape) -> Counts:
        """One convolution; the learned tokens are parameters."""
        tokens, features = output = self.output(*inputs)
        channels, sizes = image(self, inputs)
        weights = channels * features * self.patch ** len(sizes)
        learned = features * (self.class_token + tokens * self.position)
        return tally(output, params=weights + features + learned, macs=weights * (tokens - self.class_token))

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Patches are never cut."""
        return {
            "project.weight": ("out", "in", None, None, None),
            "class_token": (None, "out"),
            "position": (None, "out"),
        }

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Images and series."""
        return [
            (cls(8, patch=2), ((3, 6, 4),)),
            (cls(8, patch=4, class_token=True), ((3, 8, 8),)),
            (cls(8, patch=3, position=False), ((2, 9),)),
        ]


@register("operators", "to_tokens", labels={"family": "tokens"})
@dataclass(frozen=True)
class ToTokens(Leaf):
    """(C, H, W) or (C, L) -> (positions, C)."""

    def layer(self, *inputs: Shape) -> Layer:
        """`TransposeToTokens`."""
        self.output(*inputs)
        return Layer(TransposeToTokens, {})

    def output(self, *inputs: Shape) -> Shape:
        """(positions, channels)."""
        channels, sizes = image(self, inputs)
        return (math.prod(sizes), channels)

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Image and series."""
        return [(cls(), ((3, 4, 5),)), (cls(), ((3, 4),))]


@register("operators", "from_tokens", labels={"family": "tokens"})
@dataclass(frozen=True)
class FromTokens(Leaf):
    """(positions, C) -> (C, *size); `size` () means a square image."""

    size: tuple[int, ...] = ()

    def _size(self, tokens: int) -> tuple[int, ...]:
        side = math.isqrt(tokens)
        size = self.size or (side, side)
        if math.prod(size) != tokens:
            raise SpaceError(f"FromTokens got {tokens} tokens, which do not fill {size}; give another `size`")
        return size

    def layer(self, *inputs: Shape) -> Layer:
        """`TransposeFromTokens`."""
        return Layer(TransposeFromTokens, {"size": self.output(*inputs)[1:]})

    def output(self, *inputs: Shape) -> Shape:
        """(channels, *size)."""
        tokens, channels = ranked(self, inputs, 2)
        return (channels, *self._size(tokens))

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Square, oblong, series."""
        return [(cls(), ((9, 2),)), (cls((2, 4)), ((8, 3),)), (cls((5,)), ((5, 3),))]
