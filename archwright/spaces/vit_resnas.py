"""Vision transformers in stages with residual spatial reduction: ViT-ResNAS (Liao et al., 2021, sections 3.2 and 3.3).

Three stages of 16 x 16, 8 x 8 and 4 x 4 tokens. Each stage has a width; each block has heads of 64 features and a
hidden size; every second block of the first stages may be left out. Sizes are those of the released `tiny` supernet.
Patches are embedded by one convolution; a single class token is used.
"""

from __future__ import annotations

from typing import Any

from archwright.operators.attention import Attention
from archwright.operators.base import Shape
from archwright.operators.ffn import FFN
from archwright.operators.head import Classifier
from archwright.operators.norm import Norm
from archwright.operators.residual_reduction import ResidualReduction, TokenReduction
from archwright.operators.sequential import Sequential
from archwright.operators.tokens import PatchEmbed
from archwright.operators.transformer import TransformerBlock
from archwright.registry import register
from archwright.space import Space, oneof, repeat

# widths, heads of a block, hidden sizes of a block, fixed blocks, blocks behind the first of them that may be left out
Stage = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int, int]
STAGES: tuple[Stage, ...] = (
    ((160, 176, 192, 224, 256), (2, 3, 4), (384, 512, 640, 768), 4, 3),
    ((320, 352, 384, 448, 512), (4, 6, 8), (768, 1024, 1280, 1536), 4, 3),
    ((640, 704, 768, 896, 1024), (8, 10, 12), (1536, 2048, 2560, 3072), 4, 0),
)


@register(
    "spaces",
    "vit_resnas",
    labels={
        "family": "transformer",
        "inputs": "images",
        "small": {
            "stages": (((6, 8), (1, 2), (8, 12), 1, 1), ((8, 12), (1, 2), (12, 16), 1, 0)),
            "patch": 4,
            "head_dim": 4,
        },
    },
)
def vit_resnas(
    input_shape: Shape,
    outputs: int,
    *,
    stages: tuple[Stage, ...] = STAGES,
    patch: int = 14,
    head_dim: int = 64,
) -> Space:
    """The 5^3 x 12^12 x 13^6 networks of the `tiny` supernet.

    Args:
        input_shape: (C, H, W) with H = W a multiple of the patch; the side in patches must halve evenly each stage.
        outputs: classes or values.
        stages: see `STAGES`; widths of a stage must not be below those of the stage before.
        patch: side of a patch.
        head_dim: features of a head.
    """
    parts: list[Any] = []
    for s, (widths, heads, hidden, fixed, optional) in enumerate(stages):
        width = oneof(*widths, name=f"width{s}")
        embed = ResidualReduction(TokenReduction(width)) if s else PatchEmbed(width, patch, class_token=True)
        parts.append(embed)
        for i in range(fixed):
            block = TransformerBlock(
                Attention(oneof(*heads), head_dim=head_dim, qkv_bias=True), FFN(hidden=oneof(*hidden))
            )
            parts.append(block)
            if i < optional:
                parts.append(repeat(block, times=oneof(0, 1)))
    return Space(Sequential((*parts, Norm("layer"), Classifier(outputs, pool="cls"))))
