"""A residual network of fixed depth and widths whose down-samplings may stand anywhere.

Roshtkhari, Toews and Pedersoli, "Balanced mixture of supernets for learning the CNN pooling architecture", 2023,
section 4: of a ResNet-20 (He et al., 2016, section 4.2) only the positions of the down-samplings are searched. A
down-sampling is a 2x2 maximum before a block, so that every network has the same weights, on other resolutions.
"""

from __future__ import annotations

from archwright.errors import SpaceError
from archwright.operators.base import Operator, Shape
from archwright.operators.conv import Conv
from archwright.operators.head import Classifier
from archwright.operators.pool import MaxPool
from archwright.operators.residual import Residual
from archwright.operators.sequential import Sequential
from archwright.operators.skip import Skip
from archwright.registry import register
from archwright.space import Space, constraint, oneof


@register(
    "spaces",
    "resnet_pooling",
    labels={
        "family": "macro",
        "inputs": "images",
        "mixed": False,  # values before and after a down-sampling cannot be summed; sampled paths share weights
        "small": {"widths": (4, 8), "downsamplings": 1},
    },
)
def resnet_pooling(
    input_shape: Shape,
    outputs: int,
    *,
    widths: tuple[int, ...] = (16, 32, 64),
    blocks: int = 3,
    downsamplings: int = 2,
) -> Space:
    """The 36 ways to put two down-samplings before the nine blocks of a ResNet-20; option 1 of `down_I` is one.

    Args:
        input_shape: (C, H, W).
        outputs: classes.
        widths: channels of the stages.
        blocks: of a stage, with two 3x3 convolutions each.
        downsamplings: how many there are.

    Raises:
        SpaceError: if the input is no image or too small, or there are more down-samplings than blocks.
    """
    total = len(widths) * blocks
    if len(input_shape) != 3 or min(input_shape[1:]) < 2**downsamplings or not 0 <= downsamplings <= total:
        raise SpaceError(
            f"resnet_pooling expects images (C, H, W) of a side of 2^downsamplings at least and as many blocks as "
            f"down-samplings, got {input_shape}, {total} blocks and {downsamplings} down-samplings"
        )
    parts: list[Operator] = [Conv(widths[0])]
    names = [f"down_{i}" for i in range(total)]
    for i, name in enumerate(names):
        width, last = widths[i // blocks], widths[max(0, i - 1) // blocks]
        parts.append(oneof(Skip(), MaxPool(2, 2, 0), name=name))
        body = Sequential((Conv(width), Conv(width)))
        parts.append(Residual(body, "identity" if width == last else "projection"))

    def as_many(*options: object) -> bool:
        return sum(isinstance(option, MaxPool) for option in options) == downsamplings

    rule = constraint(as_many, *names, message=f"{downsamplings} down-samplings")
    return Space(Sequential((*parts, Classifier(outputs))), where=[rule])
