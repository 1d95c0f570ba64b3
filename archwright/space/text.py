"""Architectures for reading: a short text, and the differences of two."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from enum import Enum
from itertools import groupby
from typing import TYPE_CHECKING, Any

from archwright.space.canonical import canonical_text, is_record, parts_of

if TYPE_CHECKING:
    from archwright.space.compile import Decision


class _Absent:
    """Stands in a difference for a part that one of the trees does not have."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


def short_text(tree: Any) -> str:
    """A tree in one line: fields at their defaults are left out, equal neighbours are written once."""
    if isinstance(tree, Enum):
        return tree.name
    group = parts_of(tree)
    if group is None:
        return repr(tree)
    kind, keys, parts = group
    if kind in (tuple, list):
        runs = [(text, len(list(same))) for text, same in groupby(short_text(p) for p in parts)]
        plain = all(parts_of(p) is None for p in parts)
        items = [text for text, n in runs for _ in range(n)] if plain else [_times(text, n) for text, n in runs]
        return f"({', '.join(items)})" if kind is tuple else f"[{', '.join(items)}]"
    if kind is dict:
        return f"{{{', '.join(f'{k}: {short_text(p)}' for k, p in zip(keys, parts, strict=True))}}}"
    defaults = {f.name: f.default for f in dataclasses.fields(kind)}
    shown = [
        f"{k}={short_text(p)}"
        for k, p in zip(keys, parts, strict=True)
        if defaults[k] is dataclasses.MISSING or is_record(p) or not _equal(p, defaults[k])
    ]
    return f"{kind.__name__}({', '.join(shown)})"


def _times(text: str, n: int) -> str:
    return text if n == 1 else f"{n} x {text}"


def _equal(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b


def decision_lines(decisions: Sequence[Decision], most: int = 8) -> str:
    """One line a decision: its name or path, and its options (the first few of many)."""
    lines = []
    for d in decisions:
        shown = [short_text(option) for option in d.options[:most]]
        rest = f" ... {d.size} options" if d.size > most else ""
        lines.append(f"{d.label}: {' | '.join(shown)}{rest}")
    return "\n".join(lines)


def differences(a: Any, b: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Where two trees differ, in order: (path, value in a, value in b), ABSENT where one has no such part."""
    first, second = parts_of(a), parts_of(b)
    if first is None or second is None or first[0] is not second[0]:
        return [] if canonical_text(a) == canonical_text(b) else [(path, a, b)]
    mine = dict(zip(first[1], first[2], strict=True))
    other = dict(zip(second[1], second[2], strict=True))
    out: list[tuple[str, Any, Any]] = []
    for key in [*mine, *(k for k in other if k not in mine)]:
        where = f"{path}.{key}" if path else key
        if key in mine and key in other:
            out += differences(mine[key], other[key], where)
        else:
            out.append((where, mine.get(key, ABSENT), other.get(key, ABSENT)))
    return out
