"""Architectures: one network as data, and batches of them as arrays of codes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from archwright.errors import SpaceError
from archwright.space.canonical import digest_of

if TYPE_CHECKING:
    from archwright.space.space import Space


class Architecture:
    """One member of a space: a code, and the tree that the code stands for.

    Equal where space and code are equal. `digest` is that of the tree alone: the same network has the same digest, in
    every space and process.
    """

    __slots__ = ("_digest", "_tree", "code", "space")

    def __init__(self, space: Space, code: np.ndarray) -> None:
        self.space = space
        self.code = code  # int16 (D,), read-only
        self._tree: Any = None
        self._digest: str | None = None

    @property
    def tree(self) -> Any:
        """The tree without choices, made on first use; each dataclass node that can has its `site`."""
        if self._tree is None:
            self._tree = self.space.resolve(self.code)
        return self._tree

    @property
    def key(self) -> bytes:
        """The code as bytes, for caches within a space."""
        return self.code.tobytes()

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the tree's canonical text."""
        if self._digest is None:
            self._digest = digest_of(self.space.canonical_text(self.code))
        return self._digest

    def options(self) -> dict[str, Any]:
        """Name or path of each active decision -> the option taken."""
        return {d.label: d.options[k] for d, k in zip(self.space.decisions, self.code.tolist(), strict=True) if k >= 0}

    def diff(self, other: Architecture) -> list[tuple[str, Any, Any]]:
        """Where two trees differ: (path, value here, value there); ABSENT where a part exists in one of them only."""
        from archwright.space.text import differences

        return differences(self.tree, other.tree)

    def to_json(self) -> str:
        """The tree, its digest, and the code with the digest of its space."""
        from archwright.space.codec import architecture_to_json

        return architecture_to_json(self)

    @staticmethod
    def from_json(text: str, space: Space | None = None, allow: Collection[str] = ()) -> Architecture:
        """Read an architecture.

        Args:
            text: what `to_json` wrote.
            space: the space to read it into; without one the result is the only member of a space of its own.
            allow: import paths (`module` or `module:Class`) that the text may name, beside archwright's own.

        Raises:
            SpaceError: if the text is not an architecture, names a type that is not allowed, or is not in the space.
        """
        from archwright.space.codec import architecture_from_json

        return architecture_from_json(text, space, allow)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Architecture):
            return NotImplemented
        return self.key == other.key and self.space == other.space

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        from archwright.space.text import short_text

        return short_text(self.tree)

    def __repr__(self) -> str:
        return f"Architecture({self.code.tolist()}, digest={self.digest!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_one, (self.space, self.code)


class Architectures:
    """A batch of members of one space.

    `codes` is int16 (n, D), read-only; a batch indexes like an array: an int gives one architecture, anything else a
    batch.
    """

    __slots__ = ("codes", "space")

    def __init__(self, space: Space, codes: np.ndarray) -> None:
        """Wrap codes that are known to be legal; `Space.architectures` checks them."""
        if codes.flags.writeable or codes.dtype != np.int16 or not codes.flags.c_contiguous:
            codes = np.array(codes, dtype=np.int16, order="C")  # a copy: nobody else can change it
            codes.flags.writeable = False
        self.space = space
        self.codes = codes

    @classmethod
    def taking(cls, space: Space, codes: np.ndarray) -> Architectures:
        """Wrap legal codes that nobody else holds, without a copy; they are read-only from now on."""
        codes.setflags(write=False)
        return cls(space, codes)

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[Architecture]:
        return (Architecture(self.space, code) for code in self.codes)

    @overload
    def __getitem__(self, index: int) -> Architecture: ...
    @overload
    def __getitem__(self, index: slice | np.ndarray | list[int] | list[bool]) -> Architectures: ...
    def __getitem__(self, index: Any) -> Architecture | Architectures:
        if isinstance(index, int | np.integer):
            return Architecture(self.space, self.codes[index])
        return Architectures(self.space, self.codes[index])

    def __add__(self, other: Architectures) -> Architectures:
        if not isinstance(other, Architectures):
            return NotImplemented
        if other.space != self.space:
            raise SpaceError(
                "only architectures of one space can be joined; the two batches come from different spaces"
            )
        return Architectures(self.space, np.concatenate([self.codes, other.codes]))

    def unique(self) -> Architectures:
        """Without repeated codes, in order of first appearance."""
        _, first = np.unique(self.codes, axis=0, return_index=True)
        return self[np.sort(first)]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Architectures):
            return NotImplemented
        return np.array_equal(self.codes, other.codes) and self.space == other.space

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Architectures({len(self)} of {self.space!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Architectures, (self.space, self.codes)


def _rebuild_one(space: Space, code: np.ndarray) -> Architecture:
    code.flags.writeable = False
    return Architecture(space, code)
