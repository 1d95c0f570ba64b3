"""The default space for tables: a residual multilayer perceptron of elastic width and depth."""

from __future__ import annotations

from archwright.errors import SpaceError
from archwright.operators.base import Shape
from archwright.operators.head import Classifier
from archwright.operators.linear import Linear
from archwright.operators.residual import Residual
from archwright.operators.sequential import Sequential
from archwright.registry import register
from archwright.space import Space, oneof, repeat


@register("spaces", "mlp", labels={"family": "macro", "inputs": "tables"})
def mlp(
    input_shape: Shape,
    outputs: int,
    *,
    widths: tuple[int, ...] = (16, 32, 64, 96, 128, 192, 256),
    hidden: tuple[int, ...] = (16, 32, 64, 128, 256),
    depths: tuple[int, ...] = (0, 1, 2, 3, 4),
) -> Space:
    """Linear embedding, residual blocks of two layers, linear outputs (Gorishniy et al., 2021, section 3.2).

    Args:
        input_shape: (F,).
        outputs: classes or values.
        widths: of the residual stream.
        hidden: of the inner layer of a block.
        depths: number of blocks.

    Raises:
        SpaceError: if the input is no table.
    """
    if len(input_shape) != 1:
        raise SpaceError(f"mlp expects features (F,), got {input_shape}; for images and series use convnet")
    width = oneof(*widths, name="width")
    block = Residual(
        Sequential((Linear(oneof(*hidden), norm="batch", activation=oneof("relu", "gelu")), Linear(width)))
    )
    return Space(
        Sequential(
            (
                Linear(width, norm="batch", activation="relu"),
                repeat(block, times=oneof(*depths, name="depth")),
                Classifier(outputs),
            )
        )
    )
