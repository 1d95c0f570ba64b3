"""From a tree back to the code of a space: every choice is matched against what stands in its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.errors import SpaceError
from archwright.space.canonical import leaf_text, parts_of
from archwright.space.compile import Copies, Fixed, Group, Part, Pick
from archwright.space.legality import is_member

if TYPE_CHECKING:
    from archwright.space.space import Space

Codes = dict[int, int]


def find_code(space: Space, tree: Any) -> np.ndarray:
    """The first code (D,) whose tree is the given one, constraints included if one keeps to them.

    Raises:
        SpaceError: if no code has this tree.
    """
    code = np.full(len(space.decisions), -1, dtype=np.int16)
    first: np.ndarray | None = None
    for codes in _match(space.compiled.root, tree, {}):
        code = np.full(len(space.decisions), -1, dtype=np.int16)
        for d, k in codes.items():
            code[d] = k
        if is_member(space, code[None])[0]:
            return code
        first = code if first is None else first
    if first is None:
        raise SpaceError(f"the tree is not in the space: {_where(space.compiled.root, tree, {}, 'the root')}")
    return first  # breaks a constraint; the caller's check says which


def _match(part: Part, tree: Any, codes: Codes) -> Iterator[Codes]:
    """All ways to give codes to the decisions of a part so that it becomes the tree."""
    if isinstance(part, Fixed):
        if parts_of(tree) is None and leaf_text(part.value) == leaf_text(tree):
            yield codes
    elif isinstance(part, Pick):
        known = codes.get(part.decision)
        for k in range(len(part.parts)) if known is None else (known,):
            yield from _match(part.parts[k], tree, {**codes, part.decision: k})
    elif isinstance(part, Copies):
        if type(tree) is tuple:
            yield from _match_copies(part, tree, codes)
    elif isinstance(part, Group):
        group = parts_of(tree)
        if group is not None and group[0] is part.kind and group[1] == part.keys:
            yield from _match_all(part.parts, group[2], codes)


def _match_copies(part: Copies, tree: tuple[Any, ...], codes: Codes) -> Iterator[Codes]:
    if len(tree) not in part.counts:
        return
    if part.decision is not None:
        k = part.counts.index(len(tree))
        if codes.get(part.decision, k) != k:
            return
        codes = {**codes, part.decision: k}
    yield from _match_all(part.parts[: len(tree)], tree, codes)


def _match_all(parts: tuple[Part, ...], trees: tuple[Any, ...], codes: Codes) -> Iterator[Codes]:
    if not parts:
        yield codes
        return
    for found in _match(parts[0], trees[0], codes):
        yield from _match_all(parts[1:], trees[1:], found)


def _where(part: Part, tree: Any, codes: Codes, path: str) -> str:
    """The first place, deep down, where a part and a tree cannot agree."""
    group = parts_of(tree)
    if isinstance(part, Group) and group is not None and group[0] is part.kind and group[1] == part.keys:
        for key, inner, value in zip(part.keys, part.parts, group[2], strict=True):
            if next(_match(inner, value, {}), None) is None:
                return _where(inner, value, codes, key if path == "the root" else f"{path}.{key}")
    return f"nothing in the space at {path} equals {tree!r}"
