"""The vision transformers of AutoFormer (Chen et al., 2021, section 3.3 and table 1), with the released choices.

Width of all tokens, depth, and heads and feed-forward ratio of each layer; heads keep 64 features, so their number also
sets the size of queries, keys and values. Every choice is a leading part of one largest weight (section 3.2). Not
included: the relative position tables, 2 x 2 x 30 x 64 parameters a layer.
"""

from __future__ import annotations

from typing import NamedTuple

from archwright.errors import SpaceError, nearest
from archwright.operators.attention import Attention
from archwright.operators.base import Shape
from archwright.operators.ffn import FFN
from archwright.operators.head import Classifier
from archwright.operators.norm import Norm
from archwright.operators.sequential import Sequential
from archwright.operators.tokens import PatchEmbed
from archwright.operators.transformer import TransformerBlock
from archwright.registry import register
from archwright.space import Space, oneof, repeat


class Sizes(NamedTuple):
    """Choices of one published space."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    ratios: tuple[float, ...]


SIZES = {
    "tiny": Sizes((192, 216, 240), (12, 13, 14), (3, 4), (3.5, 4.0)),
    "small": Sizes((320, 384, 448), (12, 13, 14), (5, 6, 7), (3.0, 3.5, 4.0)),
    "base": Sizes((528, 576, 624), (14, 15, 16), (9, 10), (3.0, 3.5, 4.0)),
}


@register(
    "spaces",
    "autoformer",
    labels={
        "family": "transformer",
        "inputs": "images, series",
        "small": {
            "widths": (8, 12),
            "depths": (1, 2, 3),
            "heads": (1, 2),
            "ratios": (1.5, 2.0),
            "patch": 4,
            "head_dim": 4,
        },
    },
)
def autoformer(
    input_shape: Shape,
    outputs: int,
    *,
    size: str = "tiny",
    widths: tuple[int, ...] = (),
    depths: tuple[int, ...] = (),
    heads: tuple[int, ...] = (),
    ratios: tuple[float, ...] = (),
    patch: int = 16,
    head_dim: int = 64,
) -> Space:
    """The 3 (4^12 + 4^13 + 4^14) networks of AutoFormer-T; `size` `small` or `base` for the larger spaces.

    Args:
        input_shape: (C, H, W) or (C, L), a multiple of the patch.
        outputs: classes or values.
        size: `tiny`, `small` or `base`.
        widths: features of the tokens in place of the published ones, as the next three; all increasing.
        depths: numbers of layers.
        heads: of each layer.
        ratios: hidden size of the feed-forward network as a multiple of the width.
        patch: side of a patch.
        head_dim: features of a head.

    Raises:
        SpaceError: if the size is unknown.
    """
    if size not in SIZES:
        raise SpaceError(f"size of autoformer is {size!r}; {nearest(size, SIZES)}")
    given = SIZES[size]
    width = oneof(*(widths or given.widths), name="width")
    attention = Attention(oneof(*(heads or given.heads)), head_dim=head_dim, qkv_bias=True)
    block = TransformerBlock(attention, FFN(ratio=oneof(*(ratios or given.ratios))))
    return Space(
        Sequential(
            (
                PatchEmbed(width, patch, class_token=True),
                repeat(block, times=oneof(*(depths or given.depths), name="depth")),
                Norm("layer"),
                Classifier(outputs, pool="cls"),
            )
        )
    )
