"""Canonical text of a tree: equal trees have equal text in every process, whatever the hash seed.

The text is JSON with sorted keys; a dataclass carries its type as `module:qualname`. Digests, the comparison of options
and the comparison of shared choices all use it, so `1`, `1.0` and `True` are three different values.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from enum import Enum
from typing import Any

from archwright.errors import SpaceError
from archwright.space.choices import Choice, Repeat

FORBIDDEN = ".#|"  # characters with a meaning in paths, so no dict key may hold one


def type_name(cls: type) -> str:
    """The import path of a class, `module:qualname`."""
    return f"{cls.__module__}:{cls.__qualname__}"


def is_record(value: object) -> bool:
    """Whether a value is an instance of a dataclass."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def field_names(cls: type) -> tuple[str, ...]:
    """Names of the fields that the constructor of a dataclass takes."""
    return tuple(f.name for f in dataclasses.fields(cls) if f.init)


def has_site(cls: type) -> bool:
    """Whether nodes of a dataclass are told where they stand: the class has a `site` that is no field."""
    return hasattr(cls, "site") and all(f.name != "site" for f in dataclasses.fields(cls))


def digest_of(text: str) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def leaf_text(value: object, path: str = "") -> str:
    """Canonical text of a value without parts.

    Raises:
        SpaceError: if it is not a number, a string, None or an enum member.
    """
    if isinstance(value, Enum):
        return f'{{"$enum":{json.dumps(type_name(type(value)))},"name":{json.dumps(value.name)}}}'
    if type(value) is float:
        return repr(value) if math.isfinite(value) else f'{{"$float":"{value!r}"}}'
    if value is None or type(value) in (bool, int, str):
        return json.dumps(value)
    where = f" at {path!r}" if path else ""
    raise SpaceError(
        f"a tree holds frozen dataclasses, tuples, lists, dicts, numbers, strings, None, enum members and choices; "
        f"got {value!r} of type {type(value).__name__}{where}; describe it by a frozen dataclass"
    )


def group_text(kind: type, keys: Sequence[str], texts: Sequence[str]) -> str:
    """Canonical text of a tuple, list, dict or dataclass from the texts of its parts."""
    if kind is tuple:
        return f"[{','.join(texts)}]"
    if kind is list:
        return f'{{"$list":[{",".join(texts)}]}}'
    body = ",".join(f"{json.dumps(k)}:{t}" for k, t in sorted(zip(keys, texts, strict=True)))
    if kind is dict:
        return f'{{"$dict":{{{body}}}}}' if any(k.startswith("$") for k in keys) else f"{{{body}}}"
    return f'{{"$type":{json.dumps(type_name(kind))}{"," if body else ""}{body}}}'


def parts_of(tree: Any, path: str = "") -> tuple[type, tuple[str, ...], tuple[Any, ...]] | None:
    """Kind, keys and parts of a tuple, list, dict or dataclass; None for a leaf or a choice.

    Raises:
        SpaceError: if a dataclass is not frozen, or a dict has a key that is not a plain string.
    """
    kind = type(tree)
    if kind in (tuple, list):
        return kind, tuple(str(i) for i in range(len(tree))), tuple(tree)
    if kind is dict:
        for key in tree:
            if not isinstance(key, str) or any(c in key for c in FORBIDDEN):
                raise SpaceError(
                    f"keys of a dict in a space are strings without any of {FORBIDDEN!r}, got {key!r} at {path!r}"
                )
        return dict, tuple(tree), tuple(tree.values())
    if is_record(tree) and not isinstance(tree, Choice | Repeat):
        if not kind.__dataclass_params__.frozen:
            raise SpaceError(f"{type_name(kind)} at {path!r} must be a frozen dataclass: @dataclass(frozen=True)")
        names = field_names(kind)
        return kind, names, tuple(getattr(tree, n) for n in names)
    return None


def canonical_text(tree: Any, path: str = "") -> str:
    """Canonical text of a tree, choices included.

    Raises:
        SpaceError: if the tree holds something that no space can hold.
    """
    if isinstance(tree, Choice):
        options = ",".join(canonical_text(o, f"{path}|{k}") for k, o in enumerate(tree.options))
        return f'{{"$oneof":[{options}],"name":{json.dumps(tree.name)},"ordered":{json.dumps(tree.ordered)}}}'
    if isinstance(tree, Repeat):
        times = canonical_text(tree.times, f"{path}.times")
        return f'{{"$repeat":{canonical_text(tree.body, f"{path}#0")},"times":{times}}}'
    group = parts_of(tree, path)
    if group is None:
        return leaf_text(tree, path)
    kind, keys, parts = group
    texts = [canonical_text(p, f"{path}.{k}" if path else k) for k, p in zip(keys, parts, strict=True)]
    return group_text(kind, keys, texts)
