"""Spaces that the laws of supernets are tried on."""

from __future__ import annotations

from archwright.operators import (
    FFN,
    Attention,
    Classifier,
    Concat,
    Conv,
    FusedMBConv,
    Linear,
    MaxPool,
    MBConv,
    PatchEmbed,
    Residual,
    Sequential,
    Skip,
    Sum,
)
from archwright.space import Space, oneof, repeat


def conv_space() -> tuple[Space, tuple[int, ...]]:
    """Elastic width, kernel, expansion and depth; operator choice; shared and conditional choices."""
    block = MBConv(oneof(8, 12, 16, name="width"), kernel=oneof(3, 5), expand=oneof(2, 3), se=0.25)
    tree = Sequential(
        (
            Conv(oneof(4, 8), kernel=oneof(1, 3, 5)),
            oneof(
                MBConv(oneof(8, 12), kernel=oneof(3, 5), expand=oneof(2, 3), stride=2),
                FusedMBConv(oneof(8, 12), kernel=3, expand=oneof(2, 3), stride=2),
                MaxPool(3, stride=2),
            ),
            repeat(block, times=oneof(0, 1, 2)),
            Residual(Sequential((Conv(oneof(8, 12, 16, name="width")), Conv(oneof(8, 12, 16, name="width"))))),
            Sum((Conv(8, kernel=oneof(1, 3)), Conv(8, kernel=5))),
            Concat((Skip(), Conv(oneof(4, 6), activation=oneof("relu", "silu")))),
            Classifier(5, hidden=oneof(6, 12)),
        )
    )
    return Space(tree), (3, 10, 10)


def token_space() -> tuple[Space, tuple[int, ...]]:
    """Elastic heads, feed-forward width and depth."""
    block = Sequential(
        (
            Residual(Attention(heads=oneof(2, 4), head_dim=4)),
            Residual(FFN(hidden=oneof(8, 16, 24))),
        )
    )
    tree = Sequential((PatchEmbed(16, patch=2), repeat(block, times=oneof(1, 2, 3)), Classifier(3)))
    return Space(tree), (1, 8, 8)


def table_space() -> tuple[Space, tuple[int, ...]]:
    """Elastic features."""
    tree = Sequential((Linear(oneof(4, 8, 16), activation="relu", norm="batch"), Linear(oneof(6, 12)), Classifier(2)))
    return Space(tree), (7,)


SPACES = {"conv": conv_space, "tokens": token_space, "table": table_space}
