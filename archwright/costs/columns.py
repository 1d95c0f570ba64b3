"""A batch of architectures as columns of numbers: for spaces that are flat records, such as model shapes or designs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from archwright.errors import SpaceError
from archwright.space import Space
from archwright.space.choices import Choice


def columns_of(space: Space, codes: np.ndarray) -> dict[str, Any]:
    """Path -> value: an array (n,) where the field holds a choice, else the value itself.

    Raises:
        SpaceError: if a choice holds records of its own; such a space is not flat.
    """
    codes = np.atleast_2d(codes)
    out: dict[str, Any] = {}
    for path, node in _leaves(space.tree, ""):
        if not isinstance(node, Choice):
            out[path] = node
            continue
        if any(is_dataclass(o) or isinstance(o, Mapping | tuple) for o in node.options):
            raise SpaceError(f"the choice at {path!r} holds records; write its fields as choices instead")
        decision = space.decision(node.name or path)
        out[path] = np.array(node.options)[codes[:, decision.index]]
    return out


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if is_dataclass(node) and not isinstance(node, type | Choice):
        parts = [(f.name, getattr(node, f.name)) for f in fields(node)]
    elif isinstance(node, Mapping):
        parts = [(str(k), v) for k, v in node.items()]
    else:
        yield path, node
        return
    for name, value in parts:
        yield from _leaves(value, f"{path}.{name}" if path else name)
