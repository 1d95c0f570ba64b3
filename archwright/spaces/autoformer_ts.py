"""Transformers that forecast series, with attention, activation and encoding chosen layer by layer (AutoFormer-TS).

"Learning Novel Transformer Architecture for Time-series Forecasting" (Zhang et al., 2025, arXiv:2502.13721) searches
alternative attentions, activations and encodings. Its code is not public, so the options and sizes here are ours, of
the operators that the package has. Its search is the recipe `ab-darts`.

Every network reads series in units of their own window (`window_norm`), cuts them into patches (Nie et al., 2023,
"PatchTST", section 3.1), all of which are tokens that see each other, and maps the tokens of a series to its forecast
by a linear map that all series share. A patch as long as the lookback makes one token of each series (Liu et al., 2024,
"iTransformer", section 3.1).
"""

from __future__ import annotations

import numpy as np

from archwright.errors import SpaceError
from archwright.operators.attention import Attention
from archwright.operators.base import Operator, Shape
from archwright.operators.ffn import FFN, GLUFFN
from archwright.operators.first_rows import FirstRows
from archwright.operators.flatten import Flatten
from archwright.operators.linear import Linear
from archwright.operators.linear_attention import LinearAttention
from archwright.operators.norm import Norm
from archwright.operators.positional_encoding import PositionalEncoding
from archwright.operators.reshape import Reshape
from archwright.operators.sequential import Sequential
from archwright.operators.span_attention import SpanAttention
from archwright.operators.transformer import TransformerBlock
from archwright.operators.weighted_attention import WeightedAttention
from archwright.operators.window_norm import WindowNorm
from archwright.registry import register
from archwright.space import Architecture, Space, oneof


@register(
    "spaces",
    "autoformer_ts",
    labels={
        "family": "transformer",
        "inputs": "forecasts",
        "small": {"layers": 2, "features": 8, "heads": 2, "patch": 4, "dropout": 0.0},
    },
)
def autoformer_ts(
    input_shape: Shape,
    outputs: int,
    *,
    layers: int = 2,
    horizon: int = 0,
    features: int = 64,
    heads: int = 4,
    ratio: float = 2.0,
    patch: int = 0,
    dropout: float = 0.1,
) -> Space:
    """Two layers of 4 attentions x 5 feed-forward networks x 4 encodings: 80^2 networks with the defaults.

    Args:
        input_shape: (C, L): as many series, each with its last L rows; those to forecast are the first.
        outputs: the number of series to forecast times the horizon.
        layers: number of transformer blocks.
        horizon: rows that are forecast; 0 = every series is forecast.
        features: of the tokens.
        heads: of each attention; an even number that divides the features.
        ratio: hidden size of the feed-forward networks as a multiple of the features; gated ones have 2/3 of it.
        patch: rows of a token, a divisor of L; 0 = a quarter of the rows, or all where 4 does not divide them.
        dropout: in the feed-forward networks.

    Raises:
        SpaceError: if the outputs are no horizon of some of the series, or patches do not fill the rows.
    """
    series, length = input_shape if len(input_shape) == 2 else (0, 0)
    forecasts = outputs // horizon if horizon else series
    if not 0 < forecasts <= series or outputs % forecasts:
        raise SpaceError(
            f"autoformer_ts forecasts series (C, L), all or the first of them, and needs as many outputs times the "
            f"horizon, got {input_shape}, {outputs} outputs and horizon={horizon}; search data of `forecast:`"
        )
    patch = patch or (length if length % 4 else length // 4)
    if length % patch:
        raise SpaceError(f"patch of autoformer_ts must divide the {length} rows of the input, got {patch}")
    patches = length // patch
    blocks: list[Operator] = []
    for i in range(layers):
        attention = oneof(*attentions(heads), name=f"attention{i}")
        ffn = oneof(*feed_forwards(ratio, dropout), name=f"activation{i}")
        blocks += [oneof(*encodings(patches), name=f"encoding{i}"), TransformerBlock(attention, ffn)]
    body = (
        Reshape((series * patches, patch)),
        Linear(features),
        *blocks,
        Norm("layer"),
        Reshape((series, patches * features)),
        *((FirstRows(forecasts),) if forecasts < series else ()),
        Linear(outputs // forecasts),
    )
    return Space(Sequential((WindowNorm(Sequential(body)), Flatten())))


def attentions(heads: int) -> tuple[Operator, ...]:
    """Softmax, linear, multiplicative, and half convolving; softmax first.

    Not among them: `spectral_mixing`, whose unscaled sums deviate forty times as much as what the others put out, at
    the default sizes. Ablation takes that for importance.
    """
    return (
        Attention(heads, qkv_bias=True),
        LinearAttention(heads, qkv_bias=True),
        WeightedAttention(heads),
        SpanAttention(heads, kernel=3),
    )


def feed_forwards(ratio: float, dropout: float) -> tuple[Operator, ...]:
    """GELU, ReLU, SiLU, tanh, and gated SiLU of as many weights; GELU first."""
    plain = (FFN(ratio=ratio, activation=kind, dropout=dropout) for kind in ("gelu", "relu", "silu", "tanh"))
    return (*plain, GLUFFN(ratio=2 * ratio / 3, dropout=dropout, bias=True))


def encodings(patches: int) -> tuple[Operator, ...]:
    """Sinusoidal, learned, convolving, and none; sinusoidal first."""
    return tuple(PositionalEncoding(kind, patches) for kind in ("waves", "learned", "conv", "none"))


def default(space: Space) -> Architecture:
    """The Transformer as published: softmax attention, GELU, sines added once, before the first layer.

    Vaswani et al., 2017, sections 3.1 to 3.5, with GELU in place of ReLU as in PatchTST and iTransformer.

    Args:
        space: of `autoformer_ts`.
    """
    last = {d.index: d.size - 1 for d in space.decisions if d.label.startswith("encoding") and d.label != "encoding0"}
    code = np.array([last.get(d.index, 0) for d in space.decisions])
    return space.architectures(code[None])[0]


__all__ = ["autoformer_ts", "default"]
