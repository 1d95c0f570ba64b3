"""BERT-like encoders whose layers differ: the FlexiBERT space as trained for the 500-BERT GLUE table.

Tuli et al., "FlexiBERT: Are Current Transformer Architectures too Homogeneous and Rigid?" (2022), section 3.1, cut to
what Serianni & Kalita, "Training-free Neural Architecture Search for RNNs and Transformers" (2023), section 4 and
table 4, trained as ELECTRA-small: two or four layers of one width, each with its own operator, heads, feed-forward size
and number of feed-forward layers. Word vectors have 128 features and are mapped to the width. Layers are normalised
behind their residual sums; linear transforms have neither sum nor norm of their own, as in the released code, which
also leaves out the map of the word vectors where the width is 128 - here it is there for both widths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from archwright.errors import SpaceError
from archwright.operators.attention import Attention
from archwright.operators.base import Composite, Operator, Run, Shape
from archwright.operators.ffn import FFN
from archwright.operators.head import Classifier
from archwright.operators.join import Add
from archwright.operators.linear import Linear
from archwright.operators.norm import Norm
from archwright.operators.sequential import Sequential
from archwright.operators.span_attention import SpanAttention
from archwright.operators.spectral_mixing import SpectralMixing
from archwright.operators.token_embedding import TokenEmbedding
from archwright.operators.weighted_attention import WeightedAttention
from archwright.registry import register
from archwright.space import Space, oneof, repeat

OPERATORS = ("SA/SDP", "SA/WMA", "LT/DFT", "LT/DCT", "DSC/5", "DSC/9")  # type and parameter as in the table
VOCABULARY = 30_522
POSITIONS = 512


def mixer(name: str, heads: int) -> Operator:
    """The operator of a published name that mixes tokens."""
    kind, parameter = name.split("/")
    if kind == "DSC":
        return SpanAttention(heads, int(parameter))
    if kind == "LT":
        return SpectralMixing(heads, parameter.lower())
    return Attention(heads, qkv_bias=True) if parameter == "SDP" else WeightedAttention(heads)


@dataclass(frozen=True)
class BertLayer(Composite):
    """One encoder layer: an operator with its heads, then a feed-forward network."""

    operator: str
    heads: int
    ffn: FFN

    def flow(self, run: Run, *inputs: Any) -> Any:
        """Mix the tokens, then each token's features; sums are normalised."""
        (x,) = inputs
        y = run(self.inner(f"{self.operator.replace('/', '_')}_{self.heads}", mixer(self.operator, self.heads)), x)
        if not self.operator.startswith("LT"):
            y = run(self.inner("mixed", Norm("layer")), run(self.inner("add", Add()), x, y))
        z = run(self.ffn, y)
        return run(self.inner("norm", Norm("layer")), run(self.inner("sum", Add()), y, z))


@register(
    "spaces",
    "flexibert",
    labels={
        "family": "transformer",
        "inputs": "tokens",
        "mixed": False,  # heads divide the width, so their size changes with it; sampled paths share weights
        "small": {
            "operators": ("SA/SDP", "SA/WMA", "LT/DFT", "DSC/5"),
            "widths": (8, 12),
            "depths": (1, 2),
            "feed_forward": (8, 16),
            "stacks": (1, 2),
            "embedding": 6,
            "vocabulary": 20,
        },
    },
)
def flexibert(
    input_shape: Shape = (128,),
    outputs: int = 2,
    *,
    operators: tuple[str, ...] = OPERATORS,
    widths: tuple[int, ...] = (128, 256),
    depths: tuple[int, ...] = (2, 4),
    heads: tuple[int, ...] = (2, 4),
    feed_forward: tuple[int, ...] = (512, 1024),
    stacks: tuple[int, ...] = (1, 3),
    embedding: int = 128,
    vocabulary: int = VOCABULARY,
) -> Space:
    """The 2 (48^2 + 48^4) encoders of the table, which lists 500 of them.

    Args:
        input_shape: (L,) tokens of ids below `vocabulary`, the first of which stands for the whole input.
        outputs: classes.
        operators: published names of what mixes tokens.
        widths: features of the tokens, increasing.
        depths: numbers of layers.
        heads: of each operator.
        feed_forward: features of the layers between the mixing ones.
        stacks: numbers of these layers in a row.
        embedding: features of the word vectors.
        vocabulary: number of ids.

    Raises:
        SpaceError: if the input is no sequence of ids.
    """
    if len(input_shape) != 1:
        raise SpaceError(f"flexibert expects token ids (L,), got {input_shape}; use autoformer for images and series")
    width = oneof(*widths, name="hidden")
    layer = BertLayer(oneof(*operators), oneof(*heads), FFN(hidden=oneof(*feed_forward), stacks=oneof(*stacks)))
    words = TokenEmbedding(embedding, vocabulary, positions=max(POSITIONS, *input_shape), types=2)
    layers = repeat(layer, times=oneof(*depths, name="depth"))
    head = Classifier(outputs, pool="cls", hidden=width, activation="gelu")
    return Space(Sequential((words, Norm("layer"), Linear(width), layers, head)))
