"""Vision transformers for private inference: a kind of attention for every head (MPCViT).

Zeng et al., "MPCViT: Searching for Accurate and Efficient MPC-Friendly Vision Transformer with Heterogeneous
Attention", ICCV 2023, section 4: every head is a ReLU-softmax or a scaling head; MPCViT+ also takes the GELU out of
blocks, whose two linear maps then are one.
"""

from __future__ import annotations

from archwright.operators.base import Operator, Shape
from archwright.operators.ffn import FFN
from archwright.operators.head import Classifier
from archwright.operators.headwise_attention import HeadwiseAttention
from archwright.operators.linear import Linear
from archwright.operators.norm import Norm
from archwright.operators.sequential import Sequential
from archwright.operators.tokens import PatchEmbed
from archwright.operators.transformer import TransformerBlock
from archwright.registry import register
from archwright.space import Space, oneof


@register(
    "spaces",
    "mpcvit",
    labels={
        "family": "transformer",
        "inputs": "images, series",
        "small": {"layers": 2, "features": 8, "heads": 2, "hidden": 12},
    },
)
def mpcvit(
    input_shape: Shape,
    outputs: int,
    *,
    layers: int = 7,
    features: int = 256,
    heads: int = 4,
    hidden: int = 512,
    patch: int = 4,
    plus: bool = False,
) -> Space:
    """Two kinds for each of the heads of the ViT for CIFAR-10: 2^28 networks with the defaults.

    Decisions are named `head<layer>_<head>`, with option 1 for a ReLU-softmax head, and `gelu<layer>`.

    Args:
        input_shape: (C, H, W) or (C, L), a multiple of the patch.
        outputs: classes or values.
        layers: number of transformer blocks.
        features: of the tokens, a multiple of the heads.
        heads: of a layer.
        hidden: of the feed-forward networks.
        patch: side of a patch.
        plus: whether a block may do without its GELU, with one linear map in place of two (MPCViT+).
    """
    blocks = []
    for i in range(layers):
        rectified = tuple(oneof(0, 1, name=f"head{i}_{h}") for h in range(heads))
        ffn: Operator = FFN(hidden=hidden)
        if plus:
            ffn = oneof(Linear(features), ffn, name=f"gelu{i}")
        blocks.append(TransformerBlock(HeadwiseAttention(rectified, features // heads), ffn))
    return Space(Sequential((PatchEmbed(features, patch), *blocks, Norm("layer"), Classifier(outputs, "token_avg"))))
