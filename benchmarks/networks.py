"""Layer tables of published networks, for checks of hardware models against published latencies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwright.costs.dataflow import Conv

Layer = tuple[int, int, int, int, int]  # filters, channels, kernel, output size, stride


def conv_of(layers: Sequence[Layer], batch: float = 1.0) -> Conv:
    """Square layers as arrays."""
    filters, channels, kernel, out, stride = np.array(layers, dtype=float).T
    return Conv(filters, channels, kernel, kernel, out, out, stride, 1.0, batch)


def resnet(blocks: Sequence[int], size: int = 224, classes: int = 1000) -> list[Layer]:
    """Bottleneck ResNet, stride in the 3x3 convolution (He et al., 2016); classes 0 = no head."""
    layers: list[Layer] = [(64, 3, 7, size // 2, 2)]
    channels, out = 64, size // 4
    for width, count, first in zip((64, 128, 256, 512), blocks, (1, 2, 2, 2), strict=True):
        for i in range(count):
            stride, before = (first if i == 0 else 1), out
            out = -(-out // stride)
            layers += [(width, channels, 1, before, 1), (width, width, 3, out, stride)]
            if i == 0:
                layers.append((4 * width, channels, 1, out, stride))
            layers.append((4 * width, width, 1, out, 1))
            channels = 4 * width
    return layers + ([(classes, 2048, 1, 1, 1)] if classes else [])


def residual_elements(blocks: Sequence[int], size: int = 224) -> float:
    """Elements read once more by the residual sums."""
    total, out = 0, size // 4
    for width, count, first in zip((64, 128, 256, 512), blocks, (1, 2, 2, 2), strict=True):
        out = -(-out // first)
        total += count * 4 * width * out * out
    return float(total)


def alexnet(fully_connected: bool = True) -> list[Layer]:
    """AlexNet with its groups as separate layers (Krizhevsky et al., 2012)."""
    layers = [(96, 3, 11, 55, 4), *[(128, 48, 5, 27, 1)] * 2, (384, 256, 3, 13, 1)]
    layers += [*[(192, 192, 3, 13, 1)] * 2, *[(128, 192, 3, 13, 1)] * 2]
    return layers + ([(4096, 9216, 1, 1, 1), (4096, 4096, 1, 1, 1), (1000, 4096, 1, 1, 1)] if fully_connected else [])


def retinanet(size: int = 800) -> list[Layer]:
    """RetinaNet with ResNet-50 and a feature pyramid, 9 anchors, 80 classes (Lin et al., 2017)."""
    layers = resnet((3, 4, 6, 3), size, classes=0)
    c3, c4, c5 = -(-size // 8), -(-size // 16), -(-size // 32)
    c6 = -(-c5 // 2)
    c7 = -(-c6 // 2)
    layers += [(256, 512, 1, c3, 1), (256, 1024, 1, c4, 1), (256, 2048, 1, c5, 1)]
    layers += [(256, 256, 3, c, 1) for c in (c3, c4, c5)] + [(256, 2048, 3, c6, 2), (256, 256, 3, c7, 2)]
    for c in (c3, c4, c5, c6, c7):
        layers += [*[(256, 256, 3, c, 1)] * 8, (720, 256, 3, c, 1), (36, 256, 3, c, 1)]
    return layers
