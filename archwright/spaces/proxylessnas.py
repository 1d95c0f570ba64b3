"""The layer-wise space of ProxylessNAS (Cai et al., 2019, section 4.1 and appendix A): 21 layers of inverted residuals.

Kernel 3, 5 or 7 and expansion 3 or 6. Layers that keep size and channels may also be left out: the published `Zero`
beside an identity is an identity. The first block, of expansion 1, is fixed.
"""

from __future__ import annotations

from typing import Any

from archwright.operators.base import Operator, Shape
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.mbconv import MBConv
from archwright.operators.sequential import Sequential
from archwright.operators.skip import Skip
from archwright.registry import register
from archwright.space import Space, oneof

STAGES = ((24, 4, 2), (40, 4, 2), (80, 4, 2), (96, 4, 1), (192, 4, 2), (320, 1, 1))


@register(
    "spaces",
    "proxylessnas",
    labels={
        "family": "macro",
        "inputs": "images, series",
        "small": {"stages": ((6, 2, 2), (8, 2, 2)), "stem": 4, "first": 4, "head": 16, "kernels": (3, 5)},
    },
)
def proxylessnas(
    input_shape: Shape,
    outputs: int,
    *,
    stages: tuple[tuple[int, int, int], ...] = STAGES,
    stem: int = 32,
    stem_stride: int = 2,
    first: int = 16,
    head: int = 1280,
    kernels: tuple[int, ...] = (3, 5, 7),
    expansions: tuple[int, ...] = (3, 6),
) -> Space:
    """The 6^6 x 7^15 networks of ProxylessNAS on ImageNet.

    Args:
        input_shape: (C, H, W) or (C, L).
        outputs: classes or values.
        stages: channels, layers and stride of the first layer of each stage.
        stem: channels of the first convolution.
        stem_stride: of the first convolution; 1 for small images.
        first: channels of the fixed block behind it.
        head: channels of the last convolution.
        kernels: of the candidates.
        expansions: of the candidates.
    """
    parts: list[Any] = [Conv(stem, stride=stem_stride, activation="relu6"), MBConv(first, expand=1)]
    before, layer = first, 0
    for channels, depth, start in stages:
        for i in range(depth):
            stride = start if i == 0 else 1
            options: list[Operator] = [MBConv(channels, k, stride, e) for k in kernels for e in expansions]
            if stride == 1 and before == channels:
                options.append(Skip())
            parts.append(oneof(*options, name=f"layer{layer}"))
            before, layer = channels, layer + 1
    return Space(Sequential((*parts, Conv(head, 1, activation="relu6"), Classifier(outputs))))
