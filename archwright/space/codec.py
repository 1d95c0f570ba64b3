"""Spaces and architectures as JSON, with a format version.

A tuple is a JSON array; lists, enum members, dataclasses, choices and unusual numbers are objects whose keys start with
`$`. Reading imports only modules of archwright and what the caller allows, and calls nothing but the constructors of
dataclasses that were found under their own name.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from collections.abc import Collection
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from archwright.errors import SpaceError
from archwright.space.architecture import Architecture
from archwright.space.canonical import digest_of, leaf_text, parts_of, type_name
from archwright.space.choices import Choice, Repeat, holds_choice
from archwright.space.constraints import MAX_ROWS, Table

if TYPE_CHECKING:
    from archwright.space.space import Space

FORMAT = 1
MALFORMED = (KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError)


def encode_tree(tree: Any) -> Any:
    """A tree, choices included, as what `json` can write.

    Raises:
        SpaceError: if it holds something that no space can hold.
    """
    if isinstance(tree, Choice):
        out: dict[str, Any] = {"$oneof": [encode_tree(o) for o in tree.options], "ordered": tree.ordered}
        return out if tree.name is None else {**out, "name": tree.name}
    if isinstance(tree, Repeat):
        return {"$repeat": encode_tree(tree.body), "times": encode_tree(tree.times)}
    group = parts_of(tree)
    if group is None:
        return json.loads(leaf_text(tree))
    kind, keys, parts = group
    values = [encode_tree(p) for p in parts]
    if kind is tuple:
        return values
    if kind is list:
        return {"$list": values}
    named = dict(zip(keys, values, strict=True))
    if kind is dict:
        return {"$dict": named} if any(k.startswith("$") for k in keys) else named
    return {"$type": type_name(kind), **named}


def decode_tree(data: Any, allow: Collection[str] = ()) -> Any:
    """The tree that `encode_tree` wrote.

    Raises:
        SpaceError: if the data is no tree, or names a type that is not allowed or not found.
    """
    if isinstance(data, list):
        return tuple(decode_tree(d, allow) for d in data)
    if not isinstance(data, dict):
        return data
    tag = next((k for k in data if k.startswith("$")), None)
    if tag is None:
        return {k: decode_tree(v, allow) for k, v in data.items()}
    try:
        return _decode_tagged(tag, data, allow)
    except SpaceError:
        raise
    except MALFORMED as error:
        raise SpaceError(f"the object {_short(data)} is not a valid {tag}: {type(error).__name__}: {error}") from error


def _decode_tagged(tag: str, data: dict[str, Any], allow: Collection[str]) -> Any:
    if tag == "$type":
        cls = find_class(data[tag], allow)
        if not dataclasses.is_dataclass(cls):
            raise SpaceError(f"{data[tag]!r} is not a dataclass, so it cannot stand in a space")
        made = cls(**{k: decode_tree(v, allow) for k, v in data.items() if k != tag})
        for name in getattr(cls, "imports", ()):  # fields that name code which building the network would run
            _check_target(getattr(made, name), allow)
        return made
    if tag == "$oneof":
        options = tuple(decode_tree(o, allow) for o in data[tag])
        return Choice(options, bool(data["ordered"]), data.get("name"))
    if tag == "$repeat":
        return Repeat(decode_tree(data[tag], allow), decode_tree(data["times"], allow))
    if tag == "$list":
        return [decode_tree(d, allow) for d in data[tag]]
    if tag == "$dict":
        return {k: decode_tree(v, allow) for k, v in data[tag].items()}
    if tag == "$float":
        return {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[data[tag]]
    if tag == "$enum":
        cls = find_class(data[tag], allow)
        if not issubclass(cls, Enum):
            raise SpaceError(f"{data[tag]!r} is not an enum")
        return cls[data["name"]]
    raise SpaceError(f"the object {_short(data)} has the unknown mark {tag!r}; was it written by a newer archwright?")


def find_class(name: str, allow: Collection[str]) -> type:
    """The class of an import path `module:qualname`, if reading may import it.

    Raises:
        SpaceError: if it is not allowed, or there is no class of this name.
    """
    module, _, qualname = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not module or not qualname:
        raise SpaceError(f"a type is written module:Class, got {name!r}")
    own = module == "archwright" or module.startswith("archwright.")
    if not own and not _allowed(module, name, allow):
        raise SpaceError(
            f"the text names the type {name!r}, which is not archwright's; if you trust it, allow it: "
            f"from_json(text, allow=[{name!r}])"
        )
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise SpaceError(f"the type {name!r} cannot be found: {error}") from error
    if not isinstance(found, type) or type_name(found) != name:
        raise SpaceError(f"{name!r} is not a class that is defined there")
    return found


def _check_target(target: Any, allow: Collection[str]) -> None:
    for name in target.options if isinstance(target, Choice) else (target,):
        module = name.partition(":")[0] if isinstance(name, str) else ""
        if not _allowed(module, name, allow):
            raise SpaceError(
                f"the text names the code {name!r}, which its networks would run; if you trust it, allow it: "
                f"from_json(text, allow=[{name!r}])"
            )


def _allowed(module: str, name: str, allow: Collection[str]) -> bool:
    allowed = {allow} if isinstance(allow, str) else set(allow)
    parents = module.split(".")
    return name in allowed or any(".".join(parents[:i]) in allowed for i in range(1, len(parents) + 1))


def space_to_json(space: Space) -> str:
    """A space as JSON text.

    Raises:
        SpaceError: if a constraint is a function of the tree.
    """
    if space.predicates:
        raise SpaceError(
            f"the predicate {space.predicates[0].message!r} is a Python function and cannot be written to JSON; say it "
            f"as constraint(function, *names) over named choices, which is written as a table"
        )
    tables = []
    for t in space.tables:
        options = tuple(slice(-1) for _ in t.scope)
        tables.append(
            {
                "decisions": [space.decisions[d].label for d in t.scope],
                "allowed": np.argwhere(t.allowed[options]).tolist(),
                "message": t.message,
            }
        )
    data = {"archwright": FORMAT, "kind": "space", "tree": encode_tree(space.tree), "where": tables}
    return json.dumps(data)


def space_from_json(text: str, allow: Collection[str]) -> Space:
    """Read a space from JSON text.

    Raises:
        SpaceError: if the text is not a space, or names a type that is not allowed.
    """
    data = _read(text, "space")
    try:
        return _space_of(data, allow)
    except MALFORMED as error:
        raise _malformed("space", error) from error


def _space_of(data: dict[str, Any], allow: Collection[str]) -> Space:
    from archwright.space.space import Space

    free = Space(decode_tree(data["tree"], allow))
    tables = []
    for entry in data.get("where", []):
        scope = [free.decision(key) for key in entry["decisions"]]
        if math.prod(d.size for d in scope) > MAX_ROWS:
            raise SpaceError(f"the table of the constraint {entry['message']!r} has more than {MAX_ROWS:,} rows")
        options = np.zeros(tuple(d.size for d in scope), dtype=bool)
        options[tuple(np.array(entry["allowed"], dtype=np.intp).reshape(-1, len(scope)).T)] = True
        allowed = np.pad(options, [(0, 1)] * len(scope), constant_values=True)
        tables.append(Table(tuple(d.index for d in scope), allowed, entry["message"]))
    return Space(free.tree, tables) if tables else free


def architecture_to_json(architecture: Architecture) -> str:
    """An architecture as JSON text."""
    return json.dumps(
        {
            "archwright": FORMAT,
            "kind": "architecture",
            "tree": encode_tree(architecture.tree),
            "digest": architecture.digest,
            "space": digest_of(architecture.space.tree_text),
            "code": architecture.code.tolist(),
        }
    )


def architecture_from_json(text: str, space: Space | None, allow: Collection[str]) -> Architecture:
    """Read an architecture from JSON text.

    Raises:
        SpaceError: if the text is not an architecture, names a type that is not allowed, or is not in the space.
    """
    data = _read(text, "architecture")
    try:
        found = _architecture_of(data, space, allow)
    except MALFORMED as error:
        raise _malformed("architecture", error) from error
    if found.digest != data.get("digest"):
        raise SpaceError(
            f"the architecture's digest is {found.digest!r} but the text says {data.get('digest')!r}: the text was "
            f"changed, or a class has other fields now"
        )
    return found


def _architecture_of(data: dict[str, Any], space: Space | None, allow: Collection[str]) -> Architecture:
    from archwright.space.space import Space

    if space is not None and data.get("space") == digest_of(space.tree_text):
        return space.architectures(np.array([data["code"]], dtype=np.int64))[0]  # needs no import: the tree is known
    tree = decode_tree(data["tree"], allow)
    if space is not None:
        return space.encode(tree)
    if holds_choice(tree):
        raise SpaceError("the tree of an architecture holds no choices; read it as a space")
    return Space(tree).smallest()


def _malformed(kind: str, error: Exception) -> SpaceError:
    """The error of archwright for one that came from what the text says."""
    if isinstance(error, SpaceError):
        return error
    return SpaceError(f"the text is no valid {kind}: {type(error).__name__}: {error}")


def _read(text: str, kind: str) -> dict[str, Any]:
    what = f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
    try:
        data = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise SpaceError(f"expected JSON text of {what}, got {_short(text)}: {error}") from error
    version = data.get("archwright") if isinstance(data, dict) else None
    if type(version) is not int:
        raise SpaceError(f"expected {what} written by archwright, got {_short(data)} without a format version")
    if version > FORMAT:
        raise SpaceError(f"the {kind} has format {version}, this archwright reads up to {FORMAT}; update archwright")
    if data.get("kind") != kind or "tree" not in data:
        raise SpaceError(f"expected {what}, got kind={data.get('kind')!r}")
    return data


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


__all__ = ["FORMAT", "decode_tree", "encode_tree", "find_class"]
