"""Recursive spaces: rules that refer to each other, expanded to a finite tree with a bounded depth.

The idea of architecture spaces as grammars: Schrodi et al., 2023, "Construction of Hierarchical Neural Architecture
Search Spaces based on Context-free Grammars", section 3. Here a rule's options are ordinary trees, so a grammar is just
a way to write nested choices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from archwright.errors import SpaceError, nearest
from archwright.space.canonical import parts_of
from archwright.space.choices import Choice, Repeat, oneof


@dataclass(frozen=True)
class Ref:
    """A place where a rule of the grammar is put."""

    name: str


def ref(name: str) -> Any:
    """A place where a rule of the grammar is put; for use inside the options of `grammar`."""
    return Ref(name)


def grammar(start: Any, rules: Mapping[str, Iterable[Any]], depth: int) -> Any:
    """A tree of nested choices from recursive rules.

    Args:
        start: name of the first rule, or a tree with `ref` in it.
        rules: name -> options; an option is any tree, with `ref(name)` at any place.
        depth: how many references may stand inside each other; rules at that depth keep only the options that can
            still be finished.

    Returns:
        A tree for `Space`, or for any place inside another tree.

    Raises:
        SpaceError: if a rule is unknown, or has no option that ends within the depth.
    """
    if depth < 1:
        raise SpaceError(f"a grammar needs depth >= 1, got {depth}")
    expander = _Expander({name: tuple(options) for name, options in rules.items()})
    tree = expander.place(Ref(start) if isinstance(start, str) else start, depth)
    if tree is _IMPOSSIBLE:
        raise SpaceError(
            f"the grammar cannot end within {depth} nested references: {expander.endless()}; give each rule an option "
            f"without references, or a larger depth"
        )
    return tree


class _Impossible:
    """Marks a tree that cannot be finished within the depth."""


_IMPOSSIBLE = _Impossible()


class _Expander:
    def __init__(self, rules: Mapping[str, tuple[Any, ...]]) -> None:
        self.rules = rules
        self.known: dict[tuple[str, int], Any] = {}  # (rule, depth left) -> its choice
        self.failed: list[str] = []

    def rule(self, name: str, depth: int) -> Any:
        """The choice of a rule with so many nested references left."""
        if name not in self.rules:
            raise SpaceError(f"the grammar has no rule {name!r}; {nearest(name, self.rules)}")
        if depth == 0:
            return _IMPOSSIBLE
        if (name, depth) not in self.known:
            options = [self.place(option, depth - 1) for option in self.rules[name]]
            possible = [o for o in options if o is not _IMPOSSIBLE]
            if not possible:
                self.failed.append(name)
            made = _IMPOSSIBLE if not possible else possible[0] if len(possible) == 1 else oneof(*possible)
            self.known[name, depth] = made
        return self.known[name, depth]

    def place(self, tree: Any, depth: int) -> Any:
        """A tree with its references replaced, or _IMPOSSIBLE."""
        if isinstance(tree, Ref):
            return self.rule(tree.name, depth)
        if isinstance(tree, Choice):
            options = [o for o in (self.place(o, depth) for o in tree.options) if o is not _IMPOSSIBLE]
            return Choice(tuple(options), tree.ordered, tree.name) if options else _IMPOSSIBLE
        if isinstance(tree, Repeat):
            body = self.place(tree.body, depth)
            return _IMPOSSIBLE if body is _IMPOSSIBLE else Repeat(body, tree.times)
        group = parts_of(tree)
        if group is None:
            return tree
        kind, keys, parts = group
        placed = [self.place(p, depth) for p in parts]
        if any(p is _IMPOSSIBLE for p in placed):
            return _IMPOSSIBLE
        if kind in (tuple, list):
            return kind(placed)
        changed = {k: new for k, new, old in zip(keys, placed, parts, strict=True) if new is not old}
        if kind is dict:
            return {**tree, **changed}
        return dataclasses.replace(tree, **changed) if changed else tree

    def endless(self) -> str:
        """Names of the rules that never end."""
        ending: set[str] = set()
        while True:
            more = {n for n, options in self.rules.items() if any(_refs(o) <= ending for o in options)}
            if more == ending:
                break
            ending = more
        endless = set(self.rules) - ending
        culprits = [n for n in sorted(endless) if n in self._below(n, endless)] or sorted(set(self.failed))
        return f"rule {', '.join(map(repr, culprits))} has no option that ends"

    def _below(self, name: str, among: set[str]) -> set[str]:
        """The rules among some that a rule leads to."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            more = {n for o in self.rules[waiting.pop()] for n in _refs(o)} & among - found
            found |= more
            waiting += sorted(more)
        return found


def _refs(tree: Any) -> set[str]:
    """Names of the rules that a tree always refers to."""
    if isinstance(tree, Ref):
        return {tree.name}
    if isinstance(tree, Choice):
        return set.intersection(*(_refs(o) for o in tree.options))
    if isinstance(tree, Repeat):
        return _refs(tree.body)
    group = parts_of(tree)
    return set() if group is None else {name for part in group[2] for name in _refs(part)}


__all__ = ["Ref", "grammar", "ref"]
