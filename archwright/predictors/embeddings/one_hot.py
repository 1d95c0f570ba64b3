"""One-hot codes: a column for every option of every decision, zero where a decision is inactive.

The plainest embedding, and a strong one in small spaces (White et al., 2020, "A Study on Encodings for NAS").
"""

from __future__ import annotations

import numpy as np

from archwright.registry import register
from archwright.space import Architectures


@register("embeddings", "one_hot", labels={"space": "one"})
class OneHot:
    """Columns of `Space.one_hot` for canonical codes."""

    def embed(self, architectures: Architectures) -> np.ndarray:
        """(n, sum of option counts) float32."""
        space = architectures.space
        return space.one_hot(space.canonical(architectures.codes))
