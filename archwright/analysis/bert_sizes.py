"""The family of BERT encoders with free depth, heads, width and feed-forward width, with exact cost surrogates.

de Wynter & Perry, "Optimal subarchitecture extraction for BERT" (2020, arXiv 2010.10499), section 4: parameters
p = D (4 (H^2 + H) + (H I + I) + (I H + H) + 4 H) and unit-cost operations of order D (s H^2 + s H I + s^2 H + A s^2).
Embeddings are counted apart: they are the first layer of AB^nC and dominate shallow encoders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from archwright.search.problem import Columns
from archwright.space import Architectures, Space, constraint, oneof

LAYERS = (2, 4, 6, 8, 10, 12)
HEADS = (4, 8, 12, 16)
HIDDEN = (512, 768, 1024)
INTERMEDIATE = (256, 512, 768, 1024, 3072)


@dataclass(frozen=True)
class BertSizes:
    """Sizes of a BERT encoder."""

    layers: int
    heads: int
    hidden: int
    intermediate: int


def _divides(heads: int, hidden: int) -> bool:
    return hidden % heads == 0


def bert_space() -> Space:
    """The 300 members of the paper's grid whose width is a multiple of their heads."""
    tree = BertSizes(
        oneof(*LAYERS, name="layers"),
        oneof(*HEADS, name="heads"),
        oneof(*HIDDEN, name="hidden"),
        oneof(*INTERMEDIATE, name="intermediate"),
    )
    return Space(tree, where=constraint(_divides, "heads", "hidden", message="hidden is a multiple of heads"))


def encoder_params(layers: np.ndarray, hidden: np.ndarray, intermediate: np.ndarray) -> np.ndarray:
    """(n,) weights of the encoder layers: attention, feed-forward, and two layer norms each."""
    h, i = hidden, intermediate
    return layers * (4 * (h * h + h) + (h * i + i) + (i * h + h) + 4 * h)


def embedding_params(hidden: np.ndarray, *, vocabulary: int, positions: int, types: int = 0) -> np.ndarray:
    """(n,) weights of word, position and type embeddings and their layer norm."""
    return (vocabulary + positions + types) * hidden + 2 * hidden


def encoder_operations(
    layers: np.ndarray, heads: np.ndarray, hidden: np.ndarray, intermediate: np.ndarray, tokens: int
) -> np.ndarray:
    """(n,) operations of one input: multiply-accumulates of all products, softmax, two norms, one activation."""
    s, h, i = tokens, hidden, intermediate
    products = 4 * s * h * h + 2 * s * h * i + 2 * s * s * h
    rest = 3 * heads * s * s + 2 * 4 * s * h + s * i
    return layers * (products + rest)


def sizes_of(architectures: Architectures) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(n,) layers, heads, hidden and intermediate of members."""
    space, codes = architectures.space, architectures.codes
    columns = []
    for name in ("layers", "heads", "hidden", "intermediate"):
        decision = space.decision(name)
        columns.append(np.array(decision.options, np.int64)[codes[:, decision.index]])
    return columns[0], columns[1], columns[2], columns[3]


class BertCosts:
    """Cheap evaluator of `params_m` (encoder alone) and `macs_m` (all operations, in millions).

    Args:
        tokens: length of the input.
    """

    metrics = ("params_m", "macs_m")
    deterministic = True
    batched = True
    cheap = True

    def __init__(self, tokens: int = 128) -> None:
        self._tokens = tokens

    def evaluate(self, architectures: Architectures, *, fidelity: float = 1.0, seed: int = 0) -> Columns:
        """Metric -> (n,)."""
        layers, heads, hidden, intermediate = sizes_of(architectures)
        operations = encoder_operations(layers, heads, hidden, intermediate, self._tokens)
        return {"params_m": encoder_params(layers, hidden, intermediate) * 1e-6, "macs_m": operations * 1e-6}
