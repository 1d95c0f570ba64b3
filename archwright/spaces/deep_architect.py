"""Small convolutional networks written with the combinators of DeepArchitect.

Negrinho & Gordon, "DeepArchitect: Automatically Designing and Training Deep Architectures" (2017), section 4: modules
with named hyper-parameters are joined by combinators. Or is `oneof`, Optional a choice with `Skip`, Repeat is `repeat`,
Residual and Concat are operators. The networks themselves are ours.
"""

from __future__ import annotations

from archwright.errors import SpaceError
from archwright.operators.base import Shape
from archwright.operators.branches import Concat
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.pool import MaxPool
from archwright.operators.residual import Residual
from archwright.operators.sequential import Sequential
from archwright.operators.skip import Skip
from archwright.registry import register
from archwright.space import Space, oneof, repeat


@register(
    "spaces",
    "deep_architect",
    labels={"family": "macro", "inputs": "images, series", "small": {"widths": (4, 8), "depths": (1, 2)}},
)
def deep_architect(
    input_shape: Shape = (1, 8, 8),
    outputs: int = 10,
    *,
    stem: int = 8,
    widths: tuple[int, ...] = (4, 8, 12, 16),
    kernels: tuple[int, ...] = (3, 5),
    depths: tuple[int, ...] = (1, 2),
) -> Space:
    """Stem, perhaps a pool, blocks that are plain, residual or branched, classifier; 192 with the defaults.

    Args:
        input_shape: (C, H, W) or (C, L).
        outputs: classes.
        stem: channels of the first convolution.
        widths: channels of the blocks.
        kernels: of the blocks' convolutions.
        depths: numbers of blocks.

    Raises:
        SpaceError: if the input is no image or series.
    """
    if len(input_shape) not in (2, 3):
        raise SpaceError(f"deep_architect expects images (C, H, W) or series (C, L), got {input_shape}")
    width = oneof(*widths, name="width")
    convolution = Conv(width, oneof(*kernels, name="kernel"))
    block = oneof(convolution, Residual(convolution), Concat((Conv(width, 1), convolution)))
    pool = oneof(Skip(), MaxPool(2, 2, padding=0), name="pool")
    return Space(Sequential((Conv(stem), pool, repeat(block, times=oneof(*depths, name="depth")), Classifier(outputs))))
