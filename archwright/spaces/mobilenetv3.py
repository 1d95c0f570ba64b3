"""The elastic MobileNetV3 of Once-for-All (Cai et al., 2020, sections 3.1 and 4.1), and of BigNAS-like training.

Five units of two to four inverted residuals; kernel 3, 5 or 7 and expansion 3, 4 or 6 of each block. Kernels are the
centres of the largest one, shorter units the first blocks, narrower blocks the first channels. The stem, a first block
and the head are fixed. Squeeze-and-excitation keeps exactly a quarter of the hidden channels; the published code rounds
to multiples of eight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from archwright.operators.base import Operator, Shape
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.mbconv import MBConv
from archwright.operators.sequential import Sequential
from archwright.registry import register
from archwright.space import Space, oneof, repeat

# channels, stride of the first block, squeeze-and-excitation, activation
Unit = tuple[int, int, bool, str]
UNITS: tuple[Unit, ...] = (
    (24, 2, False, "relu"),
    (40, 2, True, "relu"),
    (80, 2, False, "hswish"),
    (112, 1, True, "hswish"),
    (160, 2, True, "hswish"),
)


@dataclass(frozen=True)
class AtResolution:
    """A network and the side of the images that it is given."""

    resolution: int
    network: Operator


@register(
    "spaces",
    "mobilenetv3",
    labels={
        "family": "macro",
        "inputs": "images, series",
        "small": {
            "units": ((6, 2, False, "relu"), (8, 1, True, "hswish")),
            "kernels": (3, 5),
            "expansions": (2, 3),
            "depths": (1, 2, 3),
            "stem": 4,
            "head": (16, 24),
        },
    },
)
def mobilenetv3(
    input_shape: Shape,
    outputs: int,
    *,
    units: tuple[Unit, ...] = UNITS,
    depths: tuple[int, ...] = (2, 3, 4),
    kernels: tuple[int, ...] = (3, 5, 7),
    expansions: tuple[int, ...] = (3, 4, 6),
    stem: int = 16,
    stem_stride: int = 2,
    head: tuple[int, int] = (960, 1280),
    resolutions: tuple[int, ...] = (),
) -> Space:
    """The (9^2 + 9^3 + 9^4)^5, about 2.2e19, sub-networks of Once-for-All at width 1.

    Args:
        input_shape: (C, H, W) or (C, L).
        outputs: classes or values.
        units: channels, stride, gate and activation of each unit.
        depths: numbers of blocks of a unit, increasing.
        kernels: of the depthwise convolutions, increasing.
        expansions: hidden channels as a multiple, increasing and above 1.
        stem: channels of the first convolution and the first block.
        stem_stride: of the first convolution; 1 for small images.
        head: channels of the last convolution and of the hidden layer behind the pooling.
        resolutions: sides of the images as one more decision, such as (128, 160, 192, 224); () leaves it out.
    """
    parts: list[Any] = [Conv(stem, stride=stem_stride, activation="hswish"), MBConv(stem, expand=1, activation="relu")]
    for u, (channels, stride, gate, activation) in enumerate(units):
        shared = {"se": 0.25 if gate else 0.0, "activation": activation, "gate": "hsigmoid"}
        more = tuple(d - 1 for d in depths)
        further = MBConv(channels, oneof(*kernels), 1, oneof(*expansions), **shared)  # type: ignore[arg-type]
        parts.append(MBConv(channels, oneof(*kernels), stride, oneof(*expansions), **shared))  # type: ignore[arg-type]
        parts.append(repeat(further, times=oneof(*more, name=f"depth{u}")))
    parts.append(Conv(head[0], 1, activation="hswish"))
    parts.append(Classifier(outputs, hidden=head[1], activation="hswish"))
    network = Sequential(tuple(parts))
    return Space(AtResolution(oneof(*resolutions, name="resolution"), network) if resolutions else network)
