"""Spaces with parameter-free layers (Han et al., 2022, "Learning Features with Parameter-Free Layers", section 3).

`pfnas`: a ResNet-50 whose bottlenecks choose their spatial operator: convolution, depthwise convolution, max pooling or
average pooling. All convolutions is ResNet-50, all max poolings R50-max. `pfnas_vit`: a vision transformer whose layers
choose self-attention or max pooling between two linear maps; every second layer of the latter is ViT-S-max.
"""

from __future__ import annotations

from typing import Any

from archwright.operators.activation import Activation
from archwright.operators.attention import Attention
from archwright.operators.base import Operator, Shape
from archwright.operators.conv import Conv
from archwright.operators.ffn import FFN
from archwright.operators.head import Classifier
from archwright.operators.max_pool_mixer import EffAttention, MaxPoolMixer
from archwright.operators.norm import Norm
from archwright.operators.pool import AvgPool, MaxPool
from archwright.operators.residual import Residual
from archwright.operators.sequential import Sequential
from archwright.operators.tokens import PatchEmbed
from archwright.operators.transformer import TransformerBlock
from archwright.registry import register
from archwright.space import Space, oneof

OPERATORS = ("conv_3x3", "dw_conv_3x3", "max_pool_3x3", "avg_pool_3x3")
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


def spatial(name: str, channels: int, stride: int) -> Operator:
    """One of the spatial operators by its name, with batch norm and ReLU behind it."""
    if name == "conv_3x3":
        return Conv(channels, 3, stride)
    if name == "dw_conv_3x3":
        return Conv(channels, 3, stride, groups=channels)
    pool = MaxPoolMixer(3, stride) if name == "max_pool_3x3" else AvgPool(3, stride)
    return Sequential((pool, Norm("batch"), Activation("relu")))


@register(
    "spaces",
    "pfnas",
    labels={
        "family": "macro",
        "inputs": "images, series",
        "small": {"stages": ((4, 2, 1), (6, 1, 2)), "stem": (4, 3, 1), "widening": 2},
    },
)
def pfnas(
    input_shape: Shape,
    outputs: int,
    *,
    stages: tuple[tuple[int, int, int], ...] = STAGES,
    stem: tuple[int, int, int] = (64, 7, 2),
    widening: int = 4,
    operators: tuple[str, ...] = OPERATORS,
) -> Space:
    """The 4^16 ResNet-50s with the defaults; decision `layerI` is the spatial operator of bottleneck I.

    Args:
        input_shape: (C, H, W) or (C, L).
        outputs: classes or values.
        stages: inner channels, bottlenecks, and stride of the first bottleneck of each stage.
        stem: channels, kernel and stride of the first convolution; a max pooling follows if it has a stride.
        widening: outer channels as a multiple of the inner ones.
        operators: names of the candidates.
    """
    channels, kernel, stride = stem
    parts: list[Any] = [Conv(channels, kernel, stride)]
    parts += [MaxPool(3, 2)] if stride > 1 else []
    layer = 0
    for inner, depth, first in stages:
        for i in range(depth):
            step = first if i == 0 else 1
            middle = oneof(*(spatial(name, inner, step) for name in operators), name=f"layer{layer}")
            body = Sequential((Conv(inner, 1), middle, Conv(inner * widening, 1, activation="identity")))
            parts += [Residual(body, "identity" if i else "projection"), Activation("relu")]
            layer += 1
    return Space(Sequential((*parts, Classifier(outputs))))


@register(
    "spaces",
    "pfnas_vit",
    labels={
        "family": "transformer",
        "inputs": "images",
        "small": {"features": 8, "heads": 2, "layers": 2, "patch": 4},
    },
)
def pfnas_vit(
    input_shape: Shape,
    outputs: int,
    *,
    features: int = 384,
    heads: int = 6,
    layers: int = 12,
    ratio: float = 4.0,
    patch: int = 16,
) -> Space:
    """The 2^12 vision transformers of size S whose layers mix tokens by attention or by max pooling.

    Args:
        input_shape: (C, H, W) with H = W, a multiple of the patch.
        outputs: classes or values.
        features: of the tokens; between the linear maps around a pooling there are three times as many.
        heads: of self-attention.
        layers: number of blocks.
        ratio: hidden size of the feed-forward networks as a multiple of the features.
        patch: side of a patch.
    """
    blocks = []
    for i in range(layers):
        mixer = oneof(Attention(heads, qkv_bias=True), EffAttention(features, 3 * features), name=f"mixer{i}")
        blocks.append(TransformerBlock(mixer, FFN(ratio=ratio)))
    return Space(Sequential((PatchEmbed(features, patch), *blocks, Norm("layer"), Classifier(outputs, "token_avg"))))
