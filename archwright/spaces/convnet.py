"""The default space for images and series: an elastic stack of inverted residuals."""

from __future__ import annotations

from archwright.errors import SpaceError
from archwright.operators.base import Shape
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.mbconv import MBConv
from archwright.operators.sequential import Sequential
from archwright.registry import register
from archwright.space import Space, oneof, repeat


@register("spaces", "convnet", labels={"family": "macro", "inputs": "images, series"})
def convnet(
    input_shape: Shape,
    outputs: int,
    *,
    stem: tuple[int, ...] = (8, 16, 24),
    widths: tuple[tuple[int, ...], ...] = ((12, 16, 24), (16, 24, 32), (24, 32, 48)),
    kernels: tuple[int, ...] = (3, 5),
    expansions: tuple[int, ...] = (2, 3, 4),
    depths: tuple[int, ...] = (0, 1, 2),
) -> Space:
    """Stem, stages of inverted residuals, classifier; width, kernel, expansion and depth of each stage are choices.

    Each stage has a first block, which may halve the size, and up to `max(depths)` further blocks of the same width, in
    the manner of Once-for-All (Cai et al., 2020, section 3.1). Sizes are halved while they stay at least 4. With the
    defaults it has about 4.6e8 networks times the stem.

    Args:
        input_shape: (C, H, W) or (C, L).
        outputs: classes or values.
        stem: channels of the first convolution.
        widths: channels, one tuple a stage.
        kernels: of the depthwise convolutions.
        expansions: hidden channels as a multiple.
        depths: further blocks of a stage.

    Raises:
        SpaceError: if the input is no image or series.
    """
    if len(input_shape) not in (2, 3):
        raise SpaceError(f"convnet expects images (C, H, W) or series (C, L), got {input_shape}; for tables use mlp")
    size = min(input_shape[1:])
    stem_stride, size = (2, size // 2) if size >= 64 else (1, size)
    parts: list[object] = [Conv(oneof(*stem), stride=stem_stride)]
    for i, channels in enumerate(widths):
        halve = size >= 8
        size = size // 2 if halve else size
        block = MBConv(
            oneof(*channels, name=f"width{i}"),
            kernel=oneof(*kernels),
            stride=2 if halve else 1,
            expand=oneof(*expansions),
        )
        further = MBConv(oneof(*channels, name=f"width{i}"), kernel=oneof(*kernels), expand=oneof(*expansions))
        parts += [block, repeat(further, times=oneof(*depths, name=f"depth{i}"))]
    return Space(Sequential((*parts, Classifier(outputs))))
