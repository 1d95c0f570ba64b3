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


def resnet(blocks: Sequence[int], size: int = 224, classes: int = 1000, *, early: bool = False) -> list[Layer]:
    """Bottleneck ResNet; classes 0 = no head.

    The stride is in the 3x3 convolution, or, `early`, in the 1x1 before it as in He et al. (2016) and Caffe2's weights.
    """
    layers: list[Layer] = [(64, 3, 7, size // 2, 2)]
    channels, out = 64, size // 4
    for width, count, first in zip((64, 128, 256, 512), blocks, (1, 2, 2, 2), strict=True):
        for i in range(count):
            stride, before = (first if i == 0 else 1), out
            out = -(-out // stride)
            if early:
                layers += [(width, channels, 1, out, stride), (width, width, 3, out, 1)]
            else:
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


def alexnet() -> list[Layer]:
    """AlexNet with its groups as separate layers (Krizhevsky et al., 2012)."""
    layers = [(96, 3, 11, 55, 4), *[(128, 48, 5, 27, 1)] * 2, (384, 256, 3, 13, 1)]
    layers += [*[(192, 192, 3, 13, 1)] * 2, *[(128, 192, 3, 13, 1)] * 2]
    return [*layers, (4096, 9216, 1, 1, 1), (4096, 4096, 1, 1, 1), (1000, 4096, 1, 1, 1)]


def retinanet(size: int = 800, *, light: bool = False) -> list[Layer]:
    """RetinaNet with ResNet-50 and a feature pyramid, 9 anchors, 80 classes (Lin et al., 2017).

    `light` has 1x1 convolutions in the heads of the largest maps (PSCLab-ASU/LW-RetinaNet, retinanet_heads.py).
    """
    layers = resnet((3, 4, 6, 3), size, classes=0, early=True)
    c3, c4, c5 = -(-size // 8), -(-size // 16), -(-size // 32)
    c6 = -(-c5 // 2)
    c7 = -(-c6 // 2)
    layers += [(256, 512, 1, c3, 1), (256, 1024, 1, c4, 1), (256, 2048, 1, c5, 1)]
    layers += [(256, 256, 3, c, 1) for c in (c3, c4, c5)] + [(256, 2048, 3, c6, 2), (256, 256, 3, c7, 2)]
    for c in (c3, c4, c5, c6, c7):
        k = 1 if light and c == c3 else 3
        layers += [*[(256, 256, k, c, 1)] * 8, (720, 256, k, c, 1), (36, 256, k, c, 1)]
    return layers


def systolic_cnn() -> dict[str, tuple[Conv, np.ndarray]]:
    """Networks of Systolic-CNN as its host programs run them, and bytes of a weight of each layer.

    PSCLab-ASU/Systolic-CNN e5c894f: AlexNet's first layer has the four columns of a stride side by side as channels,
    so that its 11 x 11 kernel on 3 channels is 11 x 3 on 12; its fully connected weights are packed four to a word.
    """
    alex = conv_of(alexnet())
    first = np.arange(len(alex.filters)) == 0
    # strides of 4 down and 1 across are the same area of input as 2 and 2
    alex = alex._replace(
        kernel_w=np.where(first, 3, alex.kernel_w), channels=np.where(first, 12, alex.channels),
        stride=np.where(first, 2, alex.stride),
    )  # fmt: skip
    tables = {
        "ResNet-50": resnet((3, 4, 6, 3), early=True), "ResNet-152": resnet((3, 8, 36, 3), early=True),
        "RetinaNet": retinanet(), "Light-weight RetinaNet": retinanet(light=True),
    }  # fmt: skip
    found = {name: conv_of(table) for name, table in tables.items()}
    words = {name: (layers, np.full(len(layers.filters), 4.0)) for name, layers in found.items()}
    return {"AlexNet": (alex, np.where(alex.out_w == 1, 1.0, 4.0))} | words
