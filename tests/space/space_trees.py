"""Dataclasses, random space trees, and a second way to enumerate a tree that shares no code with archwright's."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, ClassVar

from hypothesis import assume
from hypothesis import strategies as st

from archwright.space import Choice, Repeat, Space, between, constraint, oneof, repeat
from archwright.space.canonical import canonical_text

Assignment = dict[str, int]  # label of a decision -> code


class Pool(Enum):
    MAX = "max"
    MEAN = "mean"


@dataclass(frozen=True)
class Block:
    site: ClassVar[str] = ""
    kernel: Any = 3
    body: Any = None


@dataclass(frozen=True)
class Net:
    parts: Any
    pool: Any = Pool.MAX


@dataclass(frozen=True)
class MBConv:
    site: ClassVar[str] = ""
    kernel: int = 3
    expand: int = 6


def ofa_tree() -> Net:
    """Five stages of two to four blocks, as in Once-for-All: 46 decisions."""
    stages = tuple(repeat(MBConv(oneof(3, 5, 7), oneof(3, 4, 6)), between(2, 4, name=f"depth{i}")) for i in range(5))
    return Net(stages, oneof(192, 224, 256, name="resolution"))


NAMED = {
    "a": lambda: oneof(1, 2, 3, name="a"),
    "b": lambda: oneof("x", Pool.MEAN, name="b"),
    "c": lambda: oneof(Block(1), Block(oneof(1, 2)), name="c"),  # its inner choice has no name: one each place
    "d": lambda: oneof(None, NAMED["a"](), name="d"),
    "n": lambda: between(0, 2, name="n"),
}

LEAVES = [0, 1, 1.0, True, "s", None, Pool.MAX, float("inf")]


def _one_tree(draw: Any, depth: int) -> Any:
    """A random tree with at most so many levels."""

    def parts(most: int, least: int = 0) -> list[Any]:
        return [_one_tree(draw, depth - 1) for _ in range(draw(st.integers(least, most)))]

    kind = draw(st.integers(0, 10)) if depth else draw(st.integers(0, 1))
    if kind == 0:
        return draw(st.sampled_from(LEAVES))
    if kind in (1, 2):
        return NAMED[draw(st.sampled_from(sorted(NAMED)))]()
    if kind in (3, 4, 5):
        return oneof(*{canonical_text(o): o for o in parts(3, 1)}.values())
    if kind in (6, 7):
        times = [draw(st.integers(0, 2)), between(0, draw(st.integers(0, 2))), between(1, 2), NAMED["n"]()]
        return repeat(_one_tree(draw, depth - 1), draw(st.sampled_from(times)))
    if kind == 8:
        return tuple(parts(3)) if draw(st.booleans()) else parts(2)
    if kind == 9:
        return dict(zip(("p", "$q"), parts(2), strict=False))
    return Block(_one_tree(draw, depth - 1), _one_tree(draw, depth - 1))


@dataclass(frozen=True)
class Rule:
    """A rule that allows about two thirds of the combinations of the options of some decisions."""

    labels: tuple[str, ...]
    salt: int

    def allows(self, *options: Any) -> bool:
        text = "|".join(canonical_text(o) for o in options)
        return zlib.crc32(f"{self.salt}{text}".encode()) % 3 > 0


@st.composite
def spaces(draw: Any, most: int = 1500) -> tuple[Space, tuple[Rule, ...]]:
    """A space without constraints, and rules over its decisions."""
    tree = tuple(_one_tree(draw, 3) for _ in range(draw(st.integers(1, 2))))
    space = Space(tree[0] if len(tree) == 1 else tree)
    assume(space.size() <= most)
    labels = [d.label for d in space.decisions]
    if not labels:
        return space, ()
    scopes = st.lists(st.sampled_from(labels), min_size=1, max_size=3, unique=True).map(tuple)
    return space, tuple(draw(st.lists(st.builds(Rule, scopes, st.integers(0, 99)), max_size=2)))


def constrained(space: Space, rules: tuple[Rule, ...]) -> Space:
    return Space(space.tree, [constraint(r.allows, *r.labels) for r in rules])


def expand(tree: Any, path: str = "", chosen: Assignment | None = None) -> Iterator[tuple[Any, Assignment]]:
    """Every (tree without choices, assignment of its active decisions), by plain recursion."""
    chosen = chosen or {}
    if path == "" and isinstance(tree, Choice | Repeat):
        path = "tree"
    if isinstance(tree, Choice):
        label = tree.name or path
        for k in [chosen[label]] if label in chosen else range(len(tree.options)):
            yield from expand(tree.options[k], f"{path}|{k}", {**chosen, label: k})
    elif isinstance(tree, Repeat):
        if isinstance(tree.times, int):
            yield from _expand_all([tree.body] * tree.times, [f"{path}#{i}" for i in range(tree.times)], chosen, tuple)
            return
        label = tree.times.name or f"{path}.times"
        for k in [chosen[label]] if label in chosen else range(len(tree.times.options)):
            n = tree.times.options[k]
            copies = [f"{path}#{i}" for i in range(n)]
            yield from _expand_all([tree.body] * n, copies, {**chosen, label: k}, tuple)
    elif isinstance(tree, tuple | list):
        paths = [f"{path}.{i}" if path else str(i) for i in range(len(tree))]
        yield from _expand_all(list(tree), paths, chosen, type(tree))
    elif isinstance(tree, dict):
        paths = [f"{path}.{k}" if path else k for k in tree]
        keys = list(tree)
        yield from _expand_all(list(tree.values()), paths, chosen, lambda v: dict(zip(keys, v, strict=True)))
    elif is_dataclass(tree):
        names = [f.name for f in fields(tree)]
        paths = [f"{path}.{n}" if path else n for n in names]
        parts = [getattr(tree, n) for n in names]
        yield from _expand_all(parts, paths, chosen, lambda v: type(tree)(*v))
    else:
        yield tree, chosen


def _expand_all(parts: list, paths: list[str], chosen: Assignment, make: Any) -> Iterator[tuple[Any, Assignment]]:
    if not parts:
        yield make([]), chosen
        return
    for first, after in expand(parts[0], paths[0], chosen):
        rest = _expand_all(parts[1:], paths[1:], after, list)
        yield from ((make([first, *others]), end) for others, end in rest)


def members(space: Space, rules: tuple[Rule, ...] = ()) -> list[tuple[Any, Assignment]]:
    """The members of a small space by the second way."""
    options = {d.label: d.options for d in space.decisions}

    def legal(chosen: Assignment) -> bool:
        return all(
            r.allows(*(options[label][chosen[label]] for label in r.labels))
            for r in rules
            if all(label in chosen for label in r.labels)
        )

    return [(tree, chosen) for tree, chosen in expand(space.tree) if legal(chosen)]


def code_of(space: Space, chosen: Assignment) -> tuple[int, ...]:
    return tuple(chosen.get(d.label, -1) for d in space.decisions)


def one_change(parent: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, int] | None:
    """(decision, new code) if exactly one decision that is active in both differs."""
    changed = [(d, y) for d, (x, y) in enumerate(zip(parent, other, strict=True)) if x >= 0 and y >= 0 and x != y]
    return changed[0] if len(changed) == 1 else None


def pairwise(names: list[str]) -> list[tuple[str, str]]:
    return list(itertools.combinations(names, 2))
