"""Vector-symbolic embedding of an architecture's JSON: one vector for any tree of any space.

Gallant & Okaywe, "Representing Objects, Relations, and Sequences" (2013): matrix binding of additive terms (MBAT); a
role is a random orthogonal matrix, what fills it a vector. Objects are sums of role times filler, sequences use powers
of one matrix, sums are normalised. Orthogonal roles keep norms however deep the tree; products of Gaussian matrices do
not (`GaussianRoles` shows it). Roles here are signed permutations: orthogonal, not commutative, and linear in time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from archwright.registry import register
from archwright.space import Architectures
from archwright.space.canonical import parts_of, type_name
from archwright.space.codec import encode_tree

REMEMBER = 4096  # parts of trees


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
        self._fillers: dict[str, np.ndarray] = {}
        self._trees: dict[Any, np.ndarray] = {}

    def embed(self, architectures: Architectures) -> np.ndarray:
        """(n, D) float32 unit rows."""
        rows = [self.of_tree(architecture.tree) for architecture in architectures]
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.dimension)

    def of_tree(self, tree: Any) -> np.ndarray:
        """(D,) float64 of a tree: that of the JSON that `encode_tree` writes; equal parts are encoded once."""
        if not is_dataclass(tree) or isinstance(tree, type):
            return self._of_parts(tree)
        try:
            known = self._trees.get(tree)
        except TypeError:  # a field holds a list or a mapping
            return self._of_parts(tree)
        if known is None:
            if len(self._trees) >= REMEMBER:
                self._trees.clear()
            known = self._trees[tree] = self._of_parts(tree)
        return known

    def _of_parts(self, tree: Any) -> np.ndarray:
        group = parts_of(tree)
        if group is None or group[0] is list:
            return self.encode(encode_tree(tree))
        kind, keys, parts = group
        if not parts and kind in (tuple, dict):
            return self.encode([] if kind is tuple else {})
        if kind is tuple:
            return self._sequence([self.of_tree(part) for part in parts])
        named = {key: self.of_tree(part) for key, part in zip(keys, parts, strict=True)}
        return self._record(named if kind is dict else {"$type": self.encode(type_name(kind)), **named})

    def encode(self, data: Any) -> np.ndarray:
        """(D,) float64 unit vector of any JSON value."""
        if isinstance(data, dict) and data:
            return self._record({key: self.encode(value) for key, value in data.items()})
        if isinstance(data, list) and data:
            return self._sequence([self.encode(item) for item in data])
        text = json.dumps(data)
        if text not in self._fillers:
            self._fillers[text] = _unit(_rng(self.seed, "filler", text).standard_normal(self.dimension))
        return self._fillers[text]

    def _record(self, fields: dict[str, np.ndarray]) -> np.ndarray:
        return _unit(np.sum([self.roles.bind(key, value) for key, value in fields.items()], axis=0))

    def _sequence(self, items: list[np.ndarray]) -> np.ndarray:
        total = np.zeros(self.dimension)
        for item in reversed(items):  # Horner: M (e0 + M (e1 + ...)) gives item i the power i + 1
            total = self.roles.bind("$next", total + item)
        return _unit(total)


def _unit(vector: np.ndarray) -> np.ndarray:
    size = float(np.linalg.norm(vector))
    return vector / size if size > 0.0 else vector
