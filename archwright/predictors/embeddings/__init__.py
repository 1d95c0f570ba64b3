"""Vectors of architectures: one file an embedding, all with `embed(architectures) -> (n, d) float32`.

Any predictor with an `extra` argument takes `embedding.embed` as further columns; any regressor takes the rows as they
are. `Embedding` is what they have in common.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from archwright.space import Architectures


class Embedding(Protocol):
    """Turns architectures of one space, or of any, into vectors."""

    def embed(self, architectures: Architectures) -> np.ndarray:
        """(n, d) float32; the same architecture always gives the same row."""
        ...


__all__ = ["Embedding"]
