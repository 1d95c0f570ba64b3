"""The differentiable hypercuboid of sharpDARTS (Hundt et al., 2019, section 3.3): width and operator of each layer.

Layers alternate between stride 1 and stride 2. Each goes from one of five widths to another through a sharp separable
convolution or a max pooling with a 1x1 convolution; the weights of all combinations form a hypercuboid with the axes
stride, layer, width in, width out and operator. An architecture is one path through it: the width of the stem, then
width and operator of each layer.

Every (width, operator) of a layer has weights of its own; those of different widths before it are slices of one weight,
where the published network has separate ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archwright.errors import SpaceError
from archwright.operators.base import Composite, Example, Run, Shape
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.pool import MaxPool
from archwright.operators.sequential import Sequential
from archwright.operators.sharp_sep_conv import SharpSepConv
from archwright.registry import register
from archwright.space import Space, oneof

WIDTHS = (32, 64, 128, 256, 512)


@dataclass(frozen=True)
class ResizablePool(Composite):
    """Max pooling, then 1x1 convolution and batch norm to the channels."""

    channels: int
    stride: int = 1

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Pool, then resize."""
        x = run(self.inner("pool", MaxPool(3, self.stride)), *inputs)
        return run(self.inner("resize", Conv(self.channels, 1, activation="identity")), x)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """Plain and strided."""
        return [(cls(6), ((4, 6, 6),)), (cls(6, 2), ((4, 7, 6),))]


@register(
    "spaces",
    "hypercuboid",
    labels={"family": "macro", "inputs": "images, series", "small": {"widths": (4, 8), "layers": 2, "features": 12}},
)
def hypercuboid(
    input_shape: Shape,
    outputs: int,
    *,
    widths: tuple[int, ...] = WIDTHS,
    layers: int = 6,
    features: int = 768,
) -> Space:
    """Paths through the hypercuboid: 5 x 10^6 with the defaults.

    Args:
        input_shape: (C, H, W) or (C, L).
        outputs: classes or values.
        widths: numbers of channels between which each layer goes.
        layers: an even number; every second one halves the size.
        features: channels of the last convolution.

    Raises:
        SpaceError: if the number of layers is odd.
    """
    if layers % 2:
        raise SpaceError(f"hypercuboid alternates strides 1 and 2, so layers must be even, got {layers}")
    stem = oneof(*(Conv(width, activation="identity") for width in widths), name="stem")
    parts: list[Any] = [stem]
    for i in range(layers):
        stride = 1 + i % 2
        convs = [SharpSepConv(width, 3, stride) for width in widths]
        pools = [ResizablePool(width, stride) for width in widths]
        parts.append(oneof(*convs, *pools, name=f"layer{i}"))
    return Space(Sequential((*parts, SharpSepConv(features), Classifier(outputs))))
