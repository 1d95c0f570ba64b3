"""Max and average pooling in windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Counts, Example, Layer, Leaf, Operator, Shape
from archwright.operators.rules import image, member, norm_axes, positive, same_padding, tally, windows
from archwright.registry import register


class PoolNorm(nn.Module):
    """Pooling, then batch norm."""

    def __init__(
        self, kind: str, channels: int, kernel: int, stride: int, padding: int, affine: bool = False, dims: int = 2
    ) -> None:
        super().__init__()
        if kind == "max":
            self.pool = getattr(nn, f"MaxPool{dims}d")(kernel, stride, padding)
        else:
            self.pool = getattr(nn, f"AvgPool{dims}d")(kernel, stride, padding, count_include_pad=False)
        self.norm = getattr(nn, f"BatchNorm{dims}d")(channels, affine=affine)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, ...) -> (b, c, ...)."""
        return self.norm(self.pool(x))


@dataclass(frozen=True)
class _Pool(Leaf):
    """What both pools share; `norm="batch"` puts a batch norm behind, as DARTS and PC-DARTS do."""

    kernel: int = 3
    stride: int = 1
    padding: int | None = None
    norm: str = "none"
    affine: bool = False

    def _layer(self, kind: str, inputs: tuple[Shape, ...]) -> Layer:
        self.output(*inputs)
        channels, sizes = image(self, inputs)
        padding = self._padding()
        if self.norm == "batch":
            arguments = {"kind": kind, "channels": channels, "kernel": self.kernel, "stride": self.stride}
            return Layer(PoolNorm, {**arguments, "padding": padding, "affine": self.affine, "dims": len(sizes)})
        arguments = {"kernel_size": self.kernel, "stride": self.stride, "padding": padding}
        if kind == "max":
            return Layer(getattr(nn, f"MaxPool{len(sizes)}d"), arguments)
        return Layer(getattr(nn, f"AvgPool{len(sizes)}d"), {**arguments, "count_include_pad": False})

    def _padding(self) -> int:
        padding = same_padding(self.kernel) if self.padding is None else self.padding
        if 2 * padding > self.kernel:
            raise SpaceError(
                f"padding of {type(self).__name__} must be at most half the kernel {self.kernel}, got {padding}"
            )
        return padding

    def output(self, *inputs: Shape) -> Shape:
        """(channels, positions...)."""
        channels, sizes = image(self, inputs)
        positive(self, "kernel", "stride")
        member(self, "norm", self.norm, ("none", "batch"))
        return (channels, *windows(self, sizes, self.kernel, self.stride, padding=self._padding()))

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing is counted but the output and the norm."""
        output = self.output(*inputs)
        normed = 2 * output[0] if self.norm == "batch" else 0
        return tally(output, params=normed if self.affine else 0, buffers=normed)

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """The norm lies on the input's channels."""
        return norm_axes("norm", "in")

    @classmethod
    def examples(cls) -> Sequence[tuple[Operator, tuple[Shape, ...]]]:
        """Images and series, with and without norm."""
        return [
            (cls(), ((4, 7, 6),)),
            (cls(kernel=2, stride=2), ((4, 8, 8),)),
            (cls(stride=2, norm="batch"), ((6, 7, 7),)),
            (cls(kernel=5, norm="batch", affine=True), ((6, 9),)),
        ]


@register("operators", "max_pool", labels={"family": "pool"})
@dataclass(frozen=True)
class MaxPool(_Pool):
    """Largest value of each window."""

    def layer(self, *inputs: Shape) -> Layer:
        """Max pooling of torch, with batch norm `PoolNorm`."""
        return self._layer("max", inputs)


@register("operators", "avg_pool", labels={"family": "pool"})
@dataclass(frozen=True)
class AvgPool(_Pool):
    """Mean of each window; padding is left out of the mean."""

    def layer(self, *inputs: Shape) -> Layer:
        """Average pooling of torch, with batch norm `PoolNorm`."""
        return self._layer("avg", inputs)


@register("operators", "global_pool", labels={"family": "pool"})
@dataclass(frozen=True)
class GlobalPool(Leaf):
    """One vector for a whole series, image or sequence of tokens.

    `kind` is `avg` or `max` over the positions of channels-first inputs (C, ...); `token_avg`, `token_max` over the
    tokens of (L, D); `cls` takes the first token, `last` the last, which alone has read all under a causal mask.
    """

    kind: str = "avg"

    def layer(self, *inputs: Shape) -> Layer:
        """`GlobalPooling`."""
        self.output(*inputs)
        return Layer(GlobalPooling, {"kind": self.kind})

    def output(self, *inputs: Shape) -> Shape:
        """(C,) or (D,)."""
        return pooled(self, self.kind, inputs)

    def counts(self, *inputs: Shape) -> Counts:
        """Nothing but the output."""
        return tally(self.output(*inputs))

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Every kind."""
        return [
            (cls(), ((4, 5, 6),)),
            (cls("max"), ((4, 5),)),
            (cls("token_avg"), ((5, 4),)),
            (cls("token_max"), ((5, 4),)),
            (cls("cls"), ((5, 4),)),
            (cls("last"), ((5, 4),)),
        ]


class GlobalPooling(nn.Module):
    """Mean or maximum over all positions, or the first or last token."""

    def __init__(self, kind: str = "avg") -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, ...) or (b, l, c) -> (b, c)."""
        if self.kind in ("cls", "last"):
            return x[:, 0 if self.kind == "cls" else -1]
        x = x.transpose(1, 2) if self.kind.startswith("token") else x.flatten(2)  # (b, c, positions)
        return x.mean(2) if self.kind.endswith("avg") else x.amax(2)


POOLS = ("avg", "max", "token_avg", "token_max", "cls", "last")


def pooled(operator: Operator, kind: str, inputs: tuple[Shape, ...]) -> Shape:
    """Shape after a global pool of one kind.

    Raises:
        SpaceError: if the kind is unknown or does not fit the input.
    """
    member(operator, "pool", kind, POOLS)
    shape = image(operator, inputs)[0], inputs[0][-1]
    if kind in ("avg", "max"):
        return (shape[0],)
    if len(inputs[0]) != 2:
        raise SpaceError(f"the pool {kind!r} of {type(operator).__name__} expects tokens (L, D), got {inputs[0]}")
    return (shape[1],)
