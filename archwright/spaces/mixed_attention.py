"""Transformers whose layers choose between softmax and linear attention (Liu et al., 2022, section 3).

"Neural Architecture Search on Efficient Transformers and Beyond": the type of attention is searched along with heads
and hidden size of each layer, because linear attention (cosFormer) alone loses accuracy. The sizes offered here are
arguments; their defaults are ours.
"""

from __future__ import annotations

from archwright.operators.attention import Attention
from archwright.operators.base import Shape
from archwright.operators.ffn import FFN
from archwright.operators.head import Classifier
from archwright.operators.linear_attention import LinearAttention
from archwright.operators.norm import Norm
from archwright.operators.sequential import Sequential
from archwright.operators.tokens import PatchEmbed
from archwright.operators.transformer import TransformerBlock
from archwright.registry import register
from archwright.space import Space, oneof


@register(
    "spaces",
    "mixed_attention",
    labels={
        "family": "transformer",
        "inputs": "images, series",
        "small": {"layers": 2, "features": 8, "heads": (1, 2), "head_dim": 4, "hidden": (8, 12)},
    },
)
def mixed_attention(
    input_shape: Shape,
    outputs: int,
    *,
    layers: int = 6,
    features: int = 256,
    heads: tuple[int, ...] = (2, 4, 8),
    head_dim: int = 32,
    hidden: tuple[int, ...] = (256, 512, 1024),
    patch: int = 4,
) -> Space:
    """Six layers of 2 attentions x 3 head counts x 3 hidden sizes: 18^6 networks with the defaults.

    Args:
        input_shape: (C, H, W) or (C, L), a multiple of the patch.
        outputs: classes or values.
        layers: number of transformer blocks.
        features: of the tokens.
        heads: of a layer, increasing.
        head_dim: features of a head.
        hidden: of a layer's feed-forward network, increasing.
        patch: side of a patch; small patches make many tokens, where linear attention pays.
    """
    blocks = []
    for i in range(layers):
        number = oneof(*heads, name=f"heads{i}")
        attention = oneof(Attention(number, head_dim=head_dim), LinearAttention(number, head_dim), name=f"attention{i}")
        blocks.append(TransformerBlock(attention, FFN(hidden=oneof(*hidden, name=f"hidden{i}"))))
    return Space(Sequential((PatchEmbed(features, patch), *blocks, Norm("layer"), Classifier(outputs, "token_avg"))))
