"""The space of the benchmark `digits-conv`: 490 small networks for small images, no two of them the same function.

A stem, three stages with one operator each, a classifier. A stage is nothing (a max pool where it halves the size), a
convolution or an inverted residual; width and kernel are decisions of the operators that have them, so they are
inactive elsewhere and no two codes mean the same network. One activation is used throughout.
"""

from __future__ import annotations

from archwright.errors import SpaceError
from archwright.operators.base import Shape
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.mbconv import MBConv
from archwright.operators.pool import MaxPool
from archwright.operators.sequential import Sequential
from archwright.operators.skip import Skip
from archwright.registry import register
from archwright.space import Space, oneof

STEM = 8
WIDTHS = ((8, 16), (12, 24), (16, 32))
KERNELS = ((3,), (3, 5), (3, 5))  # of the inverted residuals; a plain convolution is 3x3
STRIDES = (1, 2, 2)
EXPANSION = 2
ACTIVATIONS = ("relu", "silu")


@register("spaces", "digits_bench", labels={"family": "macro", "inputs": "images", "members": 490})
def digits_bench(input_shape: Shape = (1, 8, 8), outputs: int = 10) -> Space:
    """The 490 networks of the benchmark `digits-conv`.

    Args:
        input_shape: (C, H, W); the table holds results for (1, 8, 8).
        outputs: classes.

    Raises:
        SpaceError: if the input is no image.
    """
    if len(input_shape) != 3:
        raise SpaceError(
            f"digits_bench expects images (C, H, W), got {input_shape}; for other inputs use convnet or mlp"
        )
    parts: list[object] = [Conv(STEM, activation=_activation())]
    for i, (widths, kernels, stride) in enumerate(zip(WIDTHS, KERNELS, STRIDES, strict=True)):
        width = oneof(*widths, name=f"width{i}")
        kernel = oneof(*kernels, name=f"kernel{i}") if len(kernels) > 1 else kernels[0]
        parts.append(
            oneof(
                Skip() if stride == 1 else MaxPool(2, stride, padding=0),
                Conv(width, 3, stride, activation=_activation()),
                MBConv(width, kernel, stride, EXPANSION, activation=_activation()),
                name=f"operator{i}",
            )
        )
    return Space(Sequential((*parts, Classifier(outputs))))


def _activation() -> str:
    return oneof(*ACTIVATIONS, name="activation")
