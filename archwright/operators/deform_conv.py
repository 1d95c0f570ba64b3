"""Deformable convolution in the variants of CoDeNet (Huang et al., FPGA 2021, sections 3 and 4).

Each tap reads the map at its place plus an offset that another convolution computes, between pixels by bilinear
interpolation (Dai et al., 2017, equations 2 and 3). What hardware wants is an option: one offset a pixel that scales a
square of taps, offsets bounded to a few lines, whole pixels, and filters per channel. Their cost is in
`costs/deform.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from archwright.errors import SpaceError
from archwright.operators.base import Example, Layer, Leaf, Shape
from archwright.operators.rules import activation_class, image, lean, odd, positive, windows
from archwright.registry import register


class DeformConvNormAct(nn.Module):
    """Deformable convolution, batch norm, activation; per channel it is followed by a 1 x 1 convolution."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        depthwise: bool = False,
        square: bool = False,
        bound: float | None = None,
        rounded: bool = False,
        activation: str = "ReLU",
    ) -> None:
        super().__init__()
        taps = kernel * kernel
        self.offset = nn.Conv2d(in_channels, 1 if square else 2 * taps, kernel, stride, kernel // 2)
        for parameter in self.offset.parameters():  # an ordinary convolution to begin with
            nn.init.zeros_(parameter)
        # a convolution over the gathered taps, so that its kernels are found as those of any convolution
        self.conv = nn.Conv2d(in_channels, in_channels if depthwise else out_channels, kernel, bias=False,
                              groups=in_channels if depthwise else 1)  # fmt: skip
        self.point = nn.Conv2d(in_channels, out_channels, 1, bias=False) if depthwise else nn.Identity()
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = getattr(nn, activation)()
        self.kernel, self.stride, self.square, self.bound, self.whole = kernel, stride, square, bound, rounded

    def offsets(self, x: torch.Tensor) -> torch.Tensor:
        """Displacement of each tap in pixels, (b, taps, 2, h, w): down, right."""
        raw = self.offset(x)
        reach = self.kernel // 2
        if self.square:
            side = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
            down, right = torch.meshgrid(side, side, indexing="ij")
            taps = torch.stack([down.flatten(), right.flatten()], 1)  # (taps, 2), from the centre
            moved = raw[:, None] * taps[None, :, :, None, None]
        else:
            moved = raw.unflatten(1, (-1, 2))
        if self.bound is not None:
            moved = moved.clamp(-self.bound, self.bound)
        return moved + (moved.round() - moved).detach() if self.whole else moved

    def sampled(self, x: torch.Tensor) -> torch.Tensor:
        """What each tap reads, zero beyond the map, (b, in, taps, h, w)."""
        height, width = x.shape[2], x.shape[3]
        moved = self.offsets(x)
        out_h, out_w = moved.shape[3], moved.shape[4]
        side = torch.arange(self.kernel, dtype=x.dtype, device=x.device) - self.kernel // 2
        down = side.repeat_interleave(self.kernel)[:, None] + torch.arange(out_h, device=x.device) * self.stride
        right = side.repeat(self.kernel)[:, None] + torch.arange(out_w, device=x.device) * self.stride
        row = down[None, :, :, None] + moved[:, :, 0]  # (b, taps, h, w)
        col = right[None, :, None, :] + moved[:, :, 1]
        # pixel i lies at -1 + 2 i / (n - 1); a map of one line has its only line at any scale
        grid = torch.stack([2 * col / max(width - 1, 1) - 1, 2 * row / max(height - 1, 1) - 1], -1)
        read = nn.functional.grid_sample(x, grid.flatten(1, 2), align_corners=True)
        return read.unflatten(2, (-1, out_h))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, in, h, w) -> (b, out, h / stride, w / stride)."""
        taps = self.sampled(x).flatten(1, 2)  # (b, in * taps, h, w)
        y = nn.functional.conv2d(taps, self.conv.weight.flatten(1)[:, :, None, None], groups=self.conv.groups)
        return self.act(self.norm(self.point(y)))


@register("operators", "deform_conv", labels={"family": "convolution"})
@dataclass(frozen=True)
class DeformConv(Leaf):
    """Deformable convolution, batch norm, activation on images.

    depthwise: filters per channel and a 1 x 1 convolution. square: one offset a pixel, which scales the square of taps.
    bound: largest offset in pixels. rounded: offsets are whole pixels, with the gradient of fractional ones.
    """

    elastic: ClassVar[frozenset[str]] = frozenset({"channels"})

    channels: int
    kernel: int = 3
    stride: int = 1
    depthwise: bool = False
    square: bool = False
    bound: float | None = None
    rounded: bool = False
    activation: str = "relu"

    def output(self, *inputs: Shape) -> Shape:
        """(channels, height, width)."""
        _, sizes = image(self, inputs)
        positive(self, "channels", "stride")
        odd(self, self.kernel)
        if len(sizes) != 2 or min(sizes) < 2:
            raise SpaceError(f"DeformConv expects an image (C, H, W) of at least 2 x 2 pixels, got {inputs[0]}")
        if self.bound is not None and not self.bound > 0:
            raise SpaceError(f"the bound of DeformConv is a positive number of pixels or None, got {self.bound!r}")
        return (self.channels, *windows(self, sizes, self.kernel, self.stride))

    def layer(self, *inputs: Shape) -> Layer:
        """`DeformConvNormAct`."""
        self.output(*inputs)
        return lean(
            DeformConvNormAct,
            in_channels=inputs[0][0],
            out_channels=self.channels,
            kernel=self.kernel,
            stride=self.stride,
            depthwise=self.depthwise,
            square=self.square,
            bound=self.bound,
            rounded=self.rounded,
            activation=activation_class(self, self.activation),
        )

    def axes(self) -> Mapping[str, tuple[str | None, ...]]:
        """Offsets are never cut."""
        named: dict[str, tuple[str | None, ...]] = {"offset.weight": (None, "in"), "offset.bias": (None,)}
        return {**named, "conv.weight": ("in", None)} if self.depthwise else named

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Each variant."""
        return [
            (cls(8), ((4, 7, 6),)),
            (cls(6, depthwise=True, square=True, bound=2.0), ((4, 6, 8),)),
            (cls(6, stride=2, bound=1.0, rounded=True), ((4, 8, 8),)),
        ]
