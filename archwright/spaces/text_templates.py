"""Networks for text by template: embedding, encoder, pool, head.

HHNAS-AM (hierarchical hybrid NAS with adaptive mutation, 2025) searches text classifiers within templates, so that
every member is a network that makes sense and mutations cannot leave them. Only the abstract was at hand: the templates
here are our choice of common ones - a bag of words (fastText: Joulin et al., 2017), convolutions over words (Kim, 2014)
and a transformer encoder (Vaswani et al., 2017) - behind one embedding and before one pool and head.
"""

from __future__ import annotations

from archwright.errors import SpaceError
from archwright.operators.attention import Attention
from archwright.operators.base import Shape
from archwright.operators.conv import Conv
from archwright.operators.ffn import FFN
from archwright.operators.head import Classifier
from archwright.operators.sequential import Sequential
from archwright.operators.skip import Skip
from archwright.operators.token_embedding import TokenEmbedding
from archwright.operators.tokens import FromTokens, ToTokens
from archwright.operators.transformer import TransformerBlock
from archwright.registry import register
from archwright.space import Space, oneof, repeat


@register(
    "spaces",
    "text_templates",
    labels={
        "family": "template",
        "survey": ["space: macro"],
        "inputs": "tokens",
        "small": {"widths": (8, 12), "kernels": (1, 3), "heads": (1, 2), "head_dim": 4, "hidden": 6, "vocabulary": 20},
    },
)
def text_templates(
    input_shape: Shape = (32,),
    outputs: int = 8,
    *,
    widths: tuple[int, ...] = (16, 32, 64),
    kernels: tuple[int, ...] = (1, 3, 5),
    depths: tuple[int, ...] = (1, 2),
    heads: tuple[int, ...] = (1, 4),
    head_dim: int = 16,
    hidden: int = 32,
    vocabulary: int = 2000,
) -> Space:
    """Classifiers of token ids; 456 with the defaults.

    Args:
        input_shape: (L,) token ids below `vocabulary`.
        outputs: classes.
        widths: features of the tokens, increasing.
        kernels: of each convolution.
        depths: numbers of convolutions or of transformer blocks.
        heads: of each block's attention.
        head_dim: features of an attention head.
        hidden: features of the layer that may come before the outputs.
        vocabulary: number of ids.

    Raises:
        SpaceError: if the input is no sequence of ids.
    """
    if len(input_shape) != 1:
        raise SpaceError(f"text_templates expects token ids (L,), got {input_shape}; use autoformer for other inputs")
    width, depth = oneof(*widths, name="width"), oneof(*depths, name="depth")
    words = TokenEmbedding(width, vocabulary, oneof("none", "learned", name="position"))
    convolution = repeat(Conv(width, oneof(*kernels)), times=depth)
    block = repeat(TransformerBlock(Attention(oneof(*heads), head_dim=head_dim), FFN(ratio=2.0)), times=depth)
    encoder = oneof(
        Skip(), Sequential((FromTokens(tuple(input_shape)), convolution, ToTokens())), Sequential((block,)),
        name="encoder",
    )  # fmt: skip
    pool = oneof("token_avg", "token_max", name="pool")
    head = oneof(Classifier(outputs, pool=pool), Classifier(outputs, pool=pool, hidden=hidden), name="head")
    return Space(Sequential((words, encoder, head)))
