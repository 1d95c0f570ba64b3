"""Vector-symbolic embedding of an architecture's JSON: one vector for any tree of any space.

Gallant & Okaywe, "Representing Objects, Relations, and Sequences" (2013): matrix binding of additive terms (MBAT); a
role is a random orthogonal matrix, what fills it a vector. Objects are sums of role times filler, sequences use powers
of one matrix, sums are normalised. Orthogonal roles keep norms however deep the tree; products of Gaussian matrices do
not (`GaussianRoles` shows it). Roles here are signed permutations: orthogonal, not commutative, and linear in time.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from archwright.registry import register
from archwright.space import Architecture, Architectures
from archwright.space.codec import encode_tree


class OrthogonalRoles:
    """Roles as random signed permutations."""

    def __init__(self, dimension: int, seed: int = 0) -> None:
        self.dimension, self.seed = dimension, seed
        self._known: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def bind(self, role: str, filler: np.ndarray) -> np.ndarray:
        """The filler (D,) under a role (D,), of the same norm."""
        if role not in self._known:
            rng = _rng(self.seed, "role", role)
            self._known[role] = rng.permutation(self.dimension), rng.choice([-1.0, 1.0], self.dimension)
        order, signs = self._known[role]
        return filler[order] * signs


class GaussianRoles:
    """Roles as random Gaussian matrices of unit expected gain: kept to compare with, their products drift."""

    def __init__(self, dimension: int, seed: int = 0) -> None:
        self.dimension, self.seed = dimension, seed
        self._known: dict[str, np.ndarray] = {}

    def bind(self, role: str, filler: np.ndarray) -> np.ndarray:
        """The filler (D,) under a role (D,), of nearly the same norm."""
        if role not in self._known:
            draw = _rng(self.seed, "role", role).standard_normal((self.dimension, self.dimension))
            self._known[role] = draw / np.sqrt(self.dimension)
        return self._known[role] @ filler


def _rng(seed: int, kind: str, name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed} {kind} {name}".encode()).digest()[:8], "big"))


@register("embeddings", "vsa", labels={"space": "any"})
class VSA:
    """Unit vectors of JSON trees.

    Args:
        dimension: D.
        seed: of roles and fillers; vectors of one seed can be compared.
        roles: orthogonal by default.
    """

    def __init__(
        self, dimension: int = 2048, *, seed: int = 0, roles: OrthogonalRoles | GaussianRoles | None = None
    ) -> None:
        self.dimension, self.seed = dimension, seed
        self.roles = roles or OrthogonalRoles(dimension, seed)
        self._known: dict[str, np.ndarray] = {}

    def embed(self, architectures: Architectures) -> np.ndarray:
        """(n, D) float32 unit rows."""
        rows = [self.of_tree(architecture) for architecture in architectures]
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.dimension)

    def of_tree(self, architecture: Architecture) -> np.ndarray:
        """(D,) float64 of one architecture's tree."""
        return self.encode(encode_tree(architecture.tree))

    def encode(self, data: Any) -> np.ndarray:
        """(D,) float64 unit vector of any JSON value; parts are remembered."""
        text = json.dumps(data)
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= 4096:
                self._known.clear()
            known = self._known[text] = self._encode(data, text)
        return known

    def _encode(self, data: Any, text: str) -> np.ndarray:
        if isinstance(data, dict) and data:
            return _unit(np.sum([self.roles.bind(key, self.encode(value)) for key, value in data.items()], axis=0))
        if isinstance(data, list) and data:
            total = np.zeros(self.dimension)
            for item in reversed(data):  # Horner: M (e0 + M (e1 + ...)) gives item i the power i + 1
                total = self.roles.bind("$next", total + self.encode(item))
            return _unit(total)
        return _unit(_rng(self.seed, "filler", text).standard_normal(self.dimension))


def _unit(vector: np.ndarray) -> np.ndarray:
    size = float(np.linalg.norm(vector))
    return vector / size if size > 0.0 else vector
