"""Tokens mixed by a Fourier or cosine transform in place of attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Shape
from archwright.operators.rules import lean, member, positive, ranked, tally
from archwright.registry import register

TRANSFORMS = ("dft", "dct")


class Spectral(nn.Module):
    """Linear map, then a transform over the tokens and the features of each head, without weights."""

    def __init__(self, features: int, heads: int, transform: str = "dft") -> None:
        super().__init__()
        self.project = nn.Linear(features, features)
        self.heads = heads
        self.transform = transform

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, l, features) -> (b, l, features)."""
        y = self.project(x).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (b, heads, l, head_dim)
        rows, columns = self.angles(y.shape[2], y), self.angles(y.shape[3], y)
        z = torch.matmul(torch.matmul(rows.cos(), y), columns.cos().T)
        if self.transform == "dct":
            z = 4 * z  # each of the two sums is doubled, as scipy and torch-dct do
        else:
            z = z - torch.matmul(torch.matmul(rows.sin(), y), columns.sin().T)
        return z.transpose(1, 2).flatten(2)

    def angles(self, size: int, like: torch.Tensor) -> torch.Tensor:
        """(size, size) angles of one axis, frequency by position."""
        k = torch.arange(size, device=like.device, dtype=like.dtype)
        if self.transform == "dct":
            return torch.pi / size * k[:, None] * (k[None, :] + 0.5)
        return 2 * torch.pi / size * torch.remainder(k[:, None] * k[None, :], size)


@register("operators", "spectral_mixing", labels={"family": "attention"})
@dataclass(frozen=True)
class SpectralMixing(Leaf):
    """A linear map and a two-dimensional transform of tokens (L, D), head by head.

    `dft` is the real part of the discrete Fourier transform (Lee-Thorp et al., 2021, "FNet", equation 3), `dct` the
    cosine transform of type II; both unscaled, as the linear transforms of FlexiBERT (Tuli et al., 2022, section 3.1)
    in the code behind the 500-BERT table. They are products with fixed matrices here, which export to ONNX.
    """

    heads: int = 2
    transform: str = "dft"

    def output(self, *inputs: Shape) -> Shape:
        """The input shape."""
        _, features = ranked(self, inputs, 2)
        positive(self, "heads")
        member(self, "transform", self.transform, TRANSFORMS)
        if features % self.heads:
            raise SpaceError(f"heads of SpectralMixing must divide the {features} features, got {self.heads}")
        return inputs[0]

    def layer(self, *inputs: Shape) -> Layer:
        """`Spectral`."""
        return lean(Spectral, features=self.output(*inputs)[1], heads=self.heads, transform=self.transform)

    def counts(self, *inputs: Shape) -> Counts:
        """The linear map, and products with the matrices of both axes."""
        length, features = self.output(*inputs)
        products = length * features * (length + features // self.heads) * (2 if self.transform == "dft" else 1)
        return tally(inputs[0], params=features * (features + 1), macs=length * features**2 + products)

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Features out are new ones: the transform depends on their order."""
        return {"project.weight": ("out", "in"), "project.bias": ("out",)}

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Both transforms."""
        return [(cls(2), ((5, 8),)), (cls(4, "dct"), ((6, 8),))]
