"""The decoder transformers of HW-GPT-Bench (Sukthanker et al., 2024, section 3 and table 1).

Width of all tokens, number of layers, whether linear maps have a bias, and heads and feed-forward ratio of each layer.
The table's sizes follow from causal attention with heads of 64 features and a gated feed-forward network, layer norms
with scale and shift, rotary positions (no weights), no tied weights and outputs without a bias. Not included: the
rotation itself; waves, which have no weights either, are added to the tokens in its place. The outputs are those after
the last token, the logits of the next one; `every` gives them after each, as a language model is trained. Images and
series come as patches with learned positions, and their outputs read the mean over all patches.
"""

from __future__ import annotations

from typing import NamedTuple

from archwright.errors import SpaceError, nearest
from archwright.operators.attention import Attention
from archwright.operators.base import Shape
from archwright.operators.ffn import GLUFFN
from archwright.operators.head import Classifier
from archwright.operators.linear import Linear
from archwright.operators.norm import Norm
from archwright.operators.pool import GlobalPool
from archwright.operators.sequential import Sequential
from archwright.operators.token_embedding import TokenEmbedding
from archwright.operators.tokens import PatchEmbed
from archwright.operators.transformer import TransformerBlock
from archwright.registry import register
from archwright.space import Space, oneof, repeat

VOCABULARY = 50_254
RATIOS = (2, 3, 4)


class Scale(NamedTuple):
    """Options of one supernet."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    heads: tuple[int, ...]


SCALES = {
    "s": Scale((192, 384, 768), (10, 11, 12), (4, 8, 12)),
    "m": Scale((192, 256, 384, 512, 768, 1024), (10, 11, 12, 22, 23, 24), (4, 8, 12, 16)),
    "l": Scale((320, 640, 1280), (34, 35, 36), (8, 16, 20)),
}


@register(
    "spaces",
    "hwgpt",
    labels={
        "family": "transformer",
        "inputs": "tokens, images, series",
        "small": {
            "widths": (8, 12),
            "depths": (1, 2, 3),
            "heads": (1, 2),
            "ratios": (1, 2),
            "head_dim": 4,
            "vocabulary": 20,
        },
    },
)
def hwgpt(
    input_shape: Shape = (1024,),
    outputs: int = VOCABULARY,
    *,
    scale: str = "s",
    widths: tuple[int, ...] = (),
    depths: tuple[int, ...] = (),
    heads: tuple[int, ...] = (),
    ratios: tuple[int, ...] = RATIOS,
    patch: int = 4,
    head_dim: int = 64,
    vocabulary: int = VOCABULARY,
    every: bool = False,
) -> Space:
    """Decoder networks of one scale, of every depth that the table has.

    Args:
        input_shape: (L,) token ids, or (C, H, W) or (C, L), a multiple of the patch.
        outputs: ids of the next token, classes or values.
        scale: `s`, `m` or `l`.
        widths: features of the tokens in place of the published ones, as the next two; all increasing.
        depths: numbers of layers.
        heads: of each layer.
        ratios: hidden size of the feed-forward network as a multiple of the width.
        patch: side of a patch.
        head_dim: features of a head.
        vocabulary: number of token ids.
        every: outputs (L, outputs) after every token in place of those after the last.

    Raises:
        SpaceError: if the scale is unknown, or outputs after every token are asked of an image.
    """
    if scale not in SCALES:
        raise SpaceError(f"scale of hwgpt is {scale!r}; {nearest(scale, SCALES)}")
    given = SCALES[scale]
    width = oneof(*(widths or given.widths), name="embed_dim")
    bias = oneof(False, True, name="bias")
    number = oneof(*(heads or given.heads))
    attention = Attention(number, head_dim=head_dim, causal=True, qkv_bias=bias, out_bias=bias)
    block = TransformerBlock(attention, GLUFFN(ratio=oneof(*ratios), bias=bias))
    layers = repeat(block, times=oneof(*(depths or given.depths), name="n_layer"))
    if len(input_shape) > 1:
        if every:
            raise SpaceError(f"every=True of hwgpt expects token ids (L,), got {input_shape}")
        first, last = PatchEmbed(width, patch), Classifier(outputs, pool="token_avg")
        return Space(Sequential((first, layers, Norm("layer"), last)))
    words = TokenEmbedding(width, vocabulary, "waves")
    logits = Linear(outputs, bias=False)
    read = (logits,) if every else (GlobalPool("last"), logits)
    return Space(Sequential((words, layers, Norm("layer"), *read)))
