"""Networks for super-resolution whose operators and bits are both decisions.

Shvetsov et al., "QuantNAS for super resolution: searching for efficient quantization-friendly architectures against
quantization noise", 2022, section 3 and its public code: a head, residual cells that set half-width features aside
after every operator (skip) and join them at the end, an up-sampling by pixel shuffle, and a tail on the large image.
Every place has a choice of operators, every operator a choice of bits of weights and inputs. Differences: the
attention in the cells and the join of all cells' outputs are left out, the head is a convolution as in the code's
description (its last version repeats the image), convolutions have a bias of full precision, and those that join
features are part of the search (1x1 at the end of a cell, any operator behind the cells) where the code gives them the
most bits and does not count them.
"""

from __future__ import annotations

from archwright.errors import SpaceError
from archwright.operators.base import Operator, Shape
from archwright.operators.branches import Concat
from archwright.operators.deviation_residual import DeviationResidual
from archwright.operators.pixel_shuffle import PixelShuffle
from archwright.operators.quantized_conv import QuantizedConv
from archwright.operators.residual import Residual
from archwright.operators.sequential import Sequential
from archwright.registry import register
from archwright.space import Space, oneof

SIMPLE = ("simple_1x1", "simple_3x3", "simple_5x5")
GROWTH = ("growth1_1x1", "growth1_3x3", "growth1_5x5")
GROUPED = ("simple_1x1_grouped_2", "simple_3x3_grouped_2", "simple_5x5_grouped_2")


def block(name: str, channels: int, inner: int, bits: int) -> Operator:
    """A candidate by its published name: `simple_KxK`, `simple_KxK_grouped_G`, or `growthN_KxK` of two convolutions.

    Args:
        name: published name.
        channels: that it gives.
        inner: what a growth of 1 has between its convolutions.
        bits: of weights and inputs; may be a choice.

    Raises:
        SpaceError: if the name has another form.
    """
    kind, _, rest = name.partition("_")
    size, _, groups = rest.partition("_grouped_")
    kernel = size.partition("x")[0]
    simple = kind == "simple" and (not groups or groups.isdigit())
    growing = kind[:6] == "growth" and kind[6:].isdigit() and not groups
    if not kernel.isdigit() or size != f"{kernel}x{kernel}" or not (simple or growing):
        raise SpaceError(
            f"an operator of quantnas is simple_KxK, simple_KxK_grouped_G or growthN_KxK, such as growth1_3x3; "
            f"got {name!r}"
        )
    if growing:
        middle = _conv(inner * int(kind[6:]), int(kernel), bits)
        return Sequential((middle, _conv(channels, int(kernel), bits)))
    return _conv(channels, int(kernel), bits, int(groups or 1))


def _conv(channels: int, kernel: int, bits: int, groups: int = 1) -> Operator:
    return QuantizedConv(channels, kernel, bits=bits, groups=groups, norm="none", activation_first=True)


@register(
    "spaces",
    "quantnas",
    labels={
        "family": "macro",
        "inputs": "images",
        "enlarges": 2,  # by default: outputs are images of the size of the inputs times this
        "noisy": True,  # mixtures of bits are random while training
        "small": {"channels": 4, "cells": 1, "depth": 2, "body": ("simple_1x1", "simple_3x3"), "head": ("simple_3x3",)},
    },
)
def quantnas(
    input_shape: Shape,
    outputs: int,
    *,
    scale: int = 2,
    channels: int = 48,
    cells: int = 4,
    depth: int = 4,
    bits: tuple[int, ...] = (4, 8),
    head: tuple[str, ...] = SIMPLE[1:],
    body: tuple[str, ...] = GROUPED + SIMPLE + GROWTH,
    upsample: tuple[str, ...] = GROUPED + SIMPLE + GROWTH,
    tail: tuple[str, ...] = SIMPLE + GROWTH,
    rescale: bool = True,
) -> Space:
    """Networks from images (C, H, W) to (outputs, scale H, scale W); sizes are those of the published search.

    Decisions are named `PLACE`, and `PLACE_OPERATOR_bits` for the bits of an operator there; places are `head`,
    `bodyC_I`, `skipC_I` and `joinC` of cell C, `trunk`, `upsample` and `tail`.

    Args:
        input_shape: (C, H, W).
        outputs: channels of the image that networks give.
        scale: of its size over the input's.
        channels: of the features.
        cells: residual cells.
        depth: operators in the body of a cell; a skip stands beside each but the last.
        bits: of weights and inputs, increasing.
        head: operators that may make features of the image.
        body: operators of the cells' bodies and skips, and behind the cells.
        upsample: operators before the pixel shuffle.
        tail: operators on the large image.
        rescale: cells normalise their input and give its deviation back at the end, as published; otherwise they are
            plain residual ones.

    Raises:
        SpaceError: if the input is no image, or sizes do not fit.
    """
    if len(input_shape) != 3 or channels % 2 or depth < 1 or cells < 1 or scale < 1 or list(bits) != sorted(set(bits)):
        raise SpaceError(
            "quantnas expects images (C, H, W), an even number of channels, cells, depth and scale of 1 or more, and "
            f"increasing bits; got {input_shape}, {channels}, {cells}, {depth}, {scale}, {bits}"
        )

    def place(name: str, names: tuple[str, ...], width: int) -> Operator:
        made = [block(n, width, channels, oneof(*bits, name=f"{name}_{n}_bits")) for n in names]
        return oneof(*made, name=name)

    def cell(number: int) -> Operator:
        inner: Operator = place(f"body{number}_{depth - 1}", body, channels // 2)
        for i in reversed(range(depth - 1)):
            through = Sequential((Residual(place(f"body{number}_{i}", body, channels)), inner))
            inner = Concat((place(f"skip{number}_{i}", body, channels // 2), through))
        whole = Sequential((inner, place(f"join{number}", SIMPLE[:1], channels)))
        return DeviationResidual(whole) if rescale else Residual(whole)

    trunk = Sequential((*(cell(i) for i in range(cells)), place("trunk", body, channels)))
    parts = (
        place("head", head, channels),
        Residual(trunk),
        place("upsample", upsample, outputs * scale**2),
        PixelShuffle(scale),
        Residual(place("tail", tail, outputs)),
    )
    return Space(Sequential(parts))
